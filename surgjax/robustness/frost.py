"""A pane grown over with frost, drawn afresh from every seed.

Path:    [frost] -> weather
Axes:    [H, W, 3] float64 RGB.
Units:   values in 0..1; lengths as shares of the short side.
Errors:  none of their own.
Source:  ours.
Differs: ImageNet-C lays one of five photographs of frost over a picture; here nobody's photograph
         is needed: feathers of ice that branch at 60 degrees, on a mottled film, densest at the
         rim.
"""

import cv2
import numpy as np

from surgjax.robustness import fields

FEATHERS = 160  # per square of the short side
TINT = (0.82, 0.92, 1.0)


def _feather(canvas: np.ndarray, rng, side: int) -> None:
    """A bent stem with side branches, which get shorter towards its tip."""
    height, width = canvas.shape
    place = rng.uniform(0, 1, 2) * (width, height)
    if rng.random() < 0.6:  # most start at the rim
        edge = rng.integers(4)
        place[edge % 2] = 0 if edge < 2 else (width, height)[edge % 2]
    steps, length = int(rng.integers(12, 32)), rng.uniform(0.1, 0.4) * side
    ways = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.03) * np.arange(steps)
    stem = place + np.cumsum(length / steps * np.stack([np.cos(ways), np.sin(ways)], -1), 0)
    shade = int(rng.integers(110, 256))
    for turn in (-np.pi / 3, np.pi / 3):
        reach = 0.3 * length * np.linspace(1, 0.1, steps) * rng.uniform(0.4, 1.0, steps)
        way = np.stack([np.cos(ways + turn), np.sin(ways + turn)], -1)
        branches = np.stack([stem, stem + reach[:, None] * way], 1)
        cv2.polylines(canvas, list(np.round(branches).astype(np.int32)), False, shade * 3 // 4)
    cv2.polylines(canvas, [np.round(stem).astype(np.int32)], False, shade)


def frost_pane(rng, height: int, width: int) -> np.ndarray:
    """[height, width, 3] in 0..1: what a frozen window adds to the light."""
    side = min(height, width)
    film = fields.plasma(rng, height, width, 1.6)
    mottled = 1 - np.abs(2 * fields.plasma(rng, height, width, 1.25) - 1)
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(max(8, round(FEATHERS * height * width / side**2))):
        _feather(canvas, rng, side)
    ice = canvas / 255.0
    ice = 0.6 * ice + 0.4 * fields.gaussian_blur(ice, 1.5) * 2
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    rim = np.maximum(np.abs(x), np.abs(y)) ** 2
    cover = (0.5 + 0.5 * rim) * (0.4 + 0.6 * film)
    pane = np.clip(cover * (0.25 + 0.55 * mottled**2) + 0.7 * ice * (0.5 + 0.5 * rim), 0, 1)
    return pane[..., None] * np.array(TINT)
