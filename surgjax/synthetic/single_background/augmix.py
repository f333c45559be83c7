"""AugMix: an image is mixed with several chains of its own augmentations.

Path:    images -> [augmix] -> training
Axes:    image [H, W, 3] uint8.
Units:   severity 0..10; the papers' surgical set-up uses 1 to 3.
Errors:  ValueError on an operation that is not known, a width, depth or severity out of range, or
         pixels other than uint8 RGB.
Source:  Hendrycks et al., arXiv:1912.02781; width 3, depth 1 to 3 as in Wang et al.,
         arXiv:2206.11804. The operations are Pillow's.
Differs: only photometric operations, since a mask cannot follow a mixture of moved images.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Operation = Callable[[Image.Image, float], Image.Image]

_BITS = 8  # of a channel; the strongest posterisation drops 4


def _enhance(kind: type) -> Operation:
    """Level -1..1 becomes Pillow's factor 0.1..1.9; level 0 leaves the image as it is."""
    return lambda image, level: kind(image).enhance(1 + 0.9 * level)


OPERATIONS: dict[str, Operation] = {
    "autocontrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
    "posterize": lambda image, level: ImageOps.posterize(image, _BITS - round(4 * abs(level))),
    "solarize": lambda image, level: ImageOps.solarize(image, round(256 - 256 * abs(level))),
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
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
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"augmix: uint8 [H, W, 3] expected, found {image.dtype} {image.shape}.")
    weights = rng.dirichlet(np.ones(width))
    share = rng.beta(1.0, 1.0)
    mixed = np.zeros(image.shape, np.float32)
    for weight in weights:
        chain = Image.fromarray(image)
        for name in rng.choice(np.array(operations), rng.integers(1, max_depth + 1)):
            level = rng.uniform(-severity, severity) / 10
            chain = OPERATIONS[str(name)](chain, level)
        mixed += weight * np.asarray(chain)
    return np.clip((1 - share) * image + share * mixed + 0.5, 0, 255).astype(np.uint8)
