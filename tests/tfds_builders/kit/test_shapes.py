"""Polygons and run-length codes by hand."""

import numpy as np
import pytest

from tfds_builders.kit import shapes
from tfds_builders.kit.archive import LabelError


def test_a_polygon_includes_its_border():
    mask = shapes.polygon_mask([(1, 1), (3, 1), (3, 2), (1, 2)], 4, 5)
    assert mask.astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert not shapes.polygon_mask([(1, 1), (3, 1)], 4, 5).any()


def test_holes_are_taken_out():
    square = [(0, 0), (8, 0), (8, 8), (0, 8)]
    mask = shapes.polygon_mask(square, 9, 9, holes=[[(3, 3), (5, 3), (5, 5), (3, 5)]])
    assert mask.sum() == 81 - 9


def test_run_length_codes_of_both_kinds():
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    assert (shapes.coco_segmentation(shapes.encode_rle(mask), 3, 4, "x") == mask).all()
    # Column by column: 4 off, 1 on, 2 off, 1 on, 4 off.
    plain = {"size": [3, 4], "counts": [4, 1, 2, 1, 4]}
    assert (shapes.coco_segmentation(plain, 3, 4, "x") == mask).all()
    flat = [[1, 1, 2, 1, 2, 1]]
    assert (shapes.coco_segmentation(flat, 3, 4, "x") == mask).all()
    with pytest.raises(LabelError, match="img1: wrong size: the code is for 4x3"):
        shapes.coco_segmentation(plain, 6, 8, "img1")
    with pytest.raises(LabelError, match="img2: expected polygons"):
        shapes.coco_segmentation("abc", 6, 8, "img2")


def test_outlines_give_the_mask_back():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 40), bool)
    for x, y in rng.integers(4, 30, (3, 2)):
        mask[y : y + 7, x : x + 6] = True
    polygons, again = shapes.as_polygons(mask)
    assert polygons
    assert (again == mask).all()
