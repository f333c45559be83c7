"""Light on solids: normals from a height field, wet or metallic highlights.

Path:    noise -> [shading] -> tissue, anatomy, sprites
Axes:    height [H, W] float32; colours [H, W, 3] float32 RGB in 0..1, highlights may exceed 1.
Units:   height and position share one unit, so `relief` 1 is true to scale.
"""

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
