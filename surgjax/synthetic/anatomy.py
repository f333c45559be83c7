"""Organs, ducts and small things lying on the tissue: objects without a shaft.

Path:    tissue, shading, sprites -> [anatomy] -> scene -> compositor
Axes:    as instruments: sprites and [T, 3, 3] matrices; `carry` is the tissue's own motion.
Units:   pixels of the frame; angles in radians.
"""

import colorsys

import cv2
import numpy as np

from surgjax.synthetic import motion, noise, shading, sprites, tissue
from surgjax.synthetic.instruments import Piece, SceneObject, similarity

ORGANS = {  # name: base colours
    "gallbladder": ((0.55, 0.55, 0.35), (0.62, 0.50, 0.42), (0.35, 0.42, 0.36)),
    "liver": ((0.38, 0.15, 0.14), (0.48, 0.20, 0.17)),
    "kidney": ((0.50, 0.20, 0.20), (0.66, 0.45, 0.44), (0.72, 0.62, 0.60)),
    "fat": ((0.85, 0.64, 0.34), (0.88, 0.74, 0.50)),
    "bowel": ((0.75, 0.45, 0.43), (0.80, 0.58, 0.55)),
    "spleen": ((0.42, 0.20, 0.28),),
    "tumour": ((0.80, 0.70, 0.62), (0.45, 0.10, 0.12)),
    "specimen": ((0.16, 0.04, 0.05), (0.10, 0.08, 0.08)),
}


def flesh(rng, alpha: np.ndarray, base: np.ndarray, config, roundness: float) -> np.ndarray:
    """Wet tissue colour over an inflated silhouette."""
    rows, columns = alpha.shape
    height = shading.solid_height(alpha, roundness) * rng.uniform(0.3, 0.9)
    height = cv2.GaussianBlur(height, (0, 0), max(0.8, 0.02 * columns))
    longer = max(rows, columns)
    cells = rng.uniform(3, 14)
    bumps = noise.fractal_noise(rng, rows, columns, cells, 3, 0.45)
    height += bumps * longer / cells * noise.log_uniform(rng, (0.004, 0.06))
    if rng.random() < 0.25:
        height += tissue.lobules(rng, rows, columns) * longer * 0.03
    colour = np.empty((rows, columns, 3), np.float32)
    colour[:] = base
    mottle = noise.fractal_noise(rng, rows, columns, rng.uniform(3, 16), 4, 0.6)
    colour *= (1 + rng.uniform(*config.tissue_texture) * mottle)[..., None]
    if rng.random() < 0.4:
        other = tissue.tissue_colour(rng, config.p_wild_colour)
        field = noise.fractal_noise(rng, rows, columns, rng.uniform(1.5, 5), 3)
        colour += noise.smoothstep(field, 0.3, 1.3)[..., None] * (other - colour)
    if rng.random() < 0.5:
        cover = tissue.vessels(rng, rows, columns, int(rng.integers(1, 4)))[..., None]
        colour += cover * rng.uniform(0.2, 0.7) * (np.array((0.4, 0.06, 0.08), np.float32) - colour)
    np.clip(colour, 0.01, 1, out=colour)
    return shading.wet(
        rng, colour, height, rng.uniform(0.7, 1.4), rng.uniform(*config.tissue_gloss)
    )


