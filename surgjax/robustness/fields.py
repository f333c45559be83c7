"""Random fields and filters of the corruptions, in 64 bits from end to end.

Path:    [fields] -> noises, blurs, weather
Axes:    image [H, W, 3], layer [h, w]: a random field at the reference size, enlarged to [H, W].
Units:   lengths in pixels of what they are applied to.
Errors:  none of their own; `corruptions.corrupt` has checked the picture.
Source:  arXiv:1903.12261 for the mid-point fractal of its fog; the rest is ours.
Differs: pictures stay floating point in 64 bits until the end. Processors and builds of OpenCV
         round differently in the last bit, which 32 bits would bring to the surface now and then.
"""

import cv2
import numpy as np


def layer_shape(height: int, width: int, scale: float) -> tuple[int, int]:
    """The size that a picture would have where a reference pixel is a pixel."""
    return max(1, round(height / scale)), max(1, round(width / scale))


def fit(layer: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarges (linear) or shrinks (mean) a layer to the picture's size."""
    if layer.shape[:2] == (height, width):
        return layer
    shrinks = layer.shape[0] > height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(layer, (width, height), interpolation=method)


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
    height, width = image.shape[:2]
    rows, columns = int(np.ceil(height / factor)), int(np.ceil(width / factor))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = image[top : top + rows, left : left + columns]
    return cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR)


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
