"""Band-limited random fields, the raw material of tissue, metal, smoke and stains.

Path:    [noise] -> tissue, anatomy, sprites, effects
Axes:    fields are [H, W] float32, about zero mean and unit deviation unless said otherwise.
Units:   `cells` counts blobs across the longer side of the field.
"""

import cv2
import numpy as np


def smooth_noise(rng, height: int, width: int, cells: float, stretch: float = 1.0) -> np.ndarray:
    """One octave: a coarse Gaussian grid, interpolated. `stretch` > 1 makes blobs longer in x."""
    longer = max(height, width)
    if longer >= 96 and cells < longer / 12:  # a coarse field needs no fine grid
        half = smooth_noise(rng, (height + 1) // 2, (width + 1) // 2, cells, stretch)
        return cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    rows = max(1.0, cells * height / longer)
    columns = max(1.0, cells * width / longer / stretch)
    grid = rng.standard_normal((int(rows) + 4, int(columns) + 4), dtype=np.float32)
    scale_y, scale_x = height / rows, width / columns
    start = rng.random(2)
    matrix = np.array([[1 / scale_x, 0, 1 + start[0]], [0, 1 / scale_y, 1 + start[1]]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        grid, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )


def fractal_noise(rng, height, width, cells, octaves=4, gain=0.5, stretch=1.0) -> np.ndarray:
    """Octaves of `smooth_noise`, each twice as fine and `gain` times as strong."""
    total = np.zeros((height, width), np.float32)
    weight, power = 1.0, 0.0
    for _ in range(octaves):
        if cells > max(height, width) / 1.5:
            break
        total += weight * smooth_noise(rng, height, width, cells, stretch)
        power += weight * weight
        weight, cells = weight * gain, cells * 2
    return total / np.float32(max(power, 1e-6) ** 0.5)


def smoothstep(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, an S-curve between."""
    x = np.clip((field - low) / (high - low), 0.0, 1.0)
    return (x * x * (3.0 - 2.0 * x)).astype(np.float32)


def log_uniform(rng, bounds) -> float:
    """A draw whose logarithm is uniform between the bounds."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))