def _raster(outline: np.ndarray):
    low = outline.min(0) - sprites.PAD
    columns, rows = np.ceil(outline.max(0) - low + sprites.PAD + 1).astype(int)
    alpha = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(alpha, [np.round((outline - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha, (float(-low[0]), float(-low[1]))


def _lay(rng, picture, side, carry, num_frames, part=0) -> Piece:
    """Puts a sprite on the tissue, drifting a little of its own."""
    at = rng.uniform(0.1, 0.9, 2) * side
    drift = at + motion.tremor(rng, num_frames, 2, 0.004 * side, 25) * (num_frames > 1)
    turn = rng.uniform(0, 2 * np.pi) + motion.tremor(rng, num_frames, 1, 0.02, 30)[:, 0]
    return Piece(picture, carry @ similarity(picture.joint_xy, drift, turn), part)


def organ(rng, num_frames: int, side: int, config, carry, name: str | None = None) -> SceneObject:
    """A rounded organ, or part of one at the border; which one is drawn unless named."""
    name = name or str(rng.choice(list(ORGANS)))
    base = np.array(ORGANS[name][rng.integers(len(ORGANS[name]))]) + rng.normal(0, 0.04, 3)
    if rng.random() < config.p_wild_colour:
        base = np.array(colorsys.hsv_to_rgb(*rng.uniform((0, 0.1, 0.2), (1, 0.9, 0.95))))
    radius = noise.log_uniform(rng, (0.07, 0.30)) * side
    outline = tissue.closed_curve(
        rng, radius, rng.uniform(0.02, 0.3), noise.log_uniform(rng, (0.65, 1.5))
    )
    alpha, joint = _raster(outline)
    rgb = flesh(
        rng, alpha, np.clip(base, 0.02, 0.95).astype(np.float32), config, rng.uniform(0.4, 1)
    )
    piece = _lay(rng, sprites.Sprite(rgb, alpha, joint), side, carry, num_frames)
    return SceneObject(name, "anatomy", [piece], 0.02 * side)


def duct(rng, num_frames: int, side: int, config, carry) -> SceneObject:
    """A duct or vessel running across the field: a long soft tube."""
    steps = 24
    turns = np.cumsum(rng.normal(0, 0.12, steps)) + rng.uniform(-0.3, 0.3)
    stride = rng.uniform(0.3, 1.0) * side / steps
    path = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], -1) * stride, 0)
    path -= path.mean(0)
    width = noise.log_uniform(rng, (0.025, 0.1)) * side
    low = path.min(0) - width
    columns, rows = np.ceil(path.max(0) + width - low).astype(int) + 1
    alpha = np.zeros((rows, columns), np.uint8)
    points = np.round((path - low) * 16).astype(np.int32)
    cv2.polylines(alpha, [points], False, 255, max(2, int(width)), cv2.LINE_AA, 4)
    rgb = flesh(rng, alpha, tissue.tissue_colour(rng, config.p_wild_colour), config, 1.0)
    picture = sprites.Sprite(rgb, alpha, (float(-low[0]), float(-low[1])))
    return SceneObject(
        "duct", "anatomy", [_lay(rng, picture, side, carry, num_frames)], 0.02 * side
    )


def accessory(rng, num_frames: int, side: int, config, carry) -> SceneObject:
    """Gauze, a needle or a clip."""
    kind = str(rng.choice(("gauze", "needle", "clip"), p=(0.45, 0.25, 0.3)))
    if kind == "gauze":
        size = rng.uniform(0.08, 0.28) * side
        alpha, joint = _raster(
            tissue.closed_curve(rng, size, rng.uniform(0.05, 0.25), rng.uniform(0.7, 1.4))
        )
        rows, columns = alpha.shape
        weave = np.sin(np.arange(columns) * rng.uniform(0.7, 2))[None] * np.sin(
            np.arange(rows) * rng.uniform(0.7, 2)
        )[:, None].astype(np.float32)
        height = noise.fractal_noise(rng, rows, columns, rng.uniform(2, 6), 4, 0.6) * size * 0.08
        colour = np.empty((rows, columns, 3), np.float32)
        colour[:] = np.array((0.86, 0.85, 0.82)) * rng.uniform(0.7, 1.1)
        colour *= (1 + 0.08 * weave)[..., None]
        blood = noise.fractal_noise(rng, rows, columns, 3, 3)
        share = noise.smoothstep(blood, level := rng.uniform(-0.3, 1.8), level + 0.6)[..., None]
        colour += share * (np.array((0.55, 0.08, 0.09), np.float32) - colour)
        rgb = shading.wet(rng, colour, height, 1.0, 0.1)
        picture = sprites.Sprite(rgb, alpha, joint)
    else:
        metal = sprites.draw_material(rng, "metal" if rng.random() < 0.8 else "plastic", 0.05)
        thick = max(2.5, rng.uniform(0.012, 0.03) * side)
        if kind == "needle":
            arc = np.linspace(0, rng.uniform(1.6, 3.4), 30)
            radius = rng.uniform(0.05, 0.13) * side
            line = np.stack([np.cos(arc), np.sin(arc)], -1) * radius
            half = 0.5 * thick * np.linspace(1, 0.35, 30)
        else:
            t = np.linspace(-1, 1, 31)
            long, gap = rng.uniform(0.05, 0.11) * side, rng.uniform(0.3, 1.0) * thick + thick
            line = np.stack([long * (1 - np.abs(t) ** 3), gap * t], -1)
            half = np.full(31, 0.5 * thick)
        tangent = np.gradient(line, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1) * half[:, None]
        outline = np.concatenate([line + normal, (line - normal)[::-1]])
        picture = sprites.solid(rng, outline, [], outline.mean(0), metal, 0, False)
    piece = _lay(rng, picture, side, carry, num_frames)
    return SceneObject(kind, "accessory", [piece], rng.uniform(0.005, 0.03) * side)


def flap(rng, num_frames: int, side: int, config, carry) -> SceneObject:
    """Unlabelled tissue in front of everything else, mostly from below or from a side."""
    radius = rng.uniform(0.08, 0.28) * side
    outline = tissue.closed_curve(rng, radius, rng.uniform(0.05, 0.3), rng.uniform(0.7, 1.7))
    alpha, joint = _raster(outline)
    rgb = flesh(rng, alpha, tissue.tissue_colour(rng, config.p_wild_colour), config, 1.0)
    piece = _lay(rng, sprites.Sprite(rgb, alpha, joint), side, carry, num_frames)
    return SceneObject("flap", "unlabelled", [piece], 0.01 * side)


def thread(rng, num_frames: int, side: int, carry) -> SceneObject:
    """Unlabelled suture thread: thin, dark, blue, violet or white."""
    steps = 40
    turns = np.cumsum(rng.normal(0, 0.35, steps)) + rng.uniform(0, 6.3)
    path = (
        np.cumsum(np.stack([np.cos(turns), np.sin(turns)], -1), 0) * rng.uniform(0.3, 1) * side / 40
    )
    low = path.min(0) - 4
    columns, rows = np.ceil(path.max(0) - low + 4).astype(int) + 1
    alpha = np.zeros((rows, columns), np.uint8)
    points = np.round((path - low) * 16).astype(np.int32)
    thick = max(1, round(rng.uniform(0.6, 2.2) * side / 256))
    cv2.polylines(alpha, [points], False, 255, thick, cv2.LINE_AA, 4)
    tones = ((0.03, 0.03, 0.04), (0.15, 0.2, 0.5), (0.4, 0.15, 0.5), (0.85, 0.84, 0.8))
    rgb = np.empty((rows, columns, 3), np.float32)
    rgb[:] = tones[rng.integers(len(tones))]
    middle = (float(columns / 2), float(rows / 2))
    piece = _lay(rng, sprites.Sprite(rgb, alpha, middle), side, carry, num_frames)
    return SceneObject("thread", "unlabelled", [piece], 0.01 * side)
