"""Four kinds of noise, drawn for every pixel and channel.

Path:    [noises] -> corruptions
Axes:    image [H, W, 3] float64; the answer has the same shape and may leave 0..1.
Units:   image in 0..1; noise is per pixel at every size, as a sensor's is: `scale` changes nothing.
Errors:  none of their own.
Source:  arXiv:1903.12261 (ImageNet-C), constants of its released code.
Differs: what is drawn does not depend on the level (shot noise excepted): a higher level is the
         same noise, stronger.
"""

import numpy as np

GAUSSIAN = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation
SHOT = (60, 25, 12, 5, 3)  # photons of a white pixel
IMPULSE = (0.03, 0.06, 0.09, 0.17, 0.27)  # share of values that are lost
SPECKLE = (0.15, 0.2, 0.35, 0.45, 0.6)  # standard deviation, times the pixel


def gaussian_noise(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Electronic noise: the same everywhere."""
    return image + level * rng.standard_normal(image.shape)


def shot_noise(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Light comes in grains, few of them."""
    return rng.poisson(image * level) / level


def impulse_noise(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Values that jump to black or white."""
    drawn = rng.random(image.shape)
    return np.where(drawn < level / 2, 0.0, np.where(drawn > 1 - level / 2, 1.0, image))


def speckle_noise(image: np.ndarray, level: float, rng, scale: float) -> np.ndarray:
    """Noise in proportion to the light."""
    return image + image * level * rng.standard_normal(image.shape)
