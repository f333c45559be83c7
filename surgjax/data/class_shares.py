"""How often each class of a text bank is drawn in training, without reading a frame.

Path:    mixture, samplers -> [class_shares] -> ClipBatch.class_shares -> semantic loss
Axes:    K rows of the bank.
Units:   shares of the frames that show an instrument of the bank; they sum to 1.
Errors:  ValueError where no draw shows such an instrument.
Source:  ours; what it is for, in `losses.semantic`.
Differs: counted over the very examples that training takes, since example n is a function of the
         seed and n, and not over the whole set: samplers prefer some objects to others.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from surgjax.data import samplers
from surgjax.data.index import ObjectEntry
from surgjax.data.mixture import Mixture
from surgjax.typing import Float32, NDArray, typechecked

Classes = Mapping[str, Mapping[str, int]]  # of each set by name, row of the bank by category


def class_row(one: ObjectEntry, rows: Mapping[str, int]) -> int:
    """The row of the bank of an object; -1 for tissue, and for what the bank does not have."""
    return rows.get(one.category, -1) if one.is_instrument else -1


@typechecked
def class_shares(
    mixture: Mixture, classes: Classes, count: int, numbers: Iterable[int]
) -> Float32[NDArray, "K"]:
    """Shares of the `count` rows of the bank among the examples `numbers`.

    A class that is never drawn gets the share of the rarest one that is: the loss is to push it
    away like that one, where a share of zero would leave it free to win.
    """
    seen = np.zeros(count)
    for number in numbers:
        pick = mixture.pick(number)
        draw = samplers.draw_clip(mixture.generator(number), pick.video, pick.entry.sampler)
        rows, chosen = classes[pick.entry.prepared.name], set(draw.object_ids)
        positions = draw.positions[draw.is_annotated]
        for one in pick.video.objects:
            row = class_row(one, rows) if one.id in chosen else -1
            if row >= 0:
                seen[row] += _frames_in_sight(one, positions)
    if not seen.any():
        raise ValueError("class_shares: no example shows an instrument of the text bank.")
    seen[seen == 0] = seen[seen > 0].min()
    return (seen / seen.sum()).astype(np.float32)


def _frames_in_sight(one: ObjectEntry, positions: np.ndarray) -> int:
    """How many of the positions lie in its stretches [first, last)."""
    if not one.visible:
        return 0
    first, last = np.array(one.visible).T
    return int(((positions[:, None] >= first) & (positions[:, None] < last)).sum())
