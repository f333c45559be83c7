"""Boxes as the prompts have them; three kinds of track ids against a table made by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.prompts.clicks import boxes_from_masks
from surgjax.synthetic import PRESETS, generate_clip, tracks


def test_boxes_are_those_of_the_prompts():
    clip = generate_clip(4, 3, 64)
    masks = np.stack([clip.label_maps == k for k in clip.object_ids], 1)
    want = np.asarray(boxes_from_masks(jnp.asarray(masks)))
    np.testing.assert_array_equal(clip.boxes_xyxy, want)
    assert clip.boxes_xyxy.dtype == np.float32


def test_boxes_by_hand():
    labels = np.zeros((8, 10), np.uint8)
    labels[2:5, 3:9], labels[7, 0] = 1, 3
    want = [[3, 2, 8, 4], [0, 0, 0, 0], [0, 7, 0, 7]]
    np.testing.assert_array_equal(tracks.boxes_of(labels, 3), want)


# Frame by frame: is it in sight, is it in the body, and the three ids it must get. Object A goes
# out of view and returns (new visibility id), then leaves the body and returns (new intracorporeal
# id, too). Object B appears late and is never moved. The operation's id never changes.
_TABLE = """
A in   1  1  1 | B -   -1 -1 -1
A in  1 1 1 | B in  2 2 2
A -  -1 -1 -1 | B in  2 2 2
A in  3 1 1 | B in  2 2 2
A in  3 1 1 | B in  2 2 2
A out -1 -1 -1 | B in  2 2 2
A -  -1 -1 -1 | B -  -1 -1 -1
A in  4 3 1 | B in  5 2 2
"""


def test_three_perspectives_by_hand():
    visible, in_body, want = [], [], []
    for line in _TABLE.strip().splitlines():
        states = [half.split() for half in line.split("|")]
        visible.append([state[1] == "in" for state in states])
        in_body.append([state[1] != "out" for state in states])
        want.append([[int(v) for v in state[2:]] for state in states])
    got = tracks.track_ids_of(np.array(visible), np.array(in_body))
    np.testing.assert_array_equal(got, np.array(want))
    assert got.dtype == np.int32


def test_ids_of_whole_operations_nest():
    """In sight all three ids are there; one visibility id lies in one body id, in one operation."""
    config = PRESETS["surgery"].replace(p_leave=0.6)
    renewed = 0
    for seed in range(3):
        clip = generate_clip(seed, 80, 64, config)
        ids = clip.track_ids
        np.testing.assert_array_equal((ids > 0).all(-1), clip.visible)
        np.testing.assert_array_equal((ids == -1).all(-1), ~clip.visible)
        assert not (clip.visible & ~clip.in_body).any()
        for index in range(ids.shape[1]):
            own = ids[clip.visible[:, index], index]
            assert len(np.unique(own[:, 2])) == 1
            for fine, coarse in ((0, 1), (1, 2)):
                pairs = np.unique(own[:, [fine, coarse]], axis=0)
                assert len(pairs) == len(np.unique(own[:, fine]))
            renewed += len(np.unique(own[:, 1])) > 1
        for perspective in range(3):  # no id is given twice, and none is left out
            given = np.unique(ids[..., perspective])
            assert given[given > 0].tolist() == list(range(1, given.max() + 1))
    assert renewed >= 1, "no instrument ever came back into the body"


def test_tables_that_differ_are_refused():
    with pytest.raises(ValueError, match="differ"):
        tracks.track_ids_of(np.ones((3, 2), bool), np.ones((2, 2), bool))
