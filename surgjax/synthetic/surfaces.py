"""What organs are covered with: colour, small relief and gloss of nine kinds of tissue.

Path:    noise, capillaries, tissue -> [surfaces] -> landscape, organs -> shading.lamp
Axes:    colour [H, W, 3] float32 RGB 0..1; relief and gloss [H, W] float32.
Units:   relief in pixels; gloss 1 is freshly rinsed tissue.
Differs: colours are chosen by eye from how such tissue looks under a xenon lamp, not fitted.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import capillaries, noise

BLOOD = np.array((0.40, 0.035, 0.05), np.float32)
CLOT = np.array((0.14, 0.02, 0.025), np.float32)
CHAR = np.array((0.09, 0.06, 0.045), np.float32)


@dataclasses.dataclass
class Skin:
    """The surface of one sheet, over the whole field; the sheet's outline cuts it."""

    colour: np.ndarray
    relief: np.ndarray
    gloss: np.ndarray


def tint(rng, *tones, spread: float = 0.035) -> np.ndarray:
    """One of the tones, or a mix of two, lighter or darker by chance."""
    first, second = (np.array(tones[rng.integers(len(tones))]) for _ in range(2))
    tone = first + rng.random() * (second - first)
    tone = tone * np.exp(rng.normal(0, 0.14)) + rng.normal(0, spread, 3) * (1, 0.8, 0.8)
    return np.clip(tone, 0.03, 0.95).astype(np.float32)


def _plain(tone: np.ndarray, height: int, width: int) -> np.ndarray:
    colour = np.empty((height, width, 3), np.float32)
    colour[:] = tone
    return colour


def _blend(colour: np.ndarray, share: np.ndarray, tone) -> None:
    """Moves `colour` towards a tone by `share`, in place."""
    colour += share[..., None] * (np.asarray(tone, np.float32) - colour)


def _mottle(rng, colour: np.ndarray, cells: float, amount: float, octaves: int = 3) -> None:
    height, width = colour.shape[:2]
    field = noise.soft_fractal(rng, height, width, cells, octaves, 0.6)
    colour *= (1 + amount * field)[..., None]


def _speckle(rng, colour: np.ndarray, blob: float, amount: float) -> None:
    """Fine brighter and darker spots, in place; `blob` in pixels."""
    colour *= (1 + amount * noise.even_noise(rng, colour.shape[0], colour.shape[1], blob))[
        ..., None
    ]


def _drift(rng, colour: np.ndarray, tone, cells: float, amount: float) -> None:
    """Slow passages into another tone, in place."""
    field = noise.soft_noise(rng, colour.shape[0], colour.shape[1], cells)
    _blend(colour, amount * noise.smoothstep(field, -0.6, 1.4), tone)


def _supply(rng, colour: np.ndarray, calibre: float, depth: float, mesh: float = 0.0) -> None:
    """Vessels under the surface, in place: red ones, and now and then a bluish vein."""
    height, width = colour.shape[:2]
    for number, tone, strength in (
        (int(rng.integers(2, 7)), (0.52, 0.06, 0.10), depth),
        (int(rng.integers(0, 3)), (0.34, 0.16, 0.30), 0.7 * depth),
    ):
        if number:
            cover = capillaries.trees(rng, height, width, number, calibre)
            _blend(colour, strength * cover, tone)
    if mesh:
        cells = rng.uniform(7, 16)
        _blend(colour, mesh * capillaries.mesh(rng, height, width, cells), (0.52, 0.09, 0.12))


def _even(height: int, width: int, value: float) -> np.ndarray:
    return np.full((height, width), value, np.float32)


