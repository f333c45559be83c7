"""Several people's versions of one mask: each rater errs in a way of their own.

    tight    keeps inside the border          loose    keeps outside of it
    polygon  clicks corners along it          shaky    follows it with an unsteady hand
    blunt    draws no thin parts and no holes

Path:    clip -> [annotators] -> training with noisy labels, agreement between raters
Axes:    label_map [H, W] or label_maps [T, H, W], uint8, 0 is background.
Units:   errors grow with the object: a share of the square root of its area, in pixels.
Errors:  ValueError for an unknown rater, a negative seed, or an array that is no label map.
Differs: no rater stands for the truth, though a blunt one may hit it where an object is plain. IoU
         with the truth lies in IOU_BOUNDS for objects of 400 px and more, on average over a frame.
         A tight rater keeps at least a third of anything; a blunt one may miss what is thin
         altogether. Versions of neighbouring frames err independently, as people do who label
         frame by frame; how strongly a rater errs belongs to rater and seed and stays the same.
"""

import cv2
import numpy as np

from surgjax.synthetic import noise

RATERS = ("tight", "loose", "polygon", "shaky", "blunt")
IOU_BOUNDS = {  # lowest and highest mean IoU with the truth, over the objects of a frame
    "tight": (0.50, 0.95),
    "loose": (0.60, 0.95),
    "polygon": (0.80, 0.99),
    "shaky": (0.80, 0.995),
    "blunt": (0.50, 1.0),
}
_SALT = 73


def annotate(label_map: np.ndarray, rater: str | int, seed: int, frame: int = 0) -> np.ndarray:
    """One rater's version of a frame's label map, the same for the same arguments."""
    number = _number(rater)
    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        found = f"{label_map.dtype} {label_map.shape}"
        raise ValueError(f"label_map: expected uint8 [H, W], found {found}.")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}.")
    habit = np.random.default_rng((_SALT, seed, number)).uniform(0.7, 1.3)
    draw = {"tight": _tight, "loose": _loose, "polygon": _polygon, "shaky": _shaky, "blunt": _blunt}
    drawn = np.zeros_like(label_map)
    labels, areas = np.unique(label_map[label_map > 0], return_counts=True)
    for label in labels[np.argsort(-areas, kind="stable")]:  # small things are drawn over large
        rng = np.random.default_rng((_SALT, seed, number, frame, int(label)))
        mask = (label_map == label).astype(np.uint8)
        version = draw[RATERS[number]](rng, mask, habit, np.sqrt(mask.sum()))
        drawn[version > 0] = label
    return drawn


def annotate_clip(label_maps: np.ndarray, rater: str | int, seed: int) -> np.ndarray:
    """One rater's version of every frame, [T, H, W]."""
    return np.stack([annotate(m, rater, seed, t) for t, m in enumerate(label_maps)])


def _number(rater: str | int) -> int:
    if rater in RATERS:
        return RATERS.index(rater)
    if isinstance(rater, int) and 0 <= rater < len(RATERS):
        return rater
    raise ValueError(f"rater: expected one of {RATERS} or its number, found {rater!r}.")


def _distance(mask: np.ndarray) -> np.ndarray:
    """Signed distance to the border, positive inside; the frame's border is none."""
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return inside - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3)


def _tight(rng, mask, habit, size):
    inside = _distance(mask)[mask > 0]
    margin = 1.0 + habit * rng.uniform(0.01, 0.03) * size
    return (mask > 0) & (_distance(mask) >= min(margin, np.quantile(inside, 0.66)))


def _loose(rng, mask, habit, size):
    return _distance(mask) > -(1.0 + habit * rng.uniform(0.01, 0.03) * size)


def _polygon(rng, mask, habit, size):
    """Corners no farther from the border than a few pixels, each a little off."""
    found, levels = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros_like(mask)
    for contour, level in zip(found, levels[0] if levels is not None else (), strict=True):
        corners = cv2.approxPolyDP(contour, 0.6 + habit * 0.025 * size, True)[:, 0]
        if len(corners) < 3:
            corners = contour[:, 0]
        moved = corners + rng.normal(0, 0.2 + 0.006 * habit * size, corners.shape)
        cv2.fillPoly(drawn, [np.round(moved).astype(np.int32)], int(level[3] < 0))
    return drawn


def _shaky(rng, mask, habit, size):
    wobble = noise.smooth_noise(rng, *mask.shape, cells=max(mask.shape) / max(0.2 * size, 6))
    return _distance(mask) > habit * (0.4 + 0.018 * size) * wobble


def _blunt(rng, mask, habit, size):
    """Opening with a broad brush removes thin parts; filled outlines have no holes."""
    reach = max(1, round(habit * rng.uniform(0.04, 0.08) * size))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Beyond the frame the object goes on: its border there is no border of the object.
    wide = cv2.copyMakeBorder(mask, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(wide, cv2.MORPH_OPEN, brush)[reach:-reach, reach:-reach].copy()
    found, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(opened, found, -1, 1, -1)
