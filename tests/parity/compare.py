"""How one result of ours is compared with one of a torch predictor.

Path:    test_clip, official -> [compare].
Axes:    low-resolution logits (S/4, S/4), pointer (d,), one object on one frame.
Units:   logits: error over the range of the reference's logits on that frame.
Errors:  AssertionError naming object, frame and what differs.
Source:  ours.
Differs: nothing to differ from.
"""

from typing import Any

import numpy as np

from surgjax.inference.records import Record
from tests.parity import reference

LOGITS = 1e-3  # of the range
SCORE = POINTER = 1e-2  # absolute; scores are of order 1 to 10, pointers of order 1
CLEAR = 0.01  # a mask's sign is compared where the reference's logit is this far from zero


def record(state: Any, obj_id: int, frame: int) -> Record:
    """Our result for one object on one frame."""
    track = state.objects[obj_id]
    return track.conditioning.get(frame) or state.store.get(obj_id, frame)


class Errors(list):
    """Largest differences met, for the report."""

    def __str__(self):
        worst = np.array(self).max(0)
        return "logits {:.1e} of range, score {:.1e}, pointer {:.1e}, flips {:.0f}".format(*worst)


def check(
    ours: Record,
    theirs: dict[str, Any],
    where: str,
    errors: Errors | None = None,
    may_flip: float = 0.0,
) -> None:
    """Score and pointer always; logits and mask where the object is present.

    may_flip: the share of a mask's pixels whose sign may differ.
    """
    want_score = theirs["object_score_logits"].item()
    want_pointer = theirs["object_pointer"].numpy().ravel()
    want = theirs["pred_masks"][0, 0].numpy()
    score = abs(ours.object_score - want_score)
    pointer = float(np.abs(ours.pointer - want_pointer).max())
    assert (ours.object_score > 0) == (want_score > 0), f"{where}: presence differs"
    relative, flips = 0.0, 0
    if want_score > 0:
        relative = float(np.abs(ours.low_res - want).max() / (want.max() - want.min()))
        clear = np.abs(want) > CLEAR
        flips = int(((ours.low_res > 0) != (want > 0))[clear].sum())
    else:
        assert (ours.low_res == reference.NO_OBJECT).all(), f"{where}: absent, yet a mask"
    if errors is not None:
        errors.append((relative, score, pointer, flips))
    assert relative <= LOGITS, f"{where}: logits differ by {relative:.1e} of their range"
    assert flips <= may_flip * ours.low_res.size, f"{where}: {flips} mask pixels differ"
    assert score <= SCORE and pointer <= POINTER, (
        f"{where}: score {score:.1e}, pointer {pointer:.1e}"
    )
