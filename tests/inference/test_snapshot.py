"""Snapshots of a propagation: another state goes on to the same bits, and what does not fit."""

import numpy as np
import pytest

from surgjax.inference import VideoPredictor
from surgjax.inference.snapshot import Snapshot
from surgjax.testing import debug_config, lively_params, moving_squares

FRAMES = 10


@pytest.fixture(scope="module")
def clip():
    return moving_squares(FRAMES)


def _predictor(**options):
    config = debug_config()
    return VideoPredictor(lively_params(config), config, keep_records=False, **options)


def _prompted(predictor, clip):
    state = predictor.init_state(clip, max_objects=2)
    predictor.add_new_points_or_box(state, 1, 4, box=[3, 5, 16, 18])
    predictor.add_new_points_or_box(state, 7, 4, points=[[18, 14]])
    predictor.add_new_points_or_box(state, 4, 9, box=[36, 18, 50, 33])
    return state


@pytest.mark.parametrize("memory", ["recent", "divemem"])
def test_both_ways_and_every_frame(clip, memory):
    """Taken at each frame of both halves, the rest is the rest of the uninterrupted pass."""
    options = {"memory_options": "delta=1,gamma=-1000,presence=false"}
    predictor = _predictor(memory=memory, **(options if memory != "recent" else {}))
    state, frames, taken = _prompted(predictor, clip), [], []
    for t, ids, logits in predictor.propagate_both(state):
        frames.append((t, ids, logits))
        taken.append(predictor.snapshot(state))
    assert [t for t, *_ in frames] == [*range(1, 10), *range(3, -1, -1)]
    for place in (0, 2, 8, 9, len(frames) - 1):
        again = predictor.init_state(clip, max_objects=1)  # the snapshot knows how many slots
        predictor.restore(again, taken[place])
        rest = list(predictor.continue_propagation(again))
        assert len(rest) == len(frames) - place - 1
        for (t, ids, logits), (want_t, want_ids, want) in zip(
            rest, frames[place + 1 :], strict=True
        ):
            assert (t, ids) == (want_t, want_ids)
            np.testing.assert_array_equal(logits, want)
    # It means something only where memory matters: a bank of zeros must not do.
    empty = {k: np.zeros_like(v) if "features" in k else v for k, v in taken[4].arrays.items()}
    again = predictor.init_state(clip)
    predictor.restore(again, Snapshot(taken[4].facts, empty))
    t, _, logits = next(predictor.continue_propagation(again))
    assert t == frames[5][0] and (logits != frames[5][2]).any()


def test_what_does_not_fit_is_named(clip):
    predictor = _predictor()
    state = _prompted(predictor, clip)
    with pytest.raises(ValueError, match="no frame of this video has been tracked"):
        predictor.snapshot(state)
    propagation = predictor.propagate_in_video(state)
    next(propagation)
    facts, arrays = predictor.snapshot(state)
    name = next(k for k in arrays if k.startswith("bank"))
    cut = arrays | {name: arrays[name][..., :1]}
    with pytest.raises(ValueError, match=r"snapshot: bank\S+: \w+ \(.*\) expected"):
        predictor.restore(predictor.init_state(clip), Snapshot(facts, cut))
    less = {k: v for k, v in arrays.items() if k != "4.7.memory"}
    with pytest.raises(ValueError, match="array 4.7.memory is missing"):
        predictor.restore(predictor.init_state(clip), Snapshot(facts, less))
    with pytest.raises(ValueError, match=r"4.tracked: int8 \(4,\) expected, int8 \(10,\) found"):
        predictor.restore(predictor.init_state(clip[:4]), Snapshot(facts, arrays))
    with pytest.raises(ValueError, match="the state has objects already"):
        predictor.restore(state, Snapshot(facts, arrays))
    predictor.add_new_points_or_box(state, 5, 9, points=[[40, 20]])
    with pytest.raises(ValueError, match="object 9 has a prompt that no frame has used yet"):
        predictor.snapshot(state)
    with pytest.raises(ValueError, match="no propagation to go on with"):
        next(predictor.continue_propagation(predictor.init_state(clip)))
    config = debug_config()
    keeping = VideoPredictor(lively_params(config), config)
    state = _prompted(keeping, clip)
    next(keeping.propagate_in_video(state))
    with pytest.raises(ValueError, match="keep_records=False needed"):
        keeping.snapshot(state)
