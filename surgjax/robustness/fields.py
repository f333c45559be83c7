"""Random fields and filters of the corruptions, in 64 bits from end to end.

Path:    [fields] -> noises, blurs, weather
Axes:    image [H, W, 3], layer [h, w]: a random field at the reference size, enlarged to [H, W].
Units:   lengths in pixels of what they are applied to.
Errors:  none of their own; `corruptions.corrupt` has checked the picture.
Source:  arXiv:1903.12261 for the mid-point fractal of its fog; the rest is ours.
Differs: pictures stay floating point in 64 bits until the end, and are resized here, not by OpenCV,
         whose builds with Intel IPP interpolate with other weights. What is left between processors
         is the last of 53 bits, which `rounded` keeps from the surface.
"""

import cv2
import numpy as np


def rounded(image: np.ndarray) -> np.ndarray:
    """0..1 as uint8. Halves go up, and so does what only rounding put just below a half."""
    return np.floor(np.clip(image, 0, 1) * 255 + (0.5 + 1e-7)).astype(np.uint8)


def layer_shape(height: int, width: int, scale: float) -> tuple[int, int]:
    """The size that a picture would have where a reference pixel is a pixel."""
    return max(1, round(height / scale)), max(1, round(width / scale))


def _between(count: int, found: int, start: float, length: float):
    """For `found` even steps over start .. start + length: the two next pixels, and the share."""
    places = start + (np.arange(found) + 0.5) * (length / found) - 0.5
    places = np.clip(places, 0, count - 1)
    first = np.minimum(places.astype(int), max(0, count - 2))
    return first, np.minimum(first + 1, count - 1), places - first


def _resizing(count: int, found: int) -> np.ndarray:
    """[found, count] weights: lines between pixels to enlarge, means over pixels to shrink."""
    if found < count:
        edges = np.arange(found + 1) * (count / found)
        low, high = edges[:-1, None], edges[1:, None]
        pixels = np.arange(count)
        return np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, 1) / (high - low)
    weights = np.zeros((found, count))
    first, second, share = _between(count, found, 0.0, count)
    np.add.at(weights, (np.arange(found), first), 1 - share)
    np.add.at(weights, (np.arange(found), second), share)
    return weights


def fit(layer: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarges (linear) or shrinks (mean) a layer [h, w] or [h, w, 3] to the picture's size."""
    if layer.shape[:2] == (height, width):
        return layer
    rows, columns = _resizing(layer.shape[0], height), _resizing(layer.shape[1], width)
    if layer.ndim == 2:
        return rows @ layer @ columns.T
    return np.stack([rows @ channel @ columns.T for channel in np.moveaxis(layer, -1, 0)], -1)


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs with a bell cut off at four sigma; borders repeat."""
    side = 2 * int(4 * sigma + 0.5) + 1
    if side == 1:
        return image
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)


def disc_blur(image: np.ndarray, radius: float) -> np.ndarray:
    """Blurs with an evenly lit disc whose rim is weighted by how much of a pixel it covers."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.sqrt(x * x + y * y), 0, 1)
    return cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


def motion_blur(image: np.ndarray, radius: float, sigma: float, angle: float) -> np.ndarray:
    """Trails every point to one side: half a bell of `sigma`, 2 `radius` + 1 pixels long.

    `angle` in radians. Borders repeat.
    """
    reach = max(1, round(2 * radius))
    steps = np.arange(reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    rows = np.round(steps * np.sin(angle)).astype(int) + reach
    columns = np.round(steps * np.cos(angle)).astype(int) + reach
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    np.add.at(kernel, (rows, columns), weights / weights.sum())
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def central_zoom(image: np.ndarray, factor: float) -> np.ndarray:
    """The middle of a picture at the size of the whole, linearly interpolated."""
    for axis in (0, 1):
        count = image.shape[axis]
        start, length = (count - count / factor) / 2, count / factor
        first, second, share = _between(count, count, start, length)
        share = share.reshape((-1,) + (1,) * (image.ndim - 1 - axis))
        image = image.take(first, axis) * (1 - share) + image.take(second, axis) * share
    return image


def plasma(rng, height: int, width: int, roughness: float) -> np.ndarray:
    """Mid-point fractal, [height, width] in 0..1: clouds, the coarsest as large as the picture.

    Each halving of the grid adds noise that is weaker by `roughness` squared; what is drawn from
    `rng` does not depend on it.
    """
    levels = int(np.ceil(np.log2(max(2, min(height, width) * 8 / 7))))  # 224 pixels: 256 points
    grid = np.zeros((-(-height // 2**levels), -(-width // 2**levels)))
    strength = 1.0
    for _ in range(levels):
        rows, columns = grid.shape
        finer = np.empty((2 * rows, 2 * columns))
        finer[::2, ::2] = grid
        right, below = np.roll(grid, -1, 1), np.roll(grid, -1, 0)  # the far side is the near one
        corners = (grid + right + below + np.roll(right, -1, 0)) / 4
        middle = corners + strength * rng.uniform(-1, 1, grid.shape)
        finer[1::2, 1::2] = middle
        across = (grid + right + middle + np.roll(middle, 1, 0)) / 4
        finer[::2, 1::2] = across + strength * rng.uniform(-1, 1, grid.shape)
        along = (grid + below + middle + np.roll(middle, 1, 1)) / 4
        finer[1::2, ::2] = along + strength * rng.uniform(-1, 1, grid.shape)
        grid, strength = finer, strength / roughness**2
    grid = grid - grid.min()
    return (grid / grid.max())[:height, :width]
