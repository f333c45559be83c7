"""Four ways to put an instrument onto a background.

Path:    augmentations -> [blending] -> compose
Axes:    images [H, W, 3] uint8; mask [H, W] bool.
Units:   widths in pixels.
Source:  Wang et al., arXiv:2206.11804 (paste, alpha, Gaussian, Laplacian); Burt and Adelson, 1983,
         for the Laplacian pyramid.
Differs: the truth is the mask that was given, whatever the blending does at the border.
"""

from collections.abc import Callable

import cv2
import numpy as np

_LEVELS = 4


def paste(background: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A hard edge."""
    return np.where(mask[..., None], image, background)


def alpha(background: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The edge fades inwards over three pixels, so no background of the cut-out comes along."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    return _mix(background, image, np.clip(inside / 3.0, 0, 1))


def gaussian(background: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask, blurred, is the weight: the edge fades to both sides."""
    return _mix(background, image, cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5))


def laplacian(background: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Every band of frequencies fades over its own width."""
    height, width = mask.shape
    step = 2**_LEVELS
    pad = (0, -height % step, 0, -width % step)
    grown = [
        cv2.copyMakeBorder(x.astype(np.float32), *pad, cv2.BORDER_REPLICATE)
        for x in (background, image, mask.astype(np.float32))
    ]
    weights = [grown[2]]
    for _ in range(_LEVELS):
        weights.append(cv2.pyrDown(weights[-1]))
    bands = [_pyramid(x) for x in grown[:2]]
    mixed = [b + w[..., None] * (f - b) for b, f, w in zip(*bands, weights, strict=True)]
    result = mixed[-1]
    for band in reversed(mixed[:-1]):
        result = cv2.pyrUp(result, dstsize=band.shape[1::-1]) + band
    return np.clip(result[:height, :width] + 0.5, 0, 255).astype(np.uint8)


def _pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Bands from fine to coarse, the rest last."""
    bands = []
    for _ in range(_LEVELS):
        smaller = cv2.pyrDown(image)
        bands.append(image - cv2.pyrUp(smaller, dstsize=image.shape[1::-1]))
        image = smaller
    return [*bands, image]


def _mix(background: np.ndarray, image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mixed = background + weight[..., None] * (image.astype(np.float32) - background)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


BLENDINGS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "paste": paste,
    "alpha": alpha,
    "gaussian": gaussian,
    "laplacian": laplacian,
}
