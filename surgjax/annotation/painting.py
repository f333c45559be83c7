"""Brush and eraser: strokes onto a mask.

Path:    pointer -> [painting] -> mask prompt
Axes:    mask bool (H, W); a stroke (n, 2) x, y.
Units:   pixels of the video; a pixel is painted if its centre lies within `radius` of the stroke,
         whose points are centres of pixels themselves.
Source:  ours.
Differs: nothing to compare with.
"""

import numpy as np

_EXACT = 1e-9  # a pixel just on the rim is inside, whatever way its distance was rounded


def paint(mask: np.ndarray, stroke: np.ndarray, radius: float, erase: bool = False) -> np.ndarray:
    """A new mask: the old one with a stroke of a round brush added, or taken away.

    The brush between two points of the stroke is convex, so in each row of pixels it is one run:
    its ends are computed, and a large brush costs no more than its height.
    """
    stroke = np.asarray(stroke, np.float64).reshape(-1, 2)
    height, width = mask.shape
    ends = np.zeros((height, width + 1), np.int32)  # +1 where a run begins, -1 behind its end
    starts, stops = stroke, np.concatenate([stroke[1:], stroke[-1:]])
    for a, b in zip(starts, stops, strict=True):
        low = max(int(np.ceil(min(a[1], b[1]) - radius)), 0)
        high = min(int(np.floor(max(a[1], b[1]) + radius)), height - 1)
        rows = np.arange(low, high + 1)
        left, right = _runs(a, b, radius, rows.astype(np.float64))
        first = np.clip(np.ceil(left - _EXACT), 0, width).astype(np.int64)
        last = np.clip(np.floor(right + _EXACT), -1, width - 1).astype(np.int64)
        some = first <= last
        ends[rows[some], first[some]] += 1  # each row once
        ends[rows[some], last[some] + 1] -= 1
    near = ends.cumsum(1)[:, :width] > 0
    return mask & ~near if erase else mask | near


def _runs(
    a: np.ndarray, b: np.ndarray, radius: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last x, in each row, of all that lies within the radius of the line from a to b;
    the first is beyond the last where there is nothing."""
    left, right = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    for x, y in (a, b):
        half = np.sqrt(np.maximum(radius * radius - (rows - y) ** 2, 0.0))
        here = np.abs(rows - y) <= radius
        left = np.where(here, np.minimum(left, x - half), left)
        right = np.where(here, np.maximum(right, x + half), right)
    dx, dy = b - a
    length = np.hypot(dx, dy)
    if not length:
        return left, right
    # The strip beside the line: |across| <= radius and 0 <= along <= length, each linear in x.
    begin, end = np.full(len(rows), -np.inf), np.full(len(rows), np.inf)
    for slope, offset, least, most in (
        (dy / length, -dx / length * (rows - a[1]), -radius, radius),
        (dx / length, dy / length * (rows - a[1]), 0.0, length),
    ):
        if slope:
            edges = np.sort([(least - offset) / slope, (most - offset) / slope], axis=0)
            begin, end = np.maximum(begin, edges[0] + a[0]), np.minimum(end, edges[1] + a[0])
        else:
            end = np.where((offset >= least) & (offset <= most), end, -np.inf)
    is_strip = begin <= end
    left = np.where(is_strip, np.minimum(left, begin), left)
    return left, np.where(is_strip, np.maximum(right, end), right)
