"""What recording and transmission do to a picture: contrast, coarse pixels, JPEG, colour.

Path:    [digital] -> corruptions
Axes:    image [H, W, 3] float64; the answer has the same shape and may leave 0..1.
Units:   image in 0..1; the side of a coarse pixel in pixels of a picture with a short side of 224,
         times `scale` here; blocks of JPEG are 8 x 8 at every size.
Errors:  none of their own.
Source:  arXiv:1903.12261 (ImageNet-C), constants of its released code.
Differs: nothing but arithmetic: saturation without a detour through hue.
"""

import io

import numpy as np
from PIL import Image

CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # of what differs from the mean
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)  # share of rows and columns that is left
JPEG = (25, 18, 15, 10, 7)  # quality
SATURATE = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))  # factor, added


def contrast(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Pulls every channel towards its mean."""
    means = image.mean((0, 1))
    return (image - means) * level + means


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(image * 255).astype(np.uint8))


def pixelate(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Fewer, larger pixels."""
    height, width = image.shape[:2]
    share = level / max(1.0, scale)  # below the reference size pixels cannot get smaller
    size = (max(1, int(width * share)), max(1, int(height * share)))
    small = _picture(image).resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)) / 255


def jpeg_compression(image: np.ndarray, level: int, rng, scale: float) -> np.ndarray:
    """Blocks and ringing of strong compression."""
    with io.BytesIO() as file:
        _picture(image).save(file, "JPEG", quality=level)
        return np.asarray(Image.open(file)) / 255


def saturate(image: np.ndarray, level: tuple, rng, scale: float) -> np.ndarray:
    """Colours washed out (levels 1, 2) or overdone (3 to 5): saturation as of HSV."""
    factor, added = level
    value = image.max(-1, keepdims=True)
    range_ = value - image.min(-1, keepdims=True)
    saturation = range_ / np.where(value == 0, 1.0, value)
    wanted = np.clip(saturation * factor + added, 0, 1)
    # How far a channel lies below the brightest, as a share of the range; grey counts as red.
    below = np.where(range_ == 0, [0.0, 1.0, 1.0], (value - image) / np.where(range_, range_, 1.0))
    return value * (1 - wanted * below)
