"""The background: wet, folded, vascular tissue on a canvas a little larger than the frame.

Path:    noise, shading -> [tissue] -> scene -> compositor
Axes:    canvas [H, W, 3] float32 RGB, 0..1 with highlights above 1.
Units:   pixels; `side` is the frame side the canvas serves.
"""

import colorsys

import cv2
import numpy as np

from surgjax.synthetic import noise, shading

PALETTE = {
    "peritoneum": (0.72, 0.42, 0.41),
    "rose": (0.66, 0.32, 0.33),
    "muscle": (0.50, 0.16, 0.15),
    "pale": (0.70, 0.60, 0.59),
    "fat": (0.84, 0.62, 0.33),
    "orange": (0.78, 0.45, 0.25),
    "liver": (0.38, 0.15, 0.14),
    "spleen": (0.42, 0.24, 0.33),
    "fascia": (0.82, 0.76, 0.73),
    "serosa": (0.55, 0.45, 0.50),
    "clot": (0.20, 0.03, 0.04),
    "char": (0.13, 0.09, 0.08),
    "veil": (0.46, 0.48, 0.55),
}
_WEIGHTS = np.array([6, 6, 4, 4, 2, 2, 3, 2, 2, 2, 1.5, 0.7, 1], float)


def tissue_colour(rng, p_wild: float) -> np.ndarray:
    """One base colour: usually from the palette with jitter, sometimes any colour at all."""
    if rng.random() < p_wild:
        return np.array(colorsys.hsv_to_rgb(*rng.uniform((0, 0, 0.15), (1, 0.9, 1))), np.float32)
    names = list(PALETTE)
    base = np.array(PALETTE[names[rng.choice(len(names), p=_WEIGHTS / _WEIGHTS.sum())]])
    jitter = rng.normal(0, 0.035, 3) + rng.normal(0, 0.06)
    return np.clip(base + jitter, 0.02, 0.95).astype(np.float32)


