"""What an operation leaves on the tissue: blood in the hollows, trickles, scorched rows of spots.

Path:    noise, surfaces -> [wounds] -> landscape
Axes:    works on a Ground in place.
Units:   pixels.
"""

import cv2
import numpy as np

from surgjax.synthetic import noise
from surgjax.synthetic.surfaces import BLOOD, CHAR, CLOT


def _pool(rng, ground) -> None:
    """Fills low places: dark, level, glossy."""
    height, width = ground.height, ground.width
    where = noise.soft_fractal(rng, height, width, rng.uniform(1.5, 4), 4, 0.45)
    smooth = cv2.GaussianBlur(ground.relief, (0, 0), 0.02 * ground.side)
    low = (smooth - smooth.mean()) / (smooth.std() + 1e-3)
    field = where - 0.5 * low
    level = rng.uniform(1.1, 2.0)
    share = noise.smoothstep(field, level, level + 0.12)
    tone = BLOOD + rng.uniform(0, 0.8) * (CLOT - BLOOD)
    ground.colour += (rng.uniform(0.75, 0.97) * share)[..., None] * (tone - ground.colour)
    rim = 0.02 * ground.side * noise.smoothstep(field, level, level + 0.5)
    ground.relief += 0.9 * share * (smooth + rim - ground.relief)
    ground.gloss += share * (1.6 - ground.gloss)


def _trickles(rng, ground) -> None:
    """Thin runs of blood downhill from one spot."""
    drawing = np.zeros((ground.height, ground.width), np.uint8)
    start = rng.uniform(0.15, 0.85, 2) * (ground.width, ground.height)
    way = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 4))):
        steps = int(rng.integers(8, 26))
        turns = way + np.cumsum(rng.normal(0, 0.25, steps))
        path = start + rng.normal(0, 0.01, 2) * ground.side
        path = path + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], -1), 0) * ground.side / 50
        fixed = np.round(path * 16).astype(np.int32)
        for half, scale in ((fixed[: steps // 2 + 1], 1.0), (fixed[steps // 2 :], 0.6)):
            thick = max(1, round(scale * rng.uniform(0.006, 0.02) * ground.side))
            cv2.polylines(drawing, [half], False, 255, thick, cv2.LINE_AA, 4)
    share = cv2.GaussianBlur(drawing, (0, 0), 0.004 * ground.side).astype(np.float32) / 255
    ground.colour += (0.85 * share)[..., None] * (BLOOD - ground.colour)
    ground.relief += 0.008 * ground.side * share
    ground.gloss += 0.8 * share


def _scorch(rng, ground) -> None:
    """A row of coagulated spots along a planned cut: brown rim, pale or black middle."""
    count = int(rng.integers(3, 16))
    bow = np.linspace(0, rng.uniform(0.3, 2.5), count)
    centre = rng.uniform(0.2, 0.8, 2) * (ground.width, ground.height)
    path = centre + rng.uniform(0.08, 0.25) * ground.side * np.stack([np.cos(bow), np.sin(bow)], -1)
    path += rng.normal(0, 0.006 * ground.side, path.shape)
    outer = np.zeros((ground.height, ground.width), np.uint8)
    inner = np.zeros_like(outer)
    for x, y in path:
        at = (int(x * 16), int(y * 16))
        radius = rng.uniform(0.006, 0.018) * ground.side * 16
        cv2.circle(outer, at, int(1.7 * radius), 255, -1, cv2.LINE_AA, 4)
        cv2.circle(inner, at, int(0.8 * radius), 255, -1, cv2.LINE_AA, 4)
    rough = noise.soft_fractal(rng, ground.height, ground.width, 40, 2)
    halo = cv2.GaussianBlur(outer, (0, 0), 0.006 * ground.side).astype(np.float32) / 255
    core = cv2.GaussianBlur(inner, (0, 0), 0.003 * ground.side).astype(np.float32) / 255
    halo, core = (np.clip(s * (1 + 0.4 * rough), 0, 1) for s in (halo, core))
    ground.colour += (0.75 * halo)[..., None] * (
        np.array((0.66, 0.50, 0.34), np.float32) - ground.colour
    )
    ground.colour += (0.8 * core)[..., None] * (CHAR - ground.colour)
    ground.relief -= 0.012 * ground.side * core
    ground.gloss *= 1 - 0.8 * halo


def mark(rng, ground, config) -> None:
    """Adds what this scene has of each, in place."""
    for probability, add in (
        (config.p_blood_pool, _pool),
        (config.p_trickle, _trickles),
        (config.p_scorch, _scorch),
    ):
        if probability and rng.random() < probability:
            add(rng, ground)
