"""Run lengths by hand, and against pycocotools for random masks."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from surgjax.ops import run_lengths


@pytest.mark.parametrize(
    "mask,counts",
    [
        ([[0, 1], [0, 1]], [2, 2]),
        ([[1, 0], [0, 0]], [0, 1, 3]),
        ([[0, 1], [1, 0]], [1, 2, 1]),  # down the columns
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
    ],
)
def test_runs_by_hand(mask, counts):
    mask = np.array(mask, bool)
    assert run_lengths.uncompressed(mask) == {"size": [2, 2], "counts": counts}


def test_both_codings_are_cocos():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 0.9, 1.0):
        mask = rng.random((17, 23)) < share
        code = run_lengths.compress(mask)
        want = coco_mask.frPyObjects(run_lengths.uncompressed(mask), 17, 23)
        assert code == {"size": [17, 23], "counts": want["counts"].decode()}
        np.testing.assert_array_equal(run_lengths.to_mask(code), mask)
        assert run_lengths.area(code) == mask.sum()
