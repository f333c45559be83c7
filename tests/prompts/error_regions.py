"""Masks that look like the error regions of a segmentation: blobs with specks and holes."""

import cv2
import numpy as np


def random_masks(seed, count, height, width):
    """Bool [count, H, W]: thresholded coarse noise, two in a hundred pixels turned over."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, max(2, height // 8), max(2, width // 8))).astype(np.float32)
    size = (width, height)
    blobs = np.stack([cv2.resize(c, size, interpolation=cv2.INTER_CUBIC) for c in coarse])
    level = rng.uniform(0.2, 0.7, (count, 1, 1))
    return (blobs > level) ^ (rng.random((count, height, width)) < 0.02)
