"""Brush strokes, pixel by pixel."""

import numpy as np
import pytest

from surgjax.annotation.painting import paint

EMPTY = np.zeros((20, 30), bool)


def brute(stroke, radius):
    """Every pixel against every one of many points on the stroke."""
    y, x = np.mgrid[:20, :30].astype(float)
    out = np.zeros((20, 30), bool)
    points = np.array(stroke, float)
    ends = points[1:] if len(points) > 1 else points
    for (x0, y0), (x1, y1) in zip(points, ends, strict=False):
        for s in np.linspace(0, 1, 2001):
            cx, cy = x0 + s * (x1 - x0), y0 + s * (y1 - y0)
            out |= (x - cx) ** 2 + (y - cy) ** 2 <= radius**2 + 1e-9
    return out


def test_a_dab_by_hand():
    rows = np.flatnonzero(paint(EMPTY, np.array([[10, 5]]), 2).any(1))
    assert rows.tolist() == [3, 4, 5, 6, 7]
    counts = paint(EMPTY, np.array([[10, 5]]), 2).sum(1)[3:8].tolist()
    assert counts == [1, 3, 5, 3, 1]
    assert paint(EMPTY, np.array([[10, 5]]), 0.5).sum() == 1  # the pixel under the pointer


def test_strokes_are_all_pixels_within_the_radius():
    for stroke, radius in (
        ([[3, 4], [20, 11]], 3.3),
        ([[3, 4], [20, 11], [20, 2]], 2.7),
        ([[-5, 10], [40, 10]], 1.5),
        ([[28, 18], [29, 19]], 6.2),
        ([[7, 7], [7, 7]], 4.1),
    ):
        found = paint(EMPTY, np.array(stroke), radius)
        assert np.array_equal(found, brute(stroke, radius)), (stroke, radius)


@pytest.mark.parametrize("seed", range(8))
def test_random_strokes(seed):
    draw = np.random.default_rng(seed)
    stroke, radius = draw.uniform((-6, -6), (36, 26), (4, 2)).round(seed % 2), draw.uniform(0.5, 9)
    found, want = paint(EMPTY, stroke, radius), brute(stroke, radius)
    # The reference takes steps along the stroke: only on the rim may it miss a pixel.
    assert not (want & ~found).any() and (found & ~want).sum() <= 1


def test_erasing_and_the_old_mask():
    old = np.ones((20, 30), bool)
    stroke = np.array([[5, 5], [9, 9]])
    hole = paint(old, stroke, 2, erase=True)
    assert np.array_equal(~hole, paint(EMPTY, stroke, 2)) and old.all()
    assert not paint(EMPTY, np.array([[100.0, 100.0]]), 5).any()  # beyond the picture
