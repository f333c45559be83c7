"""AugMix: an image is mixed with several chains of its own augmentations.

Path:    images -> [augmix] -> training
Axes:    image [H, W, 3] uint8.
Units:   severity 1..10; the papers' surgical set-up uses 1 to 3.
Source:  Hendrycks et al., arXiv:1912.02781; width 3, depth 1 to 3 as in Wang et al.,
         arXiv:2206.11804.
Differs: only photometric operations, since a mask cannot follow a mixture of moved images.
"""

from collections.abc import Callable

import cv2
import numpy as np

Operation = Callable[[np.ndarray, float], np.ndarray]


def _blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    mixed = a.astype(np.float32) + share * (b.astype(np.float32) - a)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def autocontrast(image: np.ndarray, level: float) -> np.ndarray:
    del level
    low, high = image.min((0, 1)).astype(np.float32), image.max((0, 1)).astype(np.float32)
    scaled = (image - low) * (255.0 / np.maximum(high - low, 1.0))
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)


def equalise(image: np.ndarray, level: float) -> np.ndarray:
    del level
    channels = [cv2.equalizeHist(np.ascontiguousarray(image[..., c])) for c in range(3)]
    return np.stack(channels, -1)


def posterise(image: np.ndarray, level: float) -> np.ndarray:
    dropped = round(4 * abs(level))  # bits
    return (image >> dropped) << dropped


def solarise(image: np.ndarray, level: float) -> np.ndarray:
    threshold = 256 - 256 * abs(level)
    return np.where(image < threshold, image, 255 - image)


def colour(image: np.ndarray, level: float) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, -1)
    return _blend(grey, image, 1 + 0.9 * level)


def contrast(image: np.ndarray, level: float) -> np.ndarray:
    mean = np.full_like(image, round(float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())))
    return _blend(mean, image, 1 + 0.9 * level)


def brightness(image: np.ndarray, level: float) -> np.ndarray:
    return _blend(np.zeros_like(image), image, 1 + 0.9 * level)


def sharpness(image: np.ndarray, level: float) -> np.ndarray:
    return _blend(cv2.GaussianBlur(image, (0, 0), 1.0), image, 1 + 0.9 * level)


OPERATIONS: dict[str, Operation] = {
    "autocontrast": autocontrast,
    "equalise": equalise,
    "posterise": posterise,
    "solarise": solarise,
    "colour": colour,
    "contrast": contrast,
    "brightness": brightness,
    "sharpness": sharpness,
}


def augmix(
    rng: np.random.Generator,
    image: np.ndarray,
    severity: float = 3.0,
    width: int = 3,
    max_depth: int = 3,
    operations: tuple[str, ...] = tuple(OPERATIONS),
) -> np.ndarray:
    """The image mixed with `width` chains of 1 to `max_depth` operations.

    Chains are weighted by a Dirichlet(1) draw, the mixture with the image itself by a Beta(1, 1)
    draw. An operation's level is drawn from +-severity / 10. severity 0 leaves the image as it is
    but for operations without a level.
    """
    unknown = sorted(set(operations) - OPERATIONS.keys())
    if unknown or not operations or width < 1 or max_depth < 1 or not 0 <= severity <= 10:
        raise ValueError(
            f"augmix: operations of {sorted(OPERATIONS)}, width and depth of 1 or more and a "
            f"severity in 0..10 expected, found {operations}, {width}, {max_depth}, {severity}."
        )
    weights = rng.dirichlet(np.ones(width))
    share = rng.beta(1.0, 1.0)
    mixed = np.zeros(image.shape, np.float32)
    for weight in weights:
        chain = image
        for name in rng.choice(np.array(operations), rng.integers(1, max_depth + 1)):
            level = rng.uniform(-severity, severity) / 10
            chain = OPERATIONS[str(name)](chain, level)
        mixed += weight * chain
    return np.clip((1 - share) * image + share * mixed + 0.5, 0, 255).astype(np.uint8)
