"""What surgeons leave lying on the tissue: gauze, clips, needles, loops, bags, thread.

Path:    noise, metalwork, shading -> [props] -> scene -> compositor
Axes:    as anatomy: sprites and [T, 3, 3] matrices; `carry` is the tissue's own motion.
Units:   pixels of the frame; angles in radians.
"""

import cv2
import numpy as np

from surgjax.synthetic import metalwork, motion, noise, shading, sprites, tissue
from surgjax.synthetic.instruments import Piece, SceneObject, similarity
from surgjax.synthetic.surfaces import BLOOD

KINDS = ("gauze", "needle", "clip", "vessel loop", "specimen bag")
_SHARES = np.array([0.3, 0.2, 0.3, 0.1, 0.1])


def _raster(outline: np.ndarray):
    low = np.floor(outline.min(0)) - sprites.PAD
    columns, rows = np.ceil(outline.max(0) - low + sprites.PAD + 1).astype(int)
    alpha = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(alpha, [np.round((outline - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha, low


def _stroke(path: np.ndarray, thick: float):
    """(alpha, low) of a line of even thickness, drawn four times as large for a true width."""
    low = np.floor(path.min(0) - thick) - sprites.PAD
    columns, rows = np.ceil(path.max(0) - low + thick + sprites.PAD).astype(int)
    large = np.zeros((4 * rows, 4 * columns), np.uint8)
    points = np.round((path - low) * 64).astype(np.int32)
    cv2.polylines(large, [points], False, 255, max(1, round(4 * thick)), cv2.LINE_AA, 4)
    return cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA), low


def _lay(rng, rgb, alpha, centre, side, carry, num_frames) -> Piece:
    """Puts a picture somewhere on the tissue, turned anyhow, drifting a little."""
    at = rng.uniform(0.12, 0.88, 2) * side
    still = float(num_frames > 1)
    drift = at + motion.tremor(rng, num_frames, 2, 0.003 * side, 25) * still
    turn = rng.uniform(0, 2 * np.pi) + still * motion.tremor(rng, num_frames, 1, 0.02, 30)[:, 0]
    picture = sprites.Sprite(rgb.astype(np.float32), alpha, (float(centre[0]), float(centre[1])))
    return Piece(picture, carry @ similarity(picture.joint_xy, drift, turn), 0)


def _middle(alpha: np.ndarray) -> tuple[float, float]:
    return alpha.shape[1] / 2, alpha.shape[0] / 2


def _round_light(alpha: np.ndarray, tone, shine: float) -> np.ndarray:
    """A plain glossy body: bright along its back, darker to its sides."""
    height = cv2.GaussianBlur(shading.solid_height(alpha), (0, 0), 0.7)
    nx, ny, nz = shading.normals(height, 1.0)
    facing = np.clip(0.25 * nx - 0.4 * ny + 0.88 * nz, 0, 1)
    glint = shine * cv2.pow(facing.astype(np.float32), 30)
    return np.asarray(tone, np.float32) * (0.3 + 0.75 * facing)[..., None] + glint[..., None]


def _gauze(rng, side: int):
    size = rng.uniform(0.08, 0.24) * side
    corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * rng.uniform(0.6, 1.3, (4, 1))
    edge = np.concatenate([np.linspace(corner[i], corner[(i + 1) % 4], 14)[:-1] for i in range(4)])
    wave = rng.normal(0, 1, (len(edge) + 4, 2))
    wave = sum(wave[i : i + len(edge)] for i in range(5)) / 5
    ragged = edge * (1, rng.uniform(0.5, 1)) + 0.14 * wave + 0.012 * rng.normal(0, 1, edge.shape)
    alpha, _ = _raster(size * ragged)
    rows, columns = alpha.shape
    fold = noise.soft_fractal(rng, rows, columns, rng.uniform(2, 4), 3, 0.5)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    pitch = max(2.2, 0.011 * side) / (2 * np.pi)
    warp = 0.05 * size * fold
    weave = np.sin((x + warp) / pitch) * np.sin((y + warp) / pitch)
    colour = np.empty((rows, columns, 3), np.float32)
    colour[:] = np.array((0.97, 0.95, 0.92)) * rng.uniform(0.9, 1.2)
    colour *= (1 + 0.09 * weave)[..., None]
    soaked = noise.soft_fractal(rng, rows, columns, 3, 4)
    level = rng.uniform(-0.6, 1.8)
    share = rng.uniform(0.5, 0.95) * noise.smoothstep(soaked, level, level + 0.8)
    colour += share[..., None] * (np.array((0.58, 0.10, 0.10), np.float32) - colour)
    lamp = shading.Lamp(
        columns / 2, rows / 2, 2.0 * side, (0.2, -0.2), 60, 1.0, (1, 1, 1), 1.2 * side
    )
    zero = np.zeros((rows, columns), np.float32)
    return shading.moist(rng, colour, 0.11 * size * fold, 0.25 * share, zero, lamp), alpha


def _needle(rng, side: int):
    arc = np.linspace(0, rng.uniform(1.8, 3.3), 36)
    path = np.stack([np.cos(arc), np.sin(arc)], -1) * rng.uniform(0.05, 0.12) * side
    alpha, _ = _stroke(path, max(2.2, rng.uniform(0.009, 0.018) * side))
    steel = metalwork.draw_finish(rng, "metal")
    return metalwork.milled(rng, alpha, steel, 2.0), alpha


def _clip(rng, side: int):
    long = rng.uniform(0.04, 0.09) * side
    if rng.random() < 0.55:  # locking clips of plastic: two bars, a boss at each end
        bar = max(2.0, 0.16 * long)
        bow = 0.18 * long * np.sin(np.linspace(0, np.pi, 12)) * rng.uniform(0.2, 1.2)
        x = np.linspace(-long, long, 12)
        path = np.concatenate([np.stack([x, bow], -1), np.stack([x, bow + 1.5 * bar], -1)[::-1]])
        alpha, low = _stroke(path, bar)
        for end in (path[0], path[11]):
            at = (int((end[0] - low[0]) * 16), int((end[1] + 0.7 * bar - low[1]) * 16))
            cv2.circle(alpha, at, int(1.25 * bar * 16), 255, -1, cv2.LINE_AA, 4)
        tones = ((0.86, 0.80, 0.78), (0.84, 0.70, 0.74), (0.46, 0.30, 0.58), (0.30, 0.55, 0.42))
        tone = tones[rng.choice(4, p=(0.5, 0.2, 0.2, 0.1))]
        return _round_light(alpha, tone, 0.6), alpha
    t = np.linspace(-1, 1, 25)
    gap = rng.uniform(0.06, 0.3) * long
    path = np.stack([long * (1 - np.abs(t) ** 3), gap * t], -1)
    alpha, _ = _stroke(path, max(2.2, 0.16 * long))
    return metalwork.milled(rng, alpha, metalwork.draw_finish(rng, "metal"), 1.6), alpha


def _line(rng, side: int, length: float, bend: float) -> np.ndarray:
    """A smooth wandering line [60, 2]."""
    bends = np.cumsum(np.convolve(rng.normal(0, bend, 66), np.ones(7) / 7, "valid"))
    turns = bends + rng.uniform(0, 6.3)
    return np.cumsum(np.stack([np.cos(turns), np.sin(turns)], -1), 0) * length * side / 60


def _loop(rng, side: int):
    path = _line(rng, side, rng.uniform(0.5, 1.3), 0.22)
    alpha, _ = _stroke(path, rng.uniform(0.012, 0.028) * side)
    tones = ((0.80, 0.14, 0.12), (0.85, 0.72, 0.15), (0.16, 0.30, 0.72), (0.85, 0.84, 0.80))
    return _round_light(alpha, tones[rng.integers(4)], 0.8), alpha


def _bag(rng, side: int):
    """A retrieval bag: thin film in creases, what lies in it shows through."""
    size = rng.uniform(0.12, 0.3) * side
    alpha, _ = _raster(tissue.closed_curve(rng, size, 0.18, rng.uniform(0.8, 1.3)))
    rows, columns = alpha.shape
    crease = noise.soft_fractal(rng, rows, columns, rng.uniform(2, 5), 3, 0.5)
    ridge = np.abs(crease)
    film = np.float32(((0.80, 0.80, 0.82), (0.62, 0.70, 0.82), (0.75, 0.72, 0.62))[rng.integers(3)])
    colour = np.empty((rows, columns, 3), np.float32)
    colour[:] = film * rng.uniform(0.5, 0.9)
    inside = noise.smoothstep(noise.soft_noise(rng, rows, columns, 2), -0.5, 1)
    colour += (0.7 * inside)[..., None] * (BLOOD * 1.4 - colour)
    lamp = shading.Lamp(
        columns / 2, rows / 2, 1.5 * side, (0.25, -0.1), 70, 1.0, (1, 1, 1), 1.2 * side
    )
    zero = np.zeros((rows, columns), np.float32)
    gloss = np.full((rows, columns), 2.0, np.float32)
    return shading.moist(rng, colour, -0.05 * size * ridge, gloss, zero, lamp), alpha


_MAKERS = {
    "gauze": _gauze,
    "needle": _needle,
    "clip": _clip,
    "vessel loop": _loop,
    "specimen bag": _bag,
}


def accessory(rng, num_frames: int, side: int, carry) -> SceneObject:
    """One of KINDS, lying on the tissue and labelled."""
    kind = str(rng.choice(KINDS, p=_SHARES))
    rgb, alpha = _MAKERS[kind](rng, side)
    piece = _lay(rng, rgb, alpha, _middle(alpha), side, carry, num_frames)
    return SceneObject(kind, "accessory", [piece], rng.uniform(0.004, 0.02) * side)


def thread(rng, num_frames: int, side: int, carry) -> SceneObject:
    """Unlabelled suture: a thin smooth line with loops."""
    path = _line(rng, side, rng.uniform(0.3, 1.1), 0.42)
    alpha, _ = _stroke(path, rng.uniform(0.8, 1.9) * side / 256)
    tones = ((0.04, 0.04, 0.05), (0.12, 0.16, 0.40), (0.30, 0.12, 0.38), (0.80, 0.78, 0.74))
    tone = tones[rng.choice(4, p=(0.5, 0.15, 0.15, 0.2))]
    rgb = _round_light(alpha, tone, 0.15)
    piece = _lay(rng, rgb, alpha, _middle(alpha), side, carry, num_frames)
    return SceneObject("thread", "unlabelled", [piece], 0.008 * side)