def _strands(rng, height: int, width: int, cells: float, stretch: float) -> np.ndarray:
    """Fibres that run roughly one way, whichever way, and bend a little."""
    longer = int(1.45 * max(height, width))
    field = noise.soft_fractal(rng, longer, longer, 1.4 * cells, 2, 0.6, stretch)
    way = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x += 0.06 * longer * noise.soft_noise(rng, height, width, 2.5) - width / 2
    y += 0.06 * longer * noise.soft_noise(rng, height, width, 2.5) - height / 2
    across = np.float32(np.cos(way)) * x - np.float32(np.sin(way)) * y + longer / 2
    down = np.float32(np.sin(way)) * x + np.float32(np.cos(way)) * y + longer / 2
    return cv2.remap(field, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def liver(rng, height: int, width: int) -> Skin:
    """Dark red-brown, smooth, finely stippled."""
    side = max(height, width)
    colour = _plain(
        tint(rng, (0.40, 0.13, 0.11), (0.33, 0.12, 0.12), (0.46, 0.19, 0.15)), height, width
    )
    _drift(rng, colour, tint(rng, (0.50, 0.22, 0.18), (0.30, 0.08, 0.09)), 3, 0.6)
    _speckle(rng, colour, side / 95, rng.uniform(0.03, 0.08))
    relief = 0.006 * side * noise.soft_noise(rng, height, width, rng.uniform(3, 7))
    return Skin(colour, relief, _even(height, width, rng.uniform(0.35, 0.9)))


def fat(rng, height: int, width: int) -> Skin:
    """Yellow to orange lobules, each a few smaller ones, with red creases and thin vessels."""
    side = max(height, width)
    tone = tint(rng, (0.88, 0.60, 0.24), (0.90, 0.64, 0.36), (0.86, 0.50, 0.24), (0.88, 0.56, 0.42))
    colour = _plain(tone, height, width)
    _drift(rng, colour, tint(rng, (0.80, 0.42, 0.28), (0.90, 0.72, 0.46)), 4, 0.6)
    large = _lobes(rng, height, width, int(noise.log_uniform(rng, (7, 70))))
    small = _lobes(rng, height, width, int(noise.log_uniform(rng, (60, 400))))
    crease = np.clip(1.15 - large, 0, 1) ** 3 + 0.45 * np.clip(1.1 - small, 0, 1) ** 3
    _blend(colour, rng.uniform(0.2, 0.6) * np.clip(crease, 0, 1), tone * (0.72, 0.44, 0.38))
    _supply(rng, colour, rng.uniform(0.8, 1.8), rng.uniform(0.35, 0.8), rng.uniform(0, 0.3))
    _speckle(rng, colour, side / 60, 0.04)
    relief = side * (rng.uniform(0.015, 0.04) * large + rng.uniform(0.002, 0.008) * small)
    relief = cv2.GaussianBlur(relief, (0, 0), side * rng.uniform(0.002, 0.007))
    return Skin(colour, relief, _even(height, width, rng.uniform(0.7, 1.5)))


def _lobes(rng, height: int, width: int, count: int) -> np.ndarray:
    """Bulges of about one size, 0 in the creases and 1 on top."""
    side = max(height, width)
    rows = max(2, round((count * height / width) ** 0.5))
    columns = max(2, round(count / rows))
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) + 0.5
    spots = (grid + rng.uniform(-0.45, 0.45, grid.shape)) / (columns, rows) * (width, height)
    seeds = np.full((height, width), 255, np.uint8)
    seeds[spots[:, 1].astype(int) % height, spots[:, 0].astype(int) % width] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 5)
    span = side / count**0.5
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x += 0.35 * span * noise.soft_noise(rng, height, width, 1.2 * count**0.5)
    y += 0.35 * span * noise.soft_noise(rng, height, width, 1.2 * count**0.5)
    warped = cv2.remap(distance, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.sqrt(np.clip(1 - (warped / (0.78 * span)) ** 2, 0, 1)).astype(np.float32)


def folds(rng, height: int, width: int) -> Skin:
    """Wet pink convolutions, as of bowel or swollen omentum: ridges between meandering creases."""
    side = max(height, width)
    tone = tint(rng, (0.84, 0.45, 0.45), (0.78, 0.38, 0.42), (0.70, 0.50, 0.52), (0.84, 0.54, 0.46))
    colour = _plain(tone, height, width)
    lobes = _lobes(rng, height, width, int(noise.log_uniform(rng, (9, 60))))
    cells = rng.uniform(3, 6)
    if rng.random() < 0.6:  # longer bands, broken up by the lobes
        phase = noise.soft_fractal(rng, height, width, cells, 3, 0.45)
        ridge = np.abs(np.cos(rng.uniform(1.2, 2.0) * phase))
        ridge = np.sqrt(np.clip(np.minimum(ridge, 0.15 + lobes), 0, 1))
    else:
        ridge = lobes
    crease = np.clip(1.0 - ridge, 0, 1) ** 2
    _supply(rng, colour, rng.uniform(1.0, 2.2), rng.uniform(0.4, 0.85), rng.uniform(0.2, 0.5))
    _blend(colour, rng.uniform(0.5, 0.9) * crease, tone * (0.78, 0.30, 0.33))
    _blend(colour, rng.uniform(0.1, 0.4) * noise.smoothstep(ridge, 0.6, 1.0), (0.92, 0.70, 0.64))
    _mottle(rng, colour, 9, 0.06)
    relief = side / cells * rng.uniform(0.10, 0.2) * ridge
    relief += 0.005 * side * noise.soft_fractal(rng, height, width, 12, 3, 0.5)
    relief = cv2.GaussianBlur(relief, (0, 0), 0.004 * side)
    return Skin(colour, relief, _even(height, width, rng.uniform(0.8, 1.7)))


def serosa(rng, height: int, width: int) -> Skin:
    """Smooth stomach, bowel, bladder or uterus: pink to grey-violet, a few vessels."""
    side = max(height, width)
    tone = tint(rng, (0.80, 0.47, 0.46), (0.66, 0.46, 0.50), (0.74, 0.60, 0.60), (0.62, 0.28, 0.30))
    colour = _plain(tone, height, width)
    _drift(rng, colour, tint(rng, (0.86, 0.60, 0.55), (0.55, 0.36, 0.44)), 3, 0.7)
    _supply(rng, colour, rng.uniform(0.7, 1.6), rng.uniform(0.25, 0.7), rng.uniform(0.05, 0.35))
    _mottle(rng, colour, 7, 0.06, 4)
    relief = 0.020 * side * noise.soft_fractal(rng, height, width, rng.uniform(2, 5), 3, 0.3)
    return Skin(colour, relief, _even(height, width, rng.uniform(0.5, 1.2)))


def peritoneum(rng, height: int, width: int) -> Skin:
    """The lining of wall and retroperitoneum: pink, thin, full of branching vessels."""
    side = max(height, width)
    tone = tint(rng, (0.80, 0.40, 0.40), (0.76, 0.47, 0.43), (0.84, 0.56, 0.40), (0.70, 0.36, 0.40))
    colour = _plain(tone, height, width)
    _drift(
        rng, colour, tint(rng, (0.66, 0.24, 0.27), (0.86, 0.62, 0.42), (0.60, 0.40, 0.52)), 3, 0.9
    )
    _drift(rng, colour, tint(rng, (0.85, 0.52, 0.50), (0.74, 0.48, 0.56)), 5, 0.6)
    for _ in range(int(rng.integers(1, 3))):
        _supply(rng, colour, rng.uniform(1.0, 3.0), rng.uniform(0.4, 0.85), rng.uniform(0.1, 0.4))
    _mottle(rng, colour, 7, 0.06, 4)
    relief = 0.028 * side * noise.soft_fractal(rng, height, width, rng.uniform(2, 6), 4, 0.42)
    return Skin(colour, relief, _even(height, width, rng.uniform(0.4, 1.0)))


def bed(rng, height: int, width: int) -> Skin:
    """Dissected tissue: torn, bloody, charred in places, with pale fibres and many glints."""
    side = max(height, width)
    colour = _plain(
        tint(rng, (0.42, 0.10, 0.13), (0.34, 0.07, 0.10), (0.52, 0.20, 0.18)), height, width
    )
    cells = rng.uniform(4, 10)
    rough = noise.soft_fractal(rng, height, width, cells, 5, rng.uniform(0.45, 0.62))
    torn = noise.soft_fractal(rng, height, width, rng.uniform(5, 12), 4, 0.5)
    lumps = 0.7 * rough - 0.8 * np.abs(torn)
    pale = tint(rng, (0.66, 0.36, 0.33), (0.62, 0.44, 0.46), (0.74, 0.50, 0.36))
    _drift(rng, colour, pale, rng.uniform(3, 6), rng.uniform(0.3, 0.9))
    _blend(colour, 0.6 * noise.smoothstep(rough, 0.2, 1.6), pale)
    _blend(colour, rng.uniform(0.4, 0.9) * noise.smoothstep(-rough, 0.4, 1.6), CLOT)
    fibre = _strands(rng, height, width, rng.uniform(14, 34), rng.uniform(4, 9))
    where = noise.smoothstep(noise.soft_noise(rng, height, width, 4), -0.3, 0.9)
    _blend(
        colour,
        rng.uniform(0.3, 0.7) * where * noise.smoothstep(fibre, 0.3, 1.8),
        (0.82, 0.66, 0.56),
    )
    burnt = noise.soft_fractal(rng, height, width, rng.uniform(5, 12), 3, 0.6)
    _blend(colour, 0.7 * noise.smoothstep(burnt, 1.2, 1.9), CHAR)
    relief = side / cells * rng.uniform(0.10, 0.2) * lumps + 0.006 * side * where * fibre
    wet = noise.smoothstep(noise.soft_noise(rng, height, width, 5), -0.8, 1.2)
    return Skin(colour, relief, (0.3 + rng.uniform(0.8, 1.8) * wet).astype(np.float32))


def fascia(rng, height: int, width: int) -> Skin:
    """Loose white-pink connective tissue, drawn out into strands."""
    side = max(height, width)
    tone = tint(rng, (0.80, 0.64, 0.60), (0.74, 0.50, 0.48), (0.78, 0.62, 0.66))
    colour = _plain(tone, height, width)
    strands = _strands(rng, height, width, rng.uniform(12, 26), rng.uniform(4, 9))
    _blend(colour, rng.uniform(0.2, 0.5) * noise.smoothstep(strands, -0.2, 1.8), (0.90, 0.80, 0.75))
    _blend(colour, 0.4 * noise.smoothstep(-strands, 0.2, 1.8), tone * (0.80, 0.45, 0.45))
    _supply(rng, colour, 1.2, rng.uniform(0.2, 0.6))
    relief = 0.004 * side * strands
    relief += 0.02 * side * noise.soft_fractal(rng, height, width, rng.uniform(2, 5), 3, 0.4)
    return Skin(colour, relief, _even(height, width, rng.uniform(0.7, 1.4)))


def muscle(rng, height: int, width: int) -> Skin:
    """Red, striated along one direction."""
    side = max(height, width)
    colour = _plain(
        tint(rng, (0.58, 0.19, 0.17), (0.66, 0.30, 0.27), (0.48, 0.15, 0.16)), height, width
    )
    striae = _strands(rng, height, width, rng.uniform(26, 60), rng.uniform(6, 14))
    colour *= (1 + 0.12 * striae)[..., None]
    _drift(rng, colour, (0.75, 0.55, 0.50), 3, 0.5)
    relief = 0.003 * side * striae
    relief += 0.015 * side * noise.soft_noise(rng, height, width, 4)
    return Skin(colour, relief, _even(height, width, rng.uniform(0.4, 1.0)))


def gallbladder(rng, height: int, width: int) -> Skin:
    """Pale green-grey to yellow-pink wall, smooth, with fine vessels."""
    side = max(height, width)
    tone = tint(rng, (0.60, 0.55, 0.42), (0.55, 0.53, 0.47), (0.74, 0.56, 0.48), (0.50, 0.47, 0.38))
    colour = _plain(tone, height, width)
    _drift(
        rng, colour, tint(rng, (0.76, 0.56, 0.48), (0.82, 0.68, 0.42), (0.62, 0.30, 0.28)), 3, 0.7
    )
    _supply(rng, colour, rng.uniform(0.6, 1.2), rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.3))
    relief = 0.006 * side * noise.soft_fractal(rng, height, width, 5, 3, 0.4)
    return Skin(colour, relief, _even(height, width, rng.uniform(0.7, 1.4)))


SKINS = {
    "liver": liver,
    "fat": fat,
    "folds": folds,
    "serosa": serosa,
    "peritoneum": peritoneum,
    "bed": bed,
    "fascia": fascia,
    "muscle": muscle,
    "gallbladder": gallbladder,
}
