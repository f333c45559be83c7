"""Flat pictures of instrument parts, drawn once per scene and warped into every frame.

Path:    noise, shading -> [sprites] -> instruments -> compositor
Axes:    a sprite is rgb [h, w, 3] float32 and alpha [h, w] uint8; the part points along +x and
         turns about `joint_xy`.
Units:   pixels of the frame, one sprite pixel per frame pixel.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import metalwork, noise, shading

PAD = 2


@dataclasses.dataclass
class Sprite:
    """A part's picture, and the point about which it is placed."""

    rgb: np.ndarray
    alpha: np.ndarray
    joint_xy: tuple[float, float]


METALS = np.array(
    [
        (0.62, 0.62, 0.64),
        (0.42, 0.43, 0.45),
        (0.78, 0.78, 0.78),
        (0.25, 0.25, 0.27),
        (0.70, 0.54, 0.28),
    ],
    np.float32,
)
PLASTICS = np.array(
    [
        (0.08, 0.08, 0.09),
        (0.15, 0.16, 0.17),
        (0.36, 0.37, 0.39),
        (0.50, 0.52, 0.54),
        (0.70, 0.70, 0.70),
        (0.88, 0.87, 0.85),
        (0.30, 0.40, 0.48),
        (0.12, 0.22, 0.45),
        (0.62, 0.47, 0.20),
    ],
    np.float32,
)
_PLASTIC_WEIGHTS = np.array([4, 4, 4, 4, 3, 2.5, 1, 0.8, 0.8])


@dataclasses.dataclass
class Material:
    """Base colour and how the surface answers light."""

    colour: np.ndarray
    metal: float
    gloss: float
    texture: float
    finish: metalwork.Finish | None = None  # worked metal: then metalwork paints it


def draw_material(rng, kind: str, p_wild: float) -> Material:
    """`kind` is "shaft" (mostly matt plastic), "metal" or "plastic"."""
    if rng.random() < p_wild:
        colour = rng.uniform(0.03, 0.95, 3)
        return Material(colour.astype(np.float32), rng.random(), rng.uniform(0, 1.5), 0.1)
    if kind == "metal" or (kind == "shaft" and rng.random() < 0.25):
        colour = METALS[rng.integers(len(METALS))] * (
            np.array((1.1, 0.9, 0.6)) if rng.random() < 0.1 else 1.0
        )
        metal, gloss = rng.uniform(0.4, 1.0), rng.uniform(0.2, 1.3)
    else:
        weights = _PLASTIC_WEIGHTS / _PLASTIC_WEIGHTS.sum()
        colour = PLASTICS[rng.choice(len(PLASTICS), p=weights)]
        metal, gloss = rng.uniform(0.0, 0.3), noise.log_uniform(rng, (0.05, 0.9))
    colour = colour * rng.uniform(0.8, 1.2) + rng.normal(0, 0.02, 3)
    pink = rng.uniform(0, 0.18) * (rng.random() < 0.5)  # red surroundings seen in the surface
    colour = colour * (1 - pink * np.array((0.0, 0.7, 0.6)))
    texture = rng.uniform(0.0, 0.18)
    return Material(np.clip(colour, 0.02, 1).astype(np.float32), metal, gloss, texture)


def worked_material(rng, part: str) -> Material:
    """A material that metalwork paints; `part` as in metalwork.draw_finish."""
    finish = metalwork.draw_finish(rng, part)
    return Material(finish.colour, finish.mirror, finish.shine, finish.grain, finish)


def _surface(rng, mask: np.ndarray, height: np.ndarray, material: Material, stretch=1.0):
    """Colours a silhouette; colour continues a little past the edge so that warps do not fringe."""
    rows, columns = mask.shape
    rough = noise.fractal_noise(rng, rows, columns, rng.uniform(2, 7), 3, 0.6, stretch)
    grain = noise.fractal_noise(rng, rows, columns, rng.uniform(10, 40), 3, 0.8, stretch)
    colour = material.colour * (1 + material.texture * (0.6 * rough + 0.6 * grain))[..., None]
    return shading.hard(
        rng, colour, height, metal=material.metal, gloss=material.gloss, rough=rough
    )


def _stain(rng, rgb: np.ndarray) -> None:
    """Blood and char smears, in place."""
    field = noise.fractal_noise(rng, rgb.shape[0], rgb.shape[1], rng.uniform(1.5, 6), 4)
    level = rng.uniform(0.5, 1.8)
    share = noise.smoothstep(field, level, level + 0.5)[..., None] * rng.uniform(0.3, 0.9)
    tint = np.array((0.35, 0.04, 0.05) if rng.random() < 0.75 else (0.07, 0.05, 0.04), np.float32)
    rgb += share * (tint - rgb)


