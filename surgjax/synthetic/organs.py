"""Organs that carry a label, seated in a landscape and lit by its lamp.

Path:    ground, surfaces, shading -> [organs] -> scene -> compositor
Axes:    as anatomy: sprites and [T, 3, 3] matrices from sprite pixel to frame pixel.
Units:   pixels; `canvas_matrices` take canvas pixels to frame pixels, [T, 3, 3].
"""

import cv2
import numpy as np

from surgjax.synthetic import motion, noise, shading, sprites, surfaces, tissue
from surgjax.synthetic.ground import Ground, Seat
from surgjax.synthetic.instruments import Piece, SceneObject

SKIN = {  # which surface each organ has
    "gallbladder": "gallbladder",
    "kidney": "kidney",
    "liver": "liver",
    "fat": "fat",
    "bowel": "serosa",
    "spleen": "spleen",
    "tumour": "tumour",
    "specimen": "specimen",
    "duct": "duct",
    "artery": "artery",
}
_SHARES = np.array([1.0, 1.0, 1.0, 1.2, 1.2, 0.6, 1.0, 0.5, 0.0, 0.0])  # the last by name only


def _skin(rng, ground: Ground, name: str, height: int, width: int) -> surfaces.Skin:
    tones = {
        "kidney": ((0.50, 0.20, 0.20), (0.64, 0.42, 0.42), (0.45, 0.14, 0.15)),
        "spleen": ((0.40, 0.18, 0.25), (0.46, 0.22, 0.26)),
        "tumour": ((0.78, 0.62, 0.54), (0.48, 0.13, 0.14), (0.66, 0.42, 0.40)),
        "specimen": ((0.17, 0.04, 0.05), (0.30, 0.14, 0.10)),
        "duct": ((0.70, 0.60, 0.42), (0.62, 0.56, 0.44)),
        "artery": ((0.62, 0.20, 0.20), (0.70, 0.34, 0.32)),
    }
    kind = SKIN[name]
    if kind in surfaces.SKINS:
        return surfaces.SKINS[kind](rng, height, width)
    skin = surfaces.serosa(rng, height, width)
    wanted = surfaces.tint(rng, *tones[kind])
    skin.colour *= wanted / skin.colour.mean((0, 1))
    if kind in ("tumour", "specimen"):
        longer = max(height, width)
        lumps = noise.soft_fractal(rng, height, width, rng.uniform(3, 7), 4, 0.55)
        skin.relief += 0.02 * longer * lumps
        skin.colour *= (1 + 0.14 * lumps)[..., None]
    return skin


def _band(centre: np.ndarray, half: np.ndarray) -> np.ndarray:
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1) * half[:, None]
    return np.concatenate([centre + normal, (centre - normal)[::-1]])


def outline(rng, name: str, length: float) -> np.ndarray:
    """The silhouette [N, 2] of an organ about the origin, its long axis along +x."""
    t = np.linspace(0, 1, 40)
    bow = rng.normal(0, 0.12) * np.sin(np.pi * t) * length
    centre = np.stack([(t - 0.5) * length, bow], -1)
    ends = np.sqrt(np.clip(t * (1 - t) * 9, 0, 1))
    if name == "gallbladder":  # a neck that widens into the fundus
        wide = length * rng.uniform(0.18, 0.26)
        return _band(centre, wide * (0.35 + 0.65 * noise.smoothstep(t, 0.1, 0.75)) * ends)
    if name == "bowel":
        wander = np.cumsum(rng.normal(0, 0.012, 40)) * length
        centre[:, 1] += wander - wander.mean()
        pouches = 1 + 0.12 * np.sin(t * rng.uniform(12, 26))
        return _band(centre, length * rng.uniform(0.13, 0.2) * pouches * ends)
    if name in ("duct", "artery"):
        bend = np.cumsum(np.cumsum(rng.normal(0, 0.003, 40))) * length
        centre[:, 1] += bend - np.linspace(bend[0], bend[-1], 40)
        width = length * rng.uniform(0.05, 0.09) * (0.75 if name == "artery" else 1.0)
        return _band(centre, np.full(40, width))
    if name in ("kidney", "spleen"):
        waist = 1 - 0.12 * np.exp(-(((t - 0.5) / 0.2) ** 2))
        centre[:, 1] -= 0.12 * length * np.sin(np.pi * t)
        lopsided = 1 + rng.normal(0, 0.12) * (2 * t - 1)
        rounded = np.sqrt(np.clip(4 * t * (1 - t), 0, 1))
        return _band(centre, length * rng.uniform(0.27, 0.36) * waist * rounded * lopsided)
    return tissue.closed_curve(rng, 0.4 * length, rng.uniform(0.06, 0.16), rng.uniform(0.8, 1.35))


