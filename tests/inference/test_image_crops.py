"""Grids and crops by hand."""

import numpy as np
import pytest

from surgjax.inference.image_crops import crop_boxes, is_cut, layer_grids, point_grid


def test_grid_points_are_centres_of_cells():
    want = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    np.testing.assert_allclose(point_grid(2), want)
    assert [len(grid) for grid in layer_grids(7, 2, 2)] == [49, 9, 1]


def test_crops_of_a_layer():
    boxes = crop_boxes((60, 100), 1, 0.2)  # overlap 12: crops of 56 x 36, 44 and 24 apart
    assert boxes == [
        ((0, 0, 100, 60), 0),
        ((0, 0, 56, 36), 1),
        ((0, 24, 56, 60), 1),
        ((44, 0, 100, 36), 1),
        ((44, 24, 100, 60), 1),
    ]


def test_crops_cover_the_image():
    for size in ((61, 97), (40, 40), (33, 200)):
        for layer in (1, 2, 3):
            seen = np.zeros(size, bool)
            boxes = [box for box, number in crop_boxes(size, 3, 512 / 1500) if number == layer]
            assert len(boxes) == 4**layer
            for x0, y0, x1, y1 in boxes:
                seen[y0:y1, x0:x1] = True
            assert seen.all()


def test_boxes_at_a_crops_edge_are_cut_unless_it_is_the_images():
    size, crop = (200, 200), (0, 0, 120, 120)
    boxes = np.array(
        [
            [0, 0, 99, 99],  # image's edges on the left and above; 21 from the crop's
            [0, 0, 100, 99],  # 20 from the crop's right edge
            [30, 30, 60, 119],
            [30, 30, 60, 60],
        ]
    )
    assert is_cut(boxes, crop, size).tolist() == [False, True, True, False]
    assert not is_cut(boxes, (0, 0, 200, 200), size).any()


def test_what_is_too_small_is_refused():
    with pytest.raises(ValueError, match="leave no point in crop layer 2"):
        layer_grids(3, 2, 2)
    with pytest.raises(ValueError, match="4x4 pixels is too small for 8 crops a side"):
        crop_boxes((4, 4), 3, 0.3)
