"""Five kinds of blur.

Path:    [blurs] -> corruptions
Axes:    image [H, W, 3] float64; the answer has the same shape.
Units:   constants in pixels of a picture with a short side of 224, times `scale` here.
Errors:  none of their own.
Source:  arXiv:1903.12261 (ImageNet-C), constants of its released code.
Differs: the disc of the defocus has a weighted rim where the source blurs the edge of a disc of
         whole pixels. Behind glass, the released code means to swap pixels, but its swap copies one
         way only and so moves the whole picture down and right (measured: 0.7 to 2.2 pixels); here
         pixels change places and masks still fit. Motion has the kernel of ImageMagick, which the
         source calls, not the program itself.
"""

import numpy as np

from surgjax.robustness import fields

DEFOCUS = (3, 4, 6, 8, 10)  # radius
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))  # sigma, reach, times
MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))  # radius, sigma
ZOOM = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))  # end, step
GAUSSIAN = (1, 2, 3, 4, 6)  # sigma


def defocus_blur(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Out of focus: every point becomes a disc."""
    return fields.disc_blur(image, level * scale)


def _shuffled(rng, height: int, width: int, reach: int, times: int) -> np.ndarray:
    """[2, height, width]: how far (rows, columns) each place fetches from, after many swaps."""
    order = list(range(height * width))
    rows, columns = np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1)
    here = (rows[:, None] * width + columns).ravel()
    for _ in range(times):
        down, right = rng.integers(-reach, reach, (2, len(here)))
        for a, b in zip(here.tolist(), (here + down * width + right).tolist(), strict=True):
            order[a], order[b] = order[b], order[a]
    moved = np.array(order).reshape(height, width)
    own_row, own_column = np.mgrid[:height, :width]
    return np.stack([moved // width - own_row, moved % width - own_column])


def glass_blur(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """Behind frosted glass: blurred, shuffled over short distances, blurred again."""
    sigma, reach, times = level
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    image = fields.gaussian_blur(image, sigma * scale)
    # Shuffled at the reference size: single pixels of a large picture would blur, not break up.
    layer = fields.layer_shape(height, width, scale)
    moved = _shuffled(rng, *layer, reach, times)[
        :, rows * layer[0] // height, columns * layer[1] // width
    ]
    down, right = np.floor(scale * moved + 0.5).astype(int)
    image = image[
        np.clip(rows + down, 0, height - 1),
        np.clip(columns + right, 0, width - 1),
    ]
    return fields.gaussian_blur(image, sigma * scale)


def motion_blur(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """The camera moved, within 45 degrees of sideways."""
    radius, sigma = level
    angle = np.deg2rad(rng.uniform(-45, 45))
    return fields.motion_blur(image, radius * scale, sigma * scale, angle)


def zoom_blur(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """The camera came nearer during the exposure."""
    end, step = level
    factors = np.arange(1, end, step)
    total = image.copy()
    for factor in factors:
        total += fields.central_zoom(image, factor)
    return total / (len(factors) + 1)


def gaussian_blur(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Soft all over."""
    return fields.gaussian_blur(image, level * scale)