def _silhouette(rng, seat: Seat, ground: Ground):
    """(alpha, signed depth inside, x0, y0) of the seat's organ in canvas pixels."""
    shape = outline(rng, seat.name, seat.length)
    cosine, sine = np.cos(seat.angle), np.sin(seat.angle)
    shape = shape @ np.array([[cosine, sine], [-sine, cosine]]) + (seat.x, seat.y)
    low = np.floor(shape.min(0)).astype(int) - sprites.PAD
    columns, rows = np.ceil(shape.max(0)).astype(int) + sprites.PAD - low
    alpha = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(alpha, [np.round((shape - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    away = cv2.distanceTransform((alpha > 127).astype(np.uint8), cv2.DIST_L2, 3)
    return alpha, away, int(low[0]), int(low[1])


def _bury(rng, alpha: np.ndarray, seat: Seat, way: float, least: float):
    """Lets the ground cover the end in direction `way`: (alpha, shade along that border).

    `least` of the organ's length stays in sight beyond its middle.
    """
    rows, columns = alpha.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    past = (x - columns / 2) * np.float32(np.cos(way)) + (y - rows / 2) * np.float32(np.sin(way))
    cells = max(2.0, 3 * max(rows, columns) / seat.length)
    wobble = noise.soft_fractal(rng, rows, columns, cells, 4, 0.5)
    left = seat.length * (rng.uniform(least, 0.32) + 0.045 * wobble) - past
    kept = alpha * noise.smoothstep(left, -1.0, 1.0)
    shade = 1 - rng.uniform(0.3, 0.75) * np.exp(-np.maximum(left, 0) / (0.05 * seat.length))
    return np.round(kept).astype(np.uint8), shade


def _contact(rng, ground: Ground, away: np.ndarray, x0: int, y0: int) -> None:
    """Darkens the canvas where an organ rests on it, in place."""
    reach = int(0.06 * ground.side)
    body = cv2.copyMakeBorder(away, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    soft = cv2.GaussianBlur((body > 0).astype(np.float32), (0, 0), 0.35 * reach)
    x0, y0 = x0 - reach, y0 - reach
    left, top = max(x0, 0), max(y0, 0)
    right = min(x0 + soft.shape[1], ground.width)
    bottom = min(y0 + soft.shape[0], ground.height)
    if right <= left or bottom <= top:
        return
    dark = rng.uniform(0.3, 0.8) * soft[top - y0 : bottom - y0, left - x0 : right - x0]
    light = 1 - dark[..., None] * np.array((0.8, 1.0, 1.0), np.float32)
    ground.canvas[top:bottom, left:right] *= light


def organ(rng, ground: Ground, num_frames: int, canvas_matrices, side: int) -> SceneObject:
    """The next organ the landscape has a seat for, or one lying anywhere."""
    if ground.seats and rng.random() < 0.85:
        seat = ground.seats.pop(0)
    else:
        name = str(rng.choice(list(SKIN), p=_SHARES / _SHARES.sum()))
        x, y = rng.uniform(0.15, 0.85, 2) * (ground.width, ground.height)
        length = noise.log_uniform(rng, (0.16, 0.55)) * ground.side
        seat = Seat(name, x, y, rng.uniform(0, 2 * np.pi), length)
    return seated(rng, ground, seat, num_frames, canvas_matrices, side)


def seated(
    rng, ground: Ground, seat: Seat, num_frames: int, canvas_matrices, side: int
) -> SceneObject:
    """The organ of one seat, partly buried; ducts run from cover to cover."""
    alpha, away, x0, y0 = _silhouette(rng, seat, ground)
    rgb = _flesh(rng, ground, seat.name, away, x0, y0)
    ways, spread, least = ([np.pi] if rng.random() < 0.85 else []), 0.6, 0.0
    if seat.name == "bowel":  # a loop never ends in the open
        ways, spread, least = [np.pi, 0.0], 0.2, 0.2
    if seat.name in ("duct", "artery"):
        ways, spread, least = [np.pi, 0.0], 0.1, 0.3
    _contact(rng, ground, away, x0, y0)
    for way in ways:
        alpha, shade = _bury(rng, alpha, seat, seat.angle + way + rng.normal(0, spread), least)
        rgb *= shade[..., None]
    picture = sprites.Sprite(rgb, alpha, (0.0, 0.0))
    place = np.zeros((num_frames, 3, 3))
    place[:] = np.eye(3)
    drift = motion.tremor(rng, num_frames, 2, 0.002 * side, 25) * (num_frames > 1)
    place[:, :2, 2] = (x0, y0) + drift
    return SceneObject(
        seat.name, "anatomy", [Piece(picture, canvas_matrices @ place, 0)], 0.015 * side
    )


def _flesh(rng, ground: Ground, name: str, away, x0: int, y0: int) -> np.ndarray:
    """Colour and light of an organ whose border is `away` pixels off, at (x0, y0) of the canvas."""
    rows, columns = away.shape
    skin = _skin(rng, ground, name, rows, columns)
    top = max(float(away.max()), 1.0)
    x = np.clip(away / top, 0, 1)
    dome = 0.6 * top * (1 - cv2.pow(1 - x, rng.uniform(1.5, 2.2)))
    relief = cv2.GaussianBlur(dome, (0, 0), max(0.6, 0.04 * top)) + skin.relief
    lamp = shading.shifted(ground.lamp, x0, y0)
    depth = np.full((rows, columns), rng.uniform(0, 0.1), np.float32)
    grain = noise.even_noise(rng, rows, columns, ground.side / 80)
    lining = ground.skin(rng, "peritoneum").colour  # the same lining runs over it in places
    there = cv2.resize(lining, (columns, rows), interpolation=cv2.INTER_AREA)
    field = noise.soft_noise(rng, rows, columns, rng.uniform(1, 2.5))
    veil = (rng.uniform(0.0, 0.6) * noise.smoothstep(field, -0.3, 1.4))[..., None]
    colour = skin.colour + veil * (there - skin.colour)
    colour = np.clip(colour * (1 + 0.018 * grain)[..., None], 0.01, 1)
    return shading.moist(rng, colour, relief, skin.gloss, depth, lamp)


def flap(rng, ground: Ground, num_frames: int, canvas_matrices, side: int) -> SceneObject:
    """Unlabelled tissue in front of everything, reaching in from a border."""
    kind = str(rng.choice(("fat", "liver", "bowel", "tumour")))
    way = rng.uniform(0, 2 * np.pi)
    centre = 0.5 + rng.uniform(0.42, 0.62) * np.array([np.cos(way), np.sin(way)])
    x, y = centre * (ground.width, ground.height)
    length = rng.uniform(0.3, 0.7) * ground.side
    seat = Seat(kind, x, y, way + np.pi / 2 + rng.normal(0, 0.4), length)
    alpha, away, x0, y0 = _silhouette(rng, seat, ground)
    rgb = _flesh(rng, ground, kind, away, x0, y0)
    place = np.eye(3)
    place[:2, 2] = x0, y0
    piece = Piece(sprites.Sprite(rgb, alpha, (0.0, 0.0)), canvas_matrices @ place, 0)
    return SceneObject("flap", "unlabelled", [piece], 0.02 * side)
