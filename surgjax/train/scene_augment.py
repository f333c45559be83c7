"""Cheap augmentation of generated scenes: one affine map and one colour change per scene.

Path:    scene -> [scene_augment] -> scene_batches
Units:   frames uint8 RGB; a map is 2x3, source pixels (x, y) to those of the crop.
Source:  SAM 2's transforms (arXiv:2408.00714) for the kinds; the strengths are ours.
Differs: half of the scenes keep nearly the geometry, and four in ten the colours, they were made
         with: strong changes of every scene cost a small model more than they gave.
"""

import dataclasses

import cv2
import numpy as np


def draw_warp(rng: np.random.Generator, height: int, width: int, size: int) -> np.ndarray:
    """Affine map of the source to a size x size crop: flips, rotation, scale, stretch, shift."""
    strength = rng.choice([0.2, 1.0])  # half of the scenes stay nearly as they were generated
    scale = np.exp(strength * rng.uniform(np.log(0.9), np.log(1.7)))
    stretch = np.exp(strength * rng.uniform(-0.2, 0.2))
    angle = strength * rng.uniform(-25, 25) * np.pi / 180
    if rng.random() < 0.1 * strength:
        angle += rng.choice([0.5, 1.0, 1.5]) * np.pi
    flip = rng.choice([-1.0, 1.0])
    zoom = np.diag([scale * stretch * flip * size / width, scale / stretch * size / height])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ zoom
    reach = 0.5 * max(0.0, 1 - 1 / scale) + 0.08  # keep most of the scene in view
    centre = np.array([width, height]) * (0.5 + rng.uniform(-reach, reach, 2))
    shift = np.array([size, size]) / 2 - matrix @ centre
    return np.concatenate([matrix, shift[:, None]], 1).astype(np.float32)


@dataclasses.dataclass
class Colour:
    """One draw of photometric changes, the same for all frames of a clip."""

    table: np.ndarray  # [256, 3] uint8
    mix: np.ndarray | None  # [3, 3]
    blur: float
    noise: float


def draw_colour(rng: np.random.Generator) -> Colour:
    levels = np.linspace(0, 1, 256)[:, None]
    if rng.random() < 0.4:
        same = np.tile(np.arange(256, dtype=np.uint8)[:, None], 3)
        return Colour(same, mix=None, blur=0.0, noise=0.0)
    gamma = np.exp(rng.uniform(-0.2, 0.2) + rng.uniform(-0.05, 0.05, 3))
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.92, 1.08, 3)
    offset = rng.uniform(-0.04, 0.04)
    contrast = rng.uniform(0.85, 1.15)
    curve = ((levels**gamma) * gain - 0.4) * contrast + 0.4 + offset
    table = np.clip(curve * 255 + 0.5, 0, 255).astype(np.uint8)
    mix = None
    if rng.random() < 0.2:
        grey = np.full((3, 3), 1 / 3)
        saturation = rng.uniform(0.5, 1.3)
        mix = saturation * np.eye(3) + (1 - saturation) * grey
    blur = rng.uniform(0.4, 1.0) if rng.random() < 0.1 else 0.0
    noise = rng.uniform(2.0, 5.0) if rng.random() < 0.1 else 0.0
    return Colour(table=table, mix=mix, blur=blur, noise=noise)


def apply_colour(rng: np.random.Generator, frame: np.ndarray, colour: Colour) -> np.ndarray:
    frame = cv2.LUT(frame, colour.table[None])
    if colour.mix is not None:
        frame = cv2.transform(frame, colour.mix)
    if colour.blur:
        frame = cv2.GaussianBlur(frame, (0, 0), colour.blur)
    if colour.noise:
        grain = rng.standard_normal(frame.shape, np.float32) * colour.noise
        frame = np.clip(frame + grain, 0, 255).astype(np.uint8)
    return frame
