"""Light on solids: normals from a height field, wet or metallic highlights.

Path:    noise -> [shading] -> tissue, anatomy, sprites
Axes:    height [H, W] float32; colours [H, W, 3] float32 RGB in 0..1, highlights may exceed 1.
Units:   height and position share one unit, so `relief` 1 is true to scale.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import noise


def normals(height: np.ndarray, relief: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit surface normals (x, y, z), z towards the camera."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=-0.125 * relief)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=-0.125 * relief)
    inverse = 1.0 / np.sqrt(slope_x * slope_x + slope_y * slope_y + 1.0)
    return slope_x * inverse, slope_y * inverse, inverse


def wet(rng, colour: np.ndarray, height: np.ndarray, relief: float, gloss: float) -> np.ndarray:
    """Soft tissue: diffuse light from near the camera plus tight white highlights."""
    nx, ny, nz = normals(height, relief)
    lx, ly = rng.normal(0, 0.28, 2)
    lz = 1.0 / np.sqrt(1 + lx * lx + ly * ly)
    facing = np.maximum((nx * lx + ny * ly + nz) * lz, 0.0)
    ambient = rng.uniform(0.15, 0.5)
    shaded = colour * (ambient + (1 - ambient) * facing)[..., None]
    half_x, half_y = lx * 0.5 + rng.normal(0, 0.1), ly * 0.5 + rng.normal(0, 0.1)
    half_z = 1.0 / np.sqrt(1 + half_x**2 + half_y**2)
    glint = np.maximum((nx * half_x + ny * half_y + nz) * half_z, 0.0)
    tight = cv2.pow(glint, noise.log_uniform(rng, (25, 220)))
    # A flat patch facing the lamp would glare all over: keep only what stands out of its
    # neighbourhood, as a wet film on rough tissue does.
    rows, columns = height.shape
    broad = cv2.blur(tight, (2 * (height.shape[0] // 12) + 1,) * 2)
    patch = noise.smooth_noise(rng, rows, columns, rng.uniform(2, 8))
    patch = noise.smoothstep(patch, -0.5, 1.3)
    shine = 1.6 * gloss * patch * np.clip(tight - broad * 1.1, 0, 1)
    return shaded + shine[..., None].astype(np.float32)


def solid_height(mask: np.ndarray, roundness: float = 1.0) -> np.ndarray:
    """Inflates a silhouette (uint8): a round cross-section where thin, a flat top where wide."""
    distance = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    top = max(float(distance.max()) * roundness, 1.0)
    x = np.clip(distance / top, 0, 1)
    return (top * np.sqrt(np.clip(1 - (1 - x) ** 2, 0, 1))).astype(np.float32)


def hard(rng, colour, height, *, metal: float, gloss: float, rough: np.ndarray) -> np.ndarray:
    """Metal and plastic: `metal` blends diffuse plastic into a mirrored, banded surrounding."""
    nx, ny, nz = normals(cv2.GaussianBlur(height, (0, 0), 0.8), 1.0)
    angle = rng.uniform(0, 2 * np.pi)
    tilt = rng.uniform(0.1, 0.7)
    lx, ly = tilt * np.cos(angle), tilt * np.sin(angle)
    norm = 1 / np.sqrt(1 + tilt * tilt)
    facing = np.maximum((nx * lx + ny * ly + nz) * norm, 0)
    wave = rng.uniform(2, 7, 2)
    swirl = noise.log_uniform(rng, (0.4, 3.5))
    mirror = np.sin(nx * wave[0] + ny * wave[1] + rng.uniform(0, 6.3) + swirl * rough)
    mirror = np.clip(0.5 + rng.uniform(0.4, 1.2) * mirror, 0.02, 1.5)
    ambient = rng.uniform(0.05, 0.4)
    light = (1 - metal) * (ambient + (1 - ambient) * facing) + metal * mirror
    spread = float(rng.uniform(12, 90))
    glint = np.maximum((nx * lx * 0.6 + ny * ly * 0.6 + nz) / np.sqrt(1 + 0.36 * tilt**2), 0)
    shine = gloss * glint**spread * (0.7 + 0.5 * rough).clip(0, 1.6)
    return (colour * light[..., None] + shine[..., None]).astype(np.float32)


@dataclasses.dataclass
class Lamp:
    """The light at the tip of the scope, above the picture: where, how far, how it leans."""

    x: float  # pixels of the field it lights
    y: float
    reach: float  # pixels above the tissue
    lean: tuple[float, float]  # offset of the lamp from the lens, in units of `reach`
    sharp: float  # exponent of the wet highlight
    fall: float  # 2 is the inverse-square law seen on a flat field
    tint: tuple[float, float, float]  # its colour as the camera balances it
    span: float  # pixels across the whole view, the yardstick of its films and patches

    def rays(self, height: int, width: int):
        """Unit vectors from the surface to the lamp, and its brightness, 1 below it."""
        grid_y, grid_x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (self.x - grid_x) / self.reach, (self.y - grid_y) / self.reach
        length2 = x * x + y * y + 1
        inverse = 1 / np.sqrt(length2)
        return x * inverse, y * inverse, inverse, cv2.pow(length2, -0.5 * self.fall)


def draw_lamp(rng, side: int, width: int, height: int) -> Lamp:
    """A lamp roughly over the middle, near enough to leave the borders dark, or farther away."""
    x, y = np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    reach = side * noise.log_uniform(rng, (0.75, 1.9))
    lean = rng.normal(0, 0.10, 2)
    sharp, fall = noise.log_uniform(rng, (50, 260)), rng.uniform(1.0, 2.4)
    warm = np.exp(rng.normal((0.02, -0.04, 0.04), (0.03, 0.04, 0.07)))
    return Lamp(
        float(x),
        float(y),
        reach,
        (float(lean[0]), float(lean[1])),
        sharp,
        fall,
        (float(warm[0]), float(warm[1]), float(warm[2])),
        float(side),
    )


def shifted(lamp: Lamp, x0: float, y0: float) -> Lamp:
    """The same lamp for a field whose corner lies at (x0, y0) of the first."""
    return dataclasses.replace(lamp, x=lamp.x - x0, y=lamp.y - y0)


def moist(rng, colour, relief, gloss, depth, lamp: Lamp) -> np.ndarray:
    """Wet tissue under the lamp of the scope.

    `depth` [H, W] (0 near, 1 as far again as the lamp) dims by the inverse-square law. What turns
    away from the lamp reddens as it darkens, as light does that comes out of tissue. Highlights
    are small, hard-edged and white, in clusters where ridges face the lens.
    """
    rows, columns = relief.shape
    nx, ny, nz = normals(relief, 1.0)
    lx, ly, lz, bright = lamp.rays(rows, columns)
    bright /= (1 + depth) ** 2
    facing = np.clip(nx * lx + ny * ly + nz * lz, 0, 1)
    soft = bright * (0.30 + 0.70 * facing)
    reds = cv2.pow(np.maximum(soft, 1e-4), 1.16)
    shaded = colour * np.array(lamp.tint, np.float32) * cv2.merge([soft, reds, reds])
    # In pixels of the lamp's reach, so that organs and ground have a film of the same kind.
    size = max(rows, columns) / lamp.span
    blob = lamp.span * noise.log_uniform(rng, (0.018, 0.06))
    film = noise.even_noise(rng, rows, columns, blob)
    film += 0.3 * noise.even_noise(rng, rows, columns, 0.4 * blob)
    film *= blob * noise.log_uniform(rng, (0.02, 0.09))
    fx, fy, fz = normals(relief + film, 1.0)
    hx, hy = lx + lamp.lean[0], ly + lamp.lean[1]
    inverse = 1 / np.sqrt(hx * hx + hy * hy + lz * lz)
    glint = np.clip((fx * hx + fy * hy + fz * lz) * inverse, 0, 1)
    tight = cv2.pow(glint, lamp.sharp)
    wide = 2 * int(lamp.span / 14) + 1
    tight -= 1.05 * cv2.blur(tight, (wide, wide))  # a film on flat tissue does not glare all over
    dry = noise.soft_noise(rng, rows, columns, max(1.0, size * rng.uniform(3, 9)))
    patch = noise.smoothstep(dry, rng.uniform(-0.8, 0.3), 1.3)
    shine = gloss * patch * noise.smoothstep(tight, rng.uniform(0.12, 0.4), 0.72)
    halo = cv2.GaussianBlur(shine, (0, 0), 0.012 * lamp.span)
    sheen = gloss * bright * (0.16 * cv2.pow(glint, 12) + 0.35 * halo)
    white = cv2.pow(bright, 0.6) * (1.5 * shine) + sheen
    return (shaded + white[..., None]).astype(np.float32)
