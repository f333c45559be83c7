"""Host-side (NumPy, OpenCV) work on masks and images: fitting sizes, filling holes, overlaps.

Axes:    images [H, W] or [H, W, C]; stacks of masks [O, H, W].
Source:  SAM 2 `sam2/utils/misc.py` (fill_holes_in_mask_scores), `sam2/utils/transforms.py`,
         `sam2/utils/amg.py` (stability, boxes), `sam2_video_predictor.py` (non-overlap constraint).
Differs: connected components come from OpenCV, so hole filling needs no compiled extension.
"""

import functools
from collections.abc import Sequence

import cv2
import numpy as np


@functools.lru_cache(maxsize=32)
def _antialias_matrix(n_out: int, n_in: int) -> np.ndarray:
    """[n_out, n_in] triangle weights, widened by the scale when shrinking, rows summing to one."""
    scale = n_in / n_out
    width = max(scale, 1.0)
    centre = (np.arange(n_out) + 0.5) * scale
    distance = np.abs(np.arange(n_in)[None] + 0.5 - centre[:, None]) / width
    weight = np.clip(1.0 - distance, 0.0, None)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def resize_antialias(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear with antialiasing, as PyTorch's on float tensors: [H, W, ...] -> [*size, ...]."""
    if image.shape[:2] == size:
        return image.astype(np.float32)
    rows = _antialias_matrix(size[0], image.shape[0])
    cols = _antialias_matrix(size[1], image.shape[1])
    tall = np.tensordot(rows, image.astype(np.float32), (1, 0))
    return np.moveaxis(np.tensordot(cols, tall, (1, 1)), 0, 1)


def resize_logits(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear without antialiasing, half-pixel centres: [H, W] float32 -> size (height, width)."""
    if logits.shape == size:
        return logits
    return cv2.resize(logits, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def fit_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """A bool mask [H, W] at [side, side]: antialiased bilinear, one half and above is object."""
    if mask.shape == (side, side):
        return mask.astype(bool)
    return resize_antialias(mask.astype(np.float32), (side, side)) >= 0.5


def small_components(binary: np.ndarray, max_area: int) -> np.ndarray:
    """Which pixels of a bool map [H, W] lie in 8-connected components of at most max_area."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary.astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= max_area
    small[0] = False  # label 0 is what is not in `binary`
    return small[np.asarray(labels, np.intp)]


def fill_holes(logits: np.ndarray, max_area: int) -> np.ndarray:
    """Background components of at most max_area pixels get logit 0.1; [H, W] -> [H, W]."""
    if max_area <= 0:
        return logits
    return np.where(small_components(logits <= 0, max_area), np.float32(0.1), logits)


def clean_mask(logits: np.ndarray, max_hole_area: float, max_sprinkle_area: float) -> np.ndarray:
    """The image predictor's clean-up: small holes become +10, small specks -10."""
    if max_hole_area > 0:
        holes = small_components(logits <= 0, int(max_hole_area))
        logits = np.where(holes, np.float32(10.0), logits)
    if max_sprinkle_area > 0:
        specks = small_components(logits > 0, int(max_sprinkle_area))
        logits = np.where(specks, np.float32(-10.0), logits)
    return logits


def separate_objects(logits: np.ndarray) -> np.ndarray:
    """Non-overlap: at each pixel all but the highest of [O, H, W] are pushed to -10 or below."""
    if len(logits) < 2:
        return logits
    winner = logits.argmax(0)[None] == np.arange(len(logits))[:, None, None]
    return np.where(winner, logits, np.minimum(logits, np.float32(-10.0)))


def stability_score(logits: np.ndarray, threshold: float, offset: float) -> np.float32:
    """IoU of the masks of [H, W] at threshold + offset and threshold - offset; NaN: both empty."""
    inner = np.count_nonzero(logits > threshold + offset)
    outer = np.count_nonzero(logits > threshold - offset)
    return np.float32(inner) / np.float32(outer) if outer else np.float32(np.nan)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of a bool mask [H, W], last column and row inside; all zero for an empty one."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (left, top, left + width - 1, top + height - 1) if width else (0, 0, 0, 0)


def label_map(mask_logits: np.ndarray, object_ids: Sequence[int]) -> np.ndarray:
    """[O, 1, H, W] logits, as a video predictor hands them out -> uint8 [H, W] of object ids.

    The highest logit wins where masks overlap; 0 where none is above 0.
    """
    if mask_logits.ndim != 4 or mask_logits.shape[:2] != (len(object_ids), 1):
        raise ValueError(f"mask logits {mask_logits.shape} of {len(object_ids)} objects.")
    if any(not 1 <= object_id <= 255 for object_id in object_ids):
        raise ValueError(f"object ids from 1 to 255 expected, found {list(object_ids)}.")
    labels = np.zeros(mask_logits.shape[2:], np.uint8)
    best = np.zeros(mask_logits.shape[2:], np.float32)
    for object_id, logits in zip(object_ids, mask_logits[:, 0], strict=True):
        wins = logits > best
        labels[wins], best[wins] = object_id, logits[wins]
    return labels
