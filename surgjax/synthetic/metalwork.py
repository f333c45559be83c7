"""Instruments as they are made: insulated or brushed tubes, milled jaws, jointed wrists.

Path:    noise, sprites -> [metalwork] -> sprites, instruments
Axes:    rgb [h, w, 3] float32, highlights above 1; alpha [h, w] uint8; parts point along +x.
Units:   pixels of the frame.
Differs: reflections come from an invented surrounding (dark cavity, lamp, red tissue) looked up by
         the slope of the surface; nothing is traced.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import noise

TISSUE_GLOW = np.array((0.34, 0.10, 0.09), np.float32)


@dataclasses.dataclass
class Finish:
    """How a worked surface looks; `plated` jaws and gold plastic belong to the wrist."""

    kind: str  # "steel", "black", "matt", "gold", "white"
    colour: np.ndarray
    mirror: float  # 0 matt .. 1 polished
    grain: float  # strength of the brushed or moulded grain
    lamp: tuple[float, float]  # where the lamp stands, seen from the surface: x along, y across
    shine: float

    def dyed(self, colour, mirror: float) -> "Finish":
        """The same light on another base."""
        base = np.asarray(colour, np.float32)
        return dataclasses.replace(self, colour=base, mirror=mirror)


_FINISHES = {
    "steel": ((0.50, 0.50, 0.52), (0.55, 0.95), (0.03, 0.12)),
    "black": ((0.075, 0.072, 0.075), (0.10, 0.35), (0.03, 0.10)),
    "matt": ((0.50, 0.51, 0.52), (0.05, 0.3), (0.04, 0.13)),
    "gold": ((0.56, 0.43, 0.22), (0.15, 0.5), (0.03, 0.1)),
    "white": ((0.80, 0.79, 0.76), (0.05, 0.25), (0.01, 0.05)),
}


def draw_finish(rng, part: str) -> Finish:
    """`part` is "shaft", "metal" (jaws) or "plastic" (wrists and covers)."""
    shares = {
        "shaft": (("black", 0.45), ("matt", 0.33), ("steel", 0.17), ("white", 0.05)),
        "metal": (("steel", 0.93), ("gold", 0.02), ("black", 0.05)),
        "plastic": (("gold", 0.25), ("black", 0.35), ("steel", 0.33), ("white", 0.07)),
    }[part]
    kind = str(rng.choice([k for k, _ in shares], p=[p for _, p in shares]))
    base, mirror, grain = _FINISHES[kind]
    colour = np.array(base) * np.exp(rng.normal(0, 0.22)) * np.exp(rng.normal(0, 0.025, 3))
    lamp = (float(rng.normal(0, 0.3)), float(rng.uniform(-0.6, 0.6)))
    return Finish(
        kind,
        np.clip(colour, 0.02, 0.95).astype(np.float32),
        rng.uniform(*mirror),
        rng.uniform(*grain),
        lamp,
        noise.log_uniform(rng, (0.35, 1.3)),
    )


def _surround(rng, slope: np.ndarray) -> np.ndarray:
    """Light met by a mirror of that slope across (-1..1): cavity, lamp and their edges."""
    knots = np.linspace(-1, 1, 15)
    values = np.clip(rng.normal(0.35, 0.28, 15), 0.02, 1.0)
    values[rng.integers(3, 12)] = rng.uniform(1.3, 2.6)
    table = np.interp(np.linspace(-1, 1, 256), knots, values).astype(np.float32)
    index = np.clip((slope + 1) * 127.5, 0, 255).astype(np.uint8)
    return table[index]


def _light(rng, colour, nx, ny, nz, finish: Finish, rough) -> np.ndarray:
    """Diffuse, mirrored and red light on a surface with these normals."""
    lx, ly = finish.lamp
    scale = 1 / np.sqrt(1 + lx * lx + ly * ly)
    facing = np.clip((nx * lx + ny * ly + nz) * scale, 0, 1)
    way = rng.uniform(-0.5, 0.5)
    slope = np.clip(ny + way * nx + 0.12 * rough, -1, 1)
    mirrored = _surround(rng, slope)
    coat = 0.10 * finish.shine * np.maximum(mirrored - 0.5, 0)  # lacquer mirrors even on black
    light = (1 - finish.mirror) * (0.16 + 0.84 * facing) + finish.mirror * mirrored
    half = np.clip((0.5 * nx * lx + ny * ly * 0.6 + nz) / np.sqrt(1 + 0.3 * scale), 0, 1)
    tight = cv2.pow(half.astype(np.float32), 18 + 90 * finish.mirror)
    glare = finish.shine * (0.2 + finish.mirror) * tight * np.clip(0.7 + 0.5 * rough, 0, 1.6)
    away = 1 - nz  # grazing surfaces mirror the red of what lies around
    red = (0.25 + 0.75 * finish.mirror) * cv2.pow(np.clip(away, 0, 1).astype(np.float32), 1.5)
    warm = np.array((1.06, 0.97, 0.96), np.float32)  # the cavity's own red light
    rgb = (
        warm * colour * light[..., None] + (glare + coat)[..., None] + red[..., None] * TISSUE_GLOW
    )
    return rgb.astype(np.float32)


def _grain(rng, rows: int, columns: int, stretch: float) -> np.ndarray:
    return noise.fractal_noise(rng, rows, columns, max(8, columns / 5), 2, 0.8, stretch)


def tube(rng, length: float, width: float, finish: Finish, pad: int):
    """A shaft (rgb, alpha): round, grained along or blasted, with a ferrule at its working end."""
    rows, columns = int(round(width)) + 2 * pad, int(length) + 2 * pad
    across = (np.arange(rows, dtype=np.float32) - (rows - 1) / 2) / (width / 2)
    ny = np.repeat(np.clip(across, -1, 1)[:, None], columns, 1)
    nz = np.sqrt(np.clip(1 - ny * ny, 0, 1))
    alpha = np.zeros((rows, columns), np.uint8)
    alpha[pad : rows - pad, pad : columns - pad] = 255
    rough = noise.fractal_noise(rng, rows, columns, rng.uniform(3, 9), 3, 0.6, 4)
    grain = _grain(rng, rows, columns, rng.choice((1.0, 6.0)))
    colour = finish.colour * (1 + finish.grain * (0.7 * rough + grain))[..., None]
    rgb = _light(rng, colour, np.zeros_like(ny), ny, nz, finish, rough)
    along = np.linspace(1, 0, columns, dtype=np.float32)  # 0 at the working end
    rgb *= (1 + rng.uniform(-0.65, 1.0) * along)[:, None]
    steel = finish.dyed((0.46, 0.46, 0.48), 0.8)
    end = columns - pad
    if finish.kind != "steel" and rng.random() < 0.75:  # insulation ends, steel comes out
        wide = int(rng.uniform(0.15, 0.9) * width) + 1
        area = (slice(None), slice(max(0, end - wide), columns))
        bare = np.empty((*ny[area].shape, 3), np.float32)
        bare[:] = steel.colour
        zero = np.zeros_like(ny[area])
        rgb[area] = _light(rng, bare, zero, ny[area], nz[area], steel, rough[area])
        rgb[:, max(0, end - wide - 1) : end - wide + 1] *= 0.35
    for _ in range(int(rng.integers(0, 4))):
        at = end - int(abs(rng.normal(0.3, 1.0)) * width) - 3
        wide = max(1, int(rng.uniform(0.02, 0.12) * width))
        if at - wide > 0:
            rgb[:, at - wide : at] *= rng.uniform(0.25, 0.7)
            rgb[:, at : at + 1] *= rng.uniform(1.1, 1.7)
    if width > 16 and rng.random() < 0.12:
        _print(rng, rgb, width, finish)
    return rgb, alpha


def _print(rng, rgb: np.ndarray, width: float, finish: Finish) -> None:
    """A line of lettering that runs along the shaft, in place."""
    rows, columns = rgb.shape[:2]
    ink = np.zeros((rows, columns), np.uint8)
    text = "".join(chr(c) for c in rng.integers(97, 123, int(rng.integers(3, 12))))
    place = (int(columns * rng.uniform(0.5, 0.85)), int(rows * rng.uniform(0.45, 0.7)))
    cv2.putText(ink, text, place, int(rng.integers(0, 8)), width / 95, 255, 1, cv2.LINE_AA)
    target = 0.9 if finish.colour.mean() < 0.4 else 0.08
    rgb += (ink / np.float32(255) * 0.7)[..., None] * (target - rgb)


def milled(rng, alpha: np.ndarray, finish: Finish, bevel: float):
    """A flat part with bevelled borders, lit (rgb); the bevel is what makes it read as steel."""
    rows, columns = alpha.shape
    inside = (alpha > 127).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    flank = np.clip(depth / np.float32(bevel), 0, 1).astype(np.float32)
    height = np.float32(bevel) * (1 - (1 - flank) ** 1.7)
    # A slight crown over the whole part, or a flat one would shine all at once.
    crown = cv2.GaussianBlur(depth, (0, 0), max(1.0, 0.6 * bevel))
    height = cv2.GaussianBlur((height + 0.35 * crown).astype(np.float32), (0, 0), 0.6)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=-0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=-0.125)
    inverse = 1 / np.sqrt(slope_x * slope_x + slope_y * slope_y + 1)
    rough = noise.fractal_noise(rng, rows, columns, rng.uniform(3, 8), 3, 0.6)
    colour = (
        finish.colour * (1 + finish.grain * (rough + _grain(rng, rows, columns, 3.0)))[..., None]
    )
    return _light(rng, colour, slope_x * inverse, slope_y * inverse, inverse, finish, rough)


def _line(rgb, points, tone, thick) -> None:
    fixed = np.round(np.asarray(points) * 16).astype(np.int32)
    cv2.polylines(rgb, [fixed], False, tone, max(1, round(thick)), cv2.LINE_AA, 4)


def pin(rng, rgb, centre, radius: float) -> None:
    """A pivot seen end-on: dark seam, bright head, slot."""
    at = (int(centre[0] * 16), int(centre[1] * 16))
    cv2.circle(rgb, at, int(radius * 16), (0.05, 0.045, 0.045), -1, cv2.LINE_AA, 4)
    head = float(rng.uniform(0.35, 1.1))
    cv2.circle(rgb, at, int(0.72 * radius * 16), (head, head, head), -1, cv2.LINE_AA, 4)
    if radius > 2.5:
        glint = (at[0] - int(3 * radius), at[1] - int(4 * radius))
        cv2.circle(rgb, glint, int(0.25 * radius * 16), (1.4, 1.4, 1.4), -1, cv2.LINE_AA, 4)
        way = rng.uniform(0, np.pi)
        arm = 0.5 * radius * np.array([np.cos(way), np.sin(way)])
        _line(rgb, [centre - arm, centre + arm], (0.08, 0.08, 0.08), 0.25 * radius)


def serrate(rng, rgb, inner, pitch: float, depth: float) -> None:
    """Teeth along the working edge `inner` [N, 2]: dark gaps between bright crests, in place."""
    step = np.linalg.norm(np.diff(inner, axis=0), axis=1)
    total = float(step.sum())
    if total < 3 * pitch:
        return
    reach = np.concatenate([[0], np.cumsum(step)])
    for at in np.arange(0.12 * total, 0.95 * total, pitch):
        x, y = (np.interp(at, reach, inner[:, i]) for i in (0, 1))
        x2, y2 = (np.interp(at + 0.3 * pitch, reach, inner[:, i]) for i in (0, 1))
        along = np.array([x2 - x, y2 - y])
        normal = np.array([-along[1], along[0]]) / (np.linalg.norm(along) + 1e-6)
        here = np.array([x, y])
        tone = float(rng.uniform(0.04, 0.16))
        _line(rgb, [here + normal * depth, here - normal * depth], (tone,) * 3, 0.4 * pitch)
        there = here + 2 * along
        _line(rgb, [there + normal * depth, there - normal * depth], (0.55,) * 3, 0.2 * pitch)


def soil(rng, rgb: np.ndarray, along: float, clean: float = 0.0) -> None:
    """Blood that ran and dried, char at the working end, in place; `along` stretches its runs.

    `clean` is how much of the left, outer end stays clean (a fraction).
    """
    rows, columns = rgb.shape[:2]
    cells = max(2.0, rng.uniform(0.8, 3.0) * columns / max(rows, 8))
    film = noise.soft_noise(rng, rows, columns, cells, along)
    film += 0.5 * noise.even_noise(rng, rows, columns, max(2.0, 0.12 * min(rows, columns)), along)
    level = rng.uniform(0.4, 1.6)
    share = rng.uniform(0.5, 0.95) * noise.smoothstep(film, level, level + rng.uniform(0.4, 1.2))
    share *= noise.smoothstep(np.arange(columns) / columns, clean - 0.3, clean + 0.01)
    if rng.random() < 0.75:  # light still comes through a film of blood, and glints on it
        rgb *= 1 - share[..., None] * np.array((0.35, 0.86, 0.85), np.float32)
        rgb += share[..., None] * np.array((0.12, 0.008, 0.012), np.float32)
        edge = noise.smoothstep(film, level + 0.3, level + 0.5) * (1 - share)
        rgb += (0.08 * edge)[..., None]
    else:
        rgb += share[..., None] * (np.array((0.08, 0.06, 0.05), np.float32) - rgb)


def wrist_parts(rng, rgb, alpha, finish: Finish) -> None:
    """What a clevis shows: fork slot, pulleys, cables, pins and a housing of another colour."""
    rows, columns = alpha.shape
    middle, width = rows / 2, 0.8 * rows
    if rng.random() < 0.6:  # a moulded housing over part of it
        tones = np.array(((0.54, 0.42, 0.20), (0.10, 0.10, 0.11)), np.float32)
        tone = tones[rng.integers(2)]
        start, end = np.sort(rng.uniform(0.0, 0.8, 2)) * columns
        area = rgb[:, int(start) : int(max(end, start + 0.2 * columns))]
        grey = area.mean(-1, keepdims=True)
        area[:] = tone * (0.35 + 1.3 * np.clip(grey, 0, 1)) + 0.5 * np.maximum(grey - 0.9, 0)
    for _ in range(int(rng.integers(1, 4))):  # cables and slots run along
        y = middle + rng.uniform(-0.35, 0.35) * width
        x0, x1 = np.sort(rng.uniform(0.05, 0.95, 2)) * columns
        tone = float(rng.choice((0.03, 0.9), p=(0.65, 0.35)))
        slant = rng.normal(0, 0.05) * width
        _line(rgb, [(x0, y), (x1, y + slant)], (tone,) * 3, 0.06 * width)
        if tone < 0.5:
            _line(rgb, [(x0, y + 0.06 * width), (x1, y + slant + 0.06 * width)], (0.8,) * 3, 1)
    for _ in range(int(rng.integers(1, 4))):
        spot = np.array([rng.uniform(0.1, 0.95) * columns, middle + rng.uniform(-0.2, 0.2) * width])
        pin(rng, rgb, spot, max(1.2, rng.uniform(0.05, 0.13) * width))
    for _ in range(int(rng.integers(0, 3))):
        x = int(rng.uniform(0.1, 0.9) * columns)
        wide = max(1, columns // 24)
        rgb[:, x : x + wide] *= 0.25
        rgb[:, x + wide : x + 2 * wide] *= 1.5


def part(rng, alpha, finish: Finish, outline, joint, role: str) -> np.ndarray:
    """A wrist, jaw or tip, painted (rgb); `outline` [N, 2] and `joint` in pixels of `alpha`.

    The first half of a jaw's outline is its working edge, from the joint to the tip.
    """
    rows, columns = alpha.shape
    thick = max(2.0, min(rows, columns) - 4.0)
    round_part = role in ("probe", "suction", "cone", "hook")
    bevel = thick * (0.5 if round_part else rng.uniform(0.12, 0.3))
    rgb = milled(rng, alpha, finish, max(1.2, bevel))
    if role == "wrist" and thick > 5:
        wrist_parts(rng, rgb, alpha, finish)
    if role in ("grasper", "fenestrated", "needle_driver", "bipolar", "clip_applier", "scissors"):
        if thick > 7 and role not in ("scissors", "clip_applier"):
            inner = outline[: len(outline) // 2]
            pitch = max(1.6, rng.uniform(0.018, 0.035) * columns)
            serrate(rng, rgb, inner, pitch, rng.uniform(0.08, 0.16) * thick)
        if thick > 5:
            pin(rng, rgb, np.asarray(joint) + (0.06 * columns, 0), 0.15 * thick)
    if role == "suction" and columns > 12:
        for at in np.arange(0.5, 0.92, rng.uniform(0.08, 0.16)):
            spot = (int(at * columns * 16), int(rows * rng.choice((0.35, 0.5, 0.65)) * 16))
            radius = int(max(0.8, 0.07 * thick) * 16)
            cv2.circle(rgb, spot, radius, (0.02, 0.015, 0.015), -1, cv2.LINE_AA, 4)
    if role == "hook":  # the heel of a cautery tip is insulated, its end scorched
        start = int(0.35 * columns)
        rgb[:, :start] *= np.array((0.25, 0.25, 0.27), np.float32)
        rgb[:, int(0.85 * columns) :] *= np.array((0.55, 0.48, 0.42), np.float32)
    return rgb
