"""Vessels as one sees them through peritoneum: trees that fork and thin out, and faint meshes.

Path:    noise -> [capillaries] -> surfaces, organs
Axes:    coverage [H, W] float32 in 0..1.
Units:   pixels; calibres are for a field 256 pixels wide and scale with the longer side.
"""

import cv2
import numpy as np

from surgjax.synthetic import noise

_MOST_BRANCHES = 130
_STEPS = (44, 30, 20, 13, 9)  # points along a branch, by how often it has forked
_SUBPIXEL = 4  # bits after the point in the coordinates handed to OpenCV


def _paths(rng, start, heading, length, steps: int) -> np.ndarray:
    """[N, steps + 1, 2]: branches that wind about their way."""
    count = len(start)
    # Winding, as vessels do that must give when an organ is stretched.
    sums = np.cumsum(rng.normal(0, 1.1, (count, steps + 5)), 1)
    wind = (sums[:, 5:] - sums[:, :-5]) / 5
    turns = heading[:, None] + wind + np.cumsum(rng.normal(0, 0.07, (count, steps)), 1)
    stride = (length / steps * rng.uniform(0.55, 0.9, count))[:, None, None]
    way = np.stack([np.cos(turns), np.sin(turns)], -1) * stride
    return np.concatenate([start[:, None], start[:, None] + np.cumsum(way, 1)], 1)


def _draw(drawing: np.ndarray, strokes) -> None:
    """Draws (path, calibre) pairs in place, fine before thick; under a pixel a line is faint."""
    groups: dict[tuple[int, int], list[np.ndarray]] = {}
    for path, calibre in strokes:
        shade = int(np.clip(256 * calibre, 40, 255)) // 24 * 24 + 15
        fixed = np.round(path * 2**_SUBPIXEL).astype(np.int32)
        groups.setdefault((shade, max(1, round(calibre))), []).append(fixed)
    for shade, thick in sorted(groups):
        lines = groups[shade, thick]
        cv2.polylines(drawing, lines, False, shade, thick, cv2.LINE_AA, _SUBPIXEL)


def trees(rng, height: int, width: int, count: int, calibre: float = 2.0) -> np.ndarray:
    """`count` trunks that come in from a common side and fork until they are too thin to see."""
    side = max(height, width)
    root = rng.uniform(0, 2 * np.pi)
    border = 0.5 + 0.62 * np.array([np.cos(root), np.sin(root)])
    beside = rng.uniform(-0.6, 0.6, (count, 1)) * (-np.sin(root), np.cos(root))
    start = (border + beside) * (width, height)
    heading = root + np.pi + rng.normal(0, 0.35, count)
    length = np.full(count, float(side))
    thick = calibre * rng.uniform(0.5, 1.1, count) * side / 256
    strokes, left = [], _MOST_BRANCHES
    for steps in _STEPS:
        left -= len(start)
        paths = _paths(rng, start, heading, length, steps)
        cuts = (0, steps // 3, 2 * steps // 3, steps)
        for part, taper in enumerate((1.0, 0.85, 0.65)):
            pieces = paths[:, cuts[part] : cuts[part + 1] + 1]
            strokes += zip(pieces, (taper * thick).tolist(), strict=True)
        forks = rng.integers(2, 6, len(start)) * (thick > 0.3 * side / 256)
        parent = np.repeat(np.arange(len(start)), forks)[: max(left, 0)]
        if not len(parent):
            break
        at = rng.integers(1, steps, len(parent))
        aside = rng.choice((-1, 1), len(parent)) * rng.uniform(0.4, 1.25, len(parent))
        start, heading = paths[parent, at], heading[parent] + aside
        length = length[parent] * rng.uniform(0.35, 0.75, len(parent))
        thick = thick[parent] * rng.uniform(0.5, 0.72, len(parent))
    drawing = np.zeros((height, width), np.uint8)
    _draw(drawing, strokes)
    sharp = cv2.GaussianBlur(drawing, (0, 0), max(0.4, side / 700)).astype(np.float32)
    halo = cv2.GaussianBlur(drawing, (0, 0), side / 110).astype(np.float32)  # blood seen deeper
    return (np.maximum(sharp, 0.55 * sharp + 0.9 * halo) / 255).clip(0, 1)


def mesh(rng, height: int, width: int, cells: float) -> np.ndarray:
    """A closed net of hairlines: where warped noise crosses zero."""
    field = noise.soft_fractal(rng, height, width, cells, 3, 0.55)
    line = np.abs(field) / (cells / max(height, width) * 2.2)
    strength = noise.smoothstep(noise.soft_noise(rng, height, width, cells / 2), -0.6, 1.2)
    return strength * np.clip(1 - line, 0, 1)
