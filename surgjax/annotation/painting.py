"""Brush and eraser: strokes onto a mask.

Path:    pointer -> [painting] -> mask prompt
Axes:    mask bool (H, W); a stroke (n, 2) x, y.
Units:   pixels of the video; a pixel is painted if its centre lies within `radius` of the stroke,
         whose points are centres of pixels themselves.
Source:  ours.
Differs: nothing to compare with.
"""

import numpy as np


def paint(mask: np.ndarray, stroke: np.ndarray, radius: float, erase: bool = False) -> np.ndarray:
    """A new mask: the old one with a stroke of a round brush added, or taken away."""
    stroke = np.asarray(stroke, np.float64).reshape(-1, 2)
    out = np.array(mask, bool)
    starts, ends = stroke, np.concatenate([stroke[1:], stroke[-1:]])
    for (x0, y0), (x1, y1) in zip(starts, ends, strict=True):
        rows = _span(y0, y1, radius, mask.shape[0])
        cols = _span(x0, x1, radius, mask.shape[1])
        y, x = np.mgrid[rows, cols].astype(np.float64)
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length else 0.0
        near = (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2 <= radius * radius
        if erase:
            out[rows, cols] &= ~near
        else:
            out[rows, cols] |= near
    return out


def _span(a: float, b: float, radius: float, size: int) -> slice:
    low, high = int(np.floor(min(a, b) - radius)), int(np.ceil(max(a, b) + radius)) + 1
    return slice(*np.clip([low, high], 0, size).tolist())