def lobules(rng, height: int, width: int) -> np.ndarray:
    """Bulges side by side, as in fat, bowel and lobed organs; about 0..1."""
    count = int(noise.log_uniform(rng, (6, 160)))
    seeds = np.full((height, width), 255, np.uint8)
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 3)
    reach = rng.uniform(0.02, 0.09) * width
    cells = rng.uniform(3, 9)
    grid_x, grid_y = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    warped = cv2.remap(
        distance,
        grid_x + reach * noise.smooth_noise(rng, height, width, cells),
        grid_y + reach * noise.smooth_noise(rng, height, width, cells),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    top = float(np.percentile(warped, 97)) + 1e-3
    return np.sqrt(np.clip(1 - (warped / top) ** 2, 0, 1)).astype(np.float32)


def vessels(rng, height: int, width: int, count: int) -> np.ndarray:
    """Coverage [H, W] in 0..1 of branching, meandering, tapering vessels."""
    drawing = np.zeros((height, width), np.uint8)
    side = max(height, width)
    calibre = noise.log_uniform(rng, (0.9, 3.2)) * side / 256
    wander = rng.uniform(0.08, 0.3)
    stack = []
    for _ in range(count):
        start = rng.uniform((-0.1, -0.1), (1.1, 1.1)) * (width, height)
        stack.append((start, rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0), calibre))
    drawn = 0
    while stack and drawn < 48:
        point, heading, length, thickness = stack.pop(0)
        drawn += 1
        steps = max(6, int(30 * length))
        turns = np.cumsum(rng.normal(0, wander, steps)) + heading
        path = point + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], -1) * side / 30, 0)
        fixed = np.round(path * 16).astype(np.int32)
        for part in range(3):  # thinner and fainter towards its end
            near = thickness * (1 - 0.25 * part)
            piece = fixed[part * steps // 3 : (part + 1) * steps // 3 + 1]
            shade = int(np.clip(255 * min(near, 1.0), 60, 255))
            width_px = max(1, round(near))
            cv2.polylines(drawing, [piece], False, shade, width_px, cv2.LINE_AA, 4)
        if thickness > 0.5:
            for at in rng.integers(1, steps, int(rng.integers(1, 5))):
                side_turn = turns[at] + rng.choice((-1, 1)) * rng.uniform(0.3, 1.1)
                shorter = length * rng.uniform(0.35, 0.8)
                stack.append((path[at], side_turn, shorter, thickness * rng.uniform(0.45, 0.75)))
    soft = cv2.GaussianBlur(drawing, (0, 0), max(0.4, side / 600))
    return soft.astype(np.float32) / 255


def closed_curve(rng, radius: float, roughness: float, elongation: float) -> np.ndarray:
    """A star-shaped outline [72, 2] about the origin."""
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    r = np.ones_like(t)
    for order in range(2, 9):
        r += roughness * rng.normal() / order**1.2 * np.cos(order * t + rng.uniform(0, 6.3))
    r = np.clip(r, 0.35, 1.9) * radius
    return np.stack([r * np.cos(t) * elongation, r * np.sin(t) / elongation], -1)


def _add_vessels(rng, colour: np.ndarray) -> None:
    height, width = colour.shape[:2]
    cover = vessels(rng, height, width, int(rng.integers(1, 7))) * rng.uniform(0.25, 0.8)
    blood = np.array((0.42, 0.05, 0.08) if rng.random() < 0.75 else (0.25, 0.18, 0.32), np.float32)
    colour += cover[..., None] * (blood - colour)


def _add_mass(rng, colour: np.ndarray, relief: np.ndarray, config) -> None:
    """Lays one large organ over what is there, in place: colour, dome, rim and shadow."""
    height, width = relief.shape
    side = max(height, width)
    outline = closed_curve(
        rng, rng.uniform(0.22, 0.75) * side, rng.uniform(0.03, 0.25), rng.uniform(0.6, 1.6)
    )
    spin = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(spin), -np.sin(spin)], [np.sin(spin), np.cos(spin)]])
    outline = outline @ turn + rng.uniform(-0.15, 1.15, 2) * side
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    small = cv2.resize(mask, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    reach = shading.solid_height(small, rng.uniform(0.5, 1.2)) * 4
    dome = cv2.resize(cv2.GaussianBlur(reach, (0, 0), 1.5), (width, height)) * rng.uniform(0.1, 0.6)
    share = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 2.5)).astype(np.float32) / 255
    shift_x, shift_y = rng.normal(0, 0.02, 2) * side / 4
    move = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
    shadow = cv2.warpAffine(small.astype(np.float32) / 255, move, small.shape[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(0.01, 0.04) * side / 4)
    colour *= 1 - rng.uniform(0.1, 0.8) * cv2.resize(shadow, (width, height))[..., None]
    own = np.empty_like(colour)
    own[:] = tissue_colour(rng, config.p_wild_colour)
    if rng.random() < 0.5:
        field = noise.fractal_noise(rng, height, width, rng.uniform(1.5, 5), 3)
        patch = noise.smoothstep(field, 0.0, 1.6)[..., None] * rng.uniform(0.2, 0.8)
        own += patch * (tissue_colour(rng, config.p_wild_colour) - own)
    if rng.random() < 0.6 * config.p_vessels:
        _add_vessels(rng, own)
    colour += share[..., None] * (own - colour)
    relief += share * (dome + rng.uniform(0, 0.5) * relief - relief)


def _add_regions(rng, colour: np.ndarray, relief: np.ndarray, config) -> None:
    """Patches of other tissue, in place: colour, a step in height, a dark cleft."""
    height, width = relief.shape
    side, wild = max(height, width), config.p_wild_colour
    main = colour[0, 0].copy()
    for _ in range(int(rng.integers(config.regions[0], config.regions[1] + 1)) - 1):
        field = noise.fractal_noise(rng, height, width, rng.uniform(0.8, 3.5), 4, 0.45)
        edge = noise.log_uniform(rng, (0.06, 1.5))
        level = rng.uniform(-0.4, 1.0)
        share = noise.smoothstep(field, level, level + edge)
        other = main + rng.uniform(0.25, 1.0) * (tissue_colour(rng, wild) - main)
        colour += share[..., None] * (other - colour)
        # One tissue lies on the other: a step in height, and dark in the cleft below it.
        relief += share * side * rng.uniform(0.0, 0.05)
        if rng.random() < 0.4:
            cleft = np.exp(-(((field - level) / (0.5 * edge + 0.08)) ** 2))
            colour *= (1 - rng.uniform(0.1, 0.6) * cleft)[..., None]


def _add_lobules(rng, colour: np.ndarray, relief: np.ndarray) -> None:
    """Bulges everywhere or in places, in place."""
    height, width = relief.shape
    side = max(height, width)
    bulge = lobules(rng, height, width)
    where = 1.0
    if rng.random() < 0.6:
        where = noise.smoothstep(noise.smooth_noise(rng, height, width, 2.5), 0, 0.4)
    relief += where * bulge * side * rng.uniform(0.015, 0.05)
    crease = np.clip(1.1 * (1 - bulge), 0, 1) ** 2
    colour *= (1 - rng.uniform(0.2, 0.7) * crease * where)[..., None]


def _add_blood(rng, colour: np.ndarray) -> None:
    """Dark pools, in place."""
    height, width = colour.shape[:2]
    field = noise.fractal_noise(rng, height, width, rng.uniform(2, 8), 4)
    level = rng.uniform(0.7, 1.7)
    pool = noise.smoothstep(field, level, level + rng.uniform(0.15, 0.8))[..., None]
    pool *= rng.uniform(0.5, 1)
    colour += pool * (np.array((0.30, 0.02, 0.03), np.float32) - colour)


def background(rng, height: int, width: int, config) -> np.ndarray:
    """A full canvas of tissue, lit."""
    side = max(height, width)
    relief = noise.fractal_noise(
        rng, height, width, rng.uniform(1.2, 4), 4, rng.uniform(0.15, 0.45)
    )
    relief *= side * noise.log_uniform(rng, (0.012, 0.07))
    colour = np.empty((height, width, 3), np.float32)
    colour[:] = tissue_colour(rng, config.p_wild_colour)
    _add_regions(rng, colour, relief, config)
    if rng.random() < config.p_lobules:
        _add_lobules(rng, colour, relief)
    for _ in range(int(rng.integers(config.masses[0], config.masses[1] + 1))):
        _add_mass(rng, colour, relief, config)
    mottle = noise.fractal_noise(rng, height, width, rng.uniform(6, 30), 4, 0.65)
    colour *= (1 + rng.uniform(*config.tissue_texture) * mottle)[..., None]
    tint = noise.fractal_noise(rng, height, width, rng.uniform(3, 10), 3)
    colour += (tint * rng.uniform(0, 0.05))[..., None] * rng.normal(0, 1, 3).astype(np.float32)
    if rng.random() < config.p_vessels:
        _add_vessels(rng, colour)
    hollow = noise.smoothstep(noise.smooth_noise(rng, height, width, rng.uniform(1, 3)), 0, 1.5)
    colour *= (1 - rng.uniform(0, 0.85) * hollow)[..., None]  # recesses the lamp does not reach
    if rng.random() < config.p_blood:
        _add_blood(rng, colour)
    np.clip(colour, 0.01, 1.0, out=colour)
    cells = rng.uniform(12, 50)
    fine = noise.fractal_noise(rng, height, width, cells, 2, 0.5)
    where = noise.smoothstep(noise.smooth_noise(rng, height, width, 3), -0.8, 1.2)
    relief += where * fine * side / cells * noise.log_uniform(rng, (0.01, 0.09))
    gloss = rng.uniform(*config.tissue_gloss)
    return shading.wet(rng, colour, relief, rng.uniform(0.6, 1.4), gloss)
