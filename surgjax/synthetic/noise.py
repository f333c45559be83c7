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


def even_noise(rng, height: int, width: int, blob: float, stretch: float = 1.0) -> np.ndarray:
    """Blurred white noise with blobs about `blob` pixels wide: even slopes, no trace of a lattice.

    `smooth_noise` is faster for coarse fields, but its slopes jump where its grid lies, which shows
    once a field is lit.
    """
    shrink = max(1, int(blob / 4)) | 1  # odd, so that a mean over one cell is centred
    shrink = 1 if blob < 8 else shrink
    rows, columns = height // shrink + 3, width // shrink + 3
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    sigma = max(0.42 * blob / shrink, 0.3)
    soft = cv2.GaussianBlur(
        white, (0, 0), sigma * stretch, sigmaY=sigma, borderType=cv2.BORDER_REFLECT_101
    )
    # What a blur by that much leaves of unit deviation; the field's own would amplify chance.
    soft *= np.float32(2 * np.pi**0.5 * sigma * stretch**0.5 if sigma > 0.5 else 1.0)
    if shrink == 1:
        return np.ascontiguousarray(soft[:height, :width])
    size = (columns * shrink, rows * shrink)
    # Lines between the grid's points, then a mean over one cell: a spline. OpenCV's cubic would be
    # quicker, but does not keep a plain slope plain.
    large = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
    large = cv2.blur(large, (shrink, shrink), borderType=cv2.BORDER_REFLECT_101)
    y, x = rng.integers(0, 2 * shrink, 2)
    return np.ascontiguousarray(large[y : y + height, x : x + width])


def soft_noise(rng, height: int, width: int, cells: float, stretch: float = 1.0) -> np.ndarray:
    """`smooth_noise` with even slopes, for what is lit."""
    return even_noise(rng, height, width, max(height, width) / cells, stretch)


def soft_fractal(rng, height, width, cells, octaves=4, gain=0.5, stretch=1.0) -> np.ndarray:
    """`fractal_noise` with even slopes, for what is lit."""
    total = np.zeros((height, width), np.float32)
    weight, power = 1.0, 0.0
    for _ in range(octaves):
        if cells > max(height, width) / 1.5:
            break
        total += weight * soft_noise(rng, height, width, cells, stretch)
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