def shaft(rng, length: float, width: float, material: Material, stained: bool) -> Sprite:
    """A tube with rings, print and streaks; the joint is the middle of its right end."""
    if material.finish is not None:
        rgb, alpha = metalwork.tube(rng, length, width, material.finish, PAD)
        if stained:
            metalwork.soil(rng, rgb, rng.uniform(1, 5), rng.uniform(0.0, 0.9))
        return Sprite(rgb, alpha, (alpha.shape[1] - PAD - 1.0, (alpha.shape[0] - 1) / 2))
    rows, columns = int(round(width)) + 2 * PAD, int(length) + 2 * PAD
    across = (np.arange(rows, dtype=np.float32) - (rows - 1) / 2) / (width / 2)
    profile = np.sqrt(np.clip(1 - across**2, 0, 1)) * width / 2
    height = np.repeat(profile[:, None], columns, 1)
    alpha = np.zeros((rows, columns), np.uint8)
    alpha[PAD : rows - PAD, PAD : columns - PAD] = 255
    if rng.random() < 0.35:  # a rounded or chamfered far end
        cut = int(rng.uniform(0.1, 0.5) * width)
        corners = np.array([[columns, -1], [columns - cut - PAD, PAD - 1], [columns, PAD + cut]])
        cv2.fillPoly(alpha, [corners.astype(np.int32)], 0)
        corners[:, 1] = rows - 1 - corners[:, 1]
        cv2.fillPoly(alpha, [corners.astype(np.int32)], 0)
    rgb = _surface(rng, alpha, height, material, stretch=rng.uniform(1, 8))
    along = np.linspace(0, 1, columns, dtype=np.float32)
    rgb *= (1 + rng.uniform(-0.7, 1.6) * (1 - along))[:, None]  # nearer the lamp, or away from it
    for _ in range(int(rng.integers(0, 4))):  # rings near the working end
        at = columns - PAD - int(abs(rng.normal(0, 0.8)) * width) - 2
        wide = max(1, int(rng.uniform(0.03, 0.3) * width))
        if at - wide > 0:
            rgb[:, at - wide : at] *= rng.uniform(0.3, 1.6)
    if width > 14 and rng.random() < 0.25:  # print
        ink = np.zeros((rows, columns), np.uint8)
        text = "".join(chr(c) for c in rng.integers(97, 123, int(rng.integers(3, 12))))
        place = (int(columns * rng.uniform(0.4, 0.85)), int(rows * rng.uniform(0.45, 0.75)))
        cv2.putText(ink, text, place, int(rng.integers(0, 8)), width / 70, 255, 1, cv2.LINE_AA)
        target = 1.0 if material.colour.mean() < 0.5 else 0.1
        rgb += (ink / np.float32(255) * rng.uniform(0.3, 0.9))[..., None] * (target - rgb)
    if stained:
        _stain(rng, rgb)
    return Sprite(rgb, alpha, (columns - PAD - 1.0, (rows - 1) / 2))


def _details(rng, rgb: np.ndarray, alpha: np.ndarray, count: int) -> None:
    """Screws, slots and ribs: dark and bright marks inside the silhouette."""
    rows, columns = alpha.shape
    for _ in range(count):
        centre = (int(rng.integers(0, columns)), int(rng.integers(0, rows)))
        tone = float(rng.uniform(0.0, 0.25) if rng.random() < 0.65 else rng.uniform(0.7, 1.2))
        colour = (tone, tone * rng.uniform(0.85, 1), tone * rng.uniform(0.7, 1))
        shape = rng.random()
        if shape < 0.4:
            radius = max(1, int(rows * rng.uniform(0.05, 0.2)))
            cv2.circle(rgb, centre, radius, colour, -1, cv2.LINE_AA)
            if radius > 2:
                cv2.circle(rgb, centre, radius // 2, (0.8, 0.8, 0.8), -1, cv2.LINE_AA)
        elif shape < 0.75:
            end = (centre[0] + int(rng.normal(0, columns / 4)), centre[1] + int(rng.normal(0, 2)))
            cv2.line(rgb, centre, end, colour, max(1, int(rows * 0.06)), cv2.LINE_AA)
        else:
            for step in range(int(rng.integers(2, 6))):
                x = centre[0] + step * max(2, columns // 16)
                cv2.line(rgb, (x, 0), (x, rows), colour, max(1, columns // 40), cv2.LINE_AA)


def solid(
    rng, outline, holes, joint_xy, material: Material, details: int, stained: bool, role: str = ""
) -> Sprite:
    """Any closed outline ([N, 2], joint at `joint_xy`) as a shaded solid with true holes.

    `role` ("wrist" or a kind of jaws) tells metalwork which teeth, pins and cables belong there.
    """
    outline = np.asarray(outline, float)
    low = outline.min(0) - PAD
    columns, rows = np.ceil(outline.max(0) - low + PAD + 1).astype(int)
    alpha = np.zeros((rows, columns), np.uint8)

    def fixed(points):
        return np.round((np.asarray(points, float) - low) * 16).astype(np.int32)

    cv2.fillPoly(alpha, [fixed(outline)], 255, cv2.LINE_AA, 4)
    for hole in holes:
        cv2.fillPoly(alpha, [fixed(hole)], 0, cv2.LINE_AA, 4)
    joint = np.asarray(joint_xy, float) - low
    if material.finish is not None:
        rgb = metalwork.part(rng, alpha, material.finish, outline - low, joint, role)
        if stained:
            metalwork.soil(rng, rgb, 1.0)
    else:
        height = shading.solid_height(alpha, rng.uniform(0.5, 1.0))
        rgb = _surface(rng, alpha, height, material)
        if details:
            _details(rng, rgb, alpha, details)
        if stained:
            _stain(rng, rgb)
    return Sprite(rgb, alpha, (float(joint[0]), float(joint[1])))
