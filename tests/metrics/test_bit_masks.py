"""Masks as integers against NumPy and OpenCV."""

import cv2
import numpy as np
import pytest

from surgjax import metrics
from surgjax.metrics import bit_masks


def _unpack(bits, grid):
    data = (bits & grid.inside).to_bytes(grid.height * grid.stride // 8, "little")
    flat = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(bool)
    return flat.reshape(grid.height, grid.stride)[:, : grid.width]


def _disk(radius):
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 4, 8, 18])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (13, 17), (40, 64)])
def test_dilate_is_a_disk_around_every_pixel(radius, shape):
    rng = np.random.default_rng(radius)
    grid = bit_masks.grid_of(shape, guard=radius)
    for density in (0.0, 0.01, 0.3, 1.0):
        mask = rng.random(shape) < density
        packed = bit_masks.pack(mask, grid) & grid.inside
        assert (_unpack(packed, grid) == mask).all()
        expected = cv2.dilate(mask.astype(np.uint8), _disk(radius)).astype(bool)
        assert (_unpack(bit_masks.dilate(packed, grid, radius), grid) == expected).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (13, 17), (16, 64)])
def test_boundary_equals_the_array_function(shape):
    rng = np.random.default_rng(1)
    grid = bit_masks.grid_of(shape, guard=2)
    for density in (0.0, 0.1, 0.5, 1.0):
        mask = rng.random(shape) < density
        found = _unpack(bit_masks.boundary(bit_masks.pack(mask, grid), grid), grid)
        assert (found == metrics.boundary_map(mask)).all()


def test_window_holds_both_masks_and_a_pixel_around():
    mask, target = np.zeros((2, 20, 30), bool)
    mask[4:6, 7], target[10, 12] = True, True
    assert bit_masks.window(mask, target) == (slice(3, 12), slice(6, 14))
    target[0, 29] = True  # the border cuts the frame around off
    rows, columns = bit_masks.window(mask, target)
    assert mask[rows, columns].shape == (12, 24)


def test_score_of_a_window_is_that_of_the_frame():
    rng = np.random.default_rng(2)
    small = rng.random((2, 9, 12)) < 0.4
    for top, left in ((0, 0), (100, 150), (191, 288), (0, 200)):
        frames = np.zeros((2, 200, 300), bool)
        frames[:, top : top + 9, left : left + 12] = small
        found, wanted = metrics.boundary_map(frames)
        disk = _disk(3)  # 0.008 of a diagonal of 360.6, rounded up
        near_found = cv2.dilate(found.astype(np.uint8), disk)
        near_wanted = cv2.dilate(wanted.astype(np.uint8), disk)
        precision = near_wanted[found].mean()
        recall = near_found[wanted].mean()
        expected = 2 * precision * recall / (precision + recall)
        assert metrics.contour_accuracy(*frames[:, None]) == pytest.approx([expected], abs=1e-12)
