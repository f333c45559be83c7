"""Vessels as one sees them through peritoneum: trees that fork and thin out, and faint meshes.

Path:    noise -> [capillaries] -> surfaces, organs
Axes:    coverage [H, W] float32 in 0..1.
Units:   pixels; calibres are for a field 256 pixels wide and scale with the longer side.
"""

import cv2
import numpy as np

from surgjax.synthetic import noise

_MOST_BRANCHES = 130
_SUBPIXEL = 4  # bits after the point in the coordinates handed to OpenCV


def _stroke(drawing: np.ndarray, path: np.ndarray, calibres) -> None:
    """Draws one branch in place; what is thinner than a pixel is drawn one pixel wide but faint."""
    fixed = np.round(path * 2**_SUBPIXEL).astype(np.int32)
    for piece, calibre in zip(np.array_split(np.arange(len(fixed) - 1), 3), calibres, strict=True):
        if not len(piece):
            continue
        shade = int(np.clip(255 * calibre, 40, 255))
        points = fixed[piece[0] : piece[-1] + 2]
        thick = max(1, round(float(calibre)))
        cv2.polylines(drawing, [points], False, shade, thick, cv2.LINE_AA, _SUBPIXEL)


def trees(rng, height: int, width: int, count: int, calibre: float = 2.0) -> np.ndarray:
    """`count` trunks that come in from a common side and fork until they are too thin to see."""
    drawing = np.zeros((height, width), np.uint8)
    side = max(height, width)
    root = rng.uniform(0, 2 * np.pi)
    inward = root + np.pi
    stack = []
    for _ in range(count):
        offset = rng.uniform(-0.6, 0.6)
        start = 0.5 + 0.62 * np.array([np.cos(root), np.sin(root)])
        start = start + offset * np.array([-np.sin(root), np.cos(root)])
        trunk = calibre * rng.uniform(0.5, 1.1) * side / 256
        stack.append((start * (width, height), inward + rng.normal(0, 0.35), 1.0, trunk))
    for _ in range(_MOST_BRANCHES):
        if not stack:
            break
        point, heading, length, thick = stack.pop(0)
        steps = max(8, int(44 * length))
        stride = side * length / steps * rng.uniform(0.55, 0.9)
        # It winds about its way, as vessels do that must give when an organ is stretched.
        wind = np.convolve(rng.normal(0, 1.1, steps + 4), np.ones(5) / 5, "valid")
        turns = heading + wind + np.cumsum(rng.normal(0, 0.07, steps))
        path = point + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], -1) * stride, 0)
        _stroke(drawing, np.vstack([point, path]), thick * np.array((1.0, 0.85, 0.65)))
        if thick < 0.3 * side / 256:
            continue
        for at in rng.integers(1, steps, int(rng.integers(2, 6))):
            turn = heading + rng.choice((-1, 1)) * rng.uniform(0.4, 1.25)
            stack.append((path[at], turn, length * rng.uniform(0.35, 0.75), thick * rng.uniform(0.5, 0.72)))
    sharp = cv2.GaussianBlur(drawing, (0, 0), max(0.4, side / 700)).astype(np.float32)
    halo = cv2.GaussianBlur(drawing, (0, 0), side / 110).astype(np.float32)  # blood seen deeper
    return (np.maximum(sharp, 0.55 * sharp + 0.9 * halo) / 255).clip(0, 1)


def mesh(rng, height: int, width: int, cells: float) -> np.ndarray:
    """A closed net of hairlines: where warped noise crosses zero."""
    field = noise.soft_fractal(rng, height, width, cells, 3, 0.55)
    line = np.abs(field) / (cells / max(height, width) * 2.2)
    strength = noise.smoothstep(noise.soft_noise(rng, height, width, cells / 2), -0.6, 1.2)
    return strength * np.clip(1 - line, 0, 1)
