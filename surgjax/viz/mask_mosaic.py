"""Draws many masks of one image, which may overlap and have no names.

Path:    masks -> [mask_mosaic] -> overlay.png, label_map.png
Axes:    masks bool (H, W); a label map int (H, W), 0 where no mask is; image uint8 (H, W, 3) RGB.
Errors:  ValueError if the label map does not have the image's size.
Source:  colours of `surgjax.viz.overlay`, safe for colour-blind readers.
Differs: SAM 2's notebook draws colours at random; here regions that touch differ in colour wherever
         fourteen colours suffice, and a dark line around each carries the border without colour.
"""

from collections.abc import Sequence

import numpy as np

from surgjax.viz.overlay import contours, line_width, object_colour

_COLOURS = 14  # seven, and their darker shades
_OPACITY = 0.5
_BORDER = (20, 20, 20)


def paint(masks: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Label map of masks, the k-th as k + 1: the largest is painted first, the smallest wins."""
    label_map = np.zeros(size, np.int32)
    for k in sorted(range(len(masks)), key=lambda k: -np.count_nonzero(masks[k])):
        label_map[masks[k]] = k + 1
    return label_map


def _neighbours(label_map: np.ndarray, reach: int) -> set[tuple[int, int]]:
    """Pairs of labels within `reach` pixels along a row or a column."""
    pairs: set[tuple[int, int]] = set()
    for labels in (label_map, label_map.T):
        for distance in range(1, min(reach, labels.shape[0] - 1) + 1):
            a, b = labels[distance:], labels[:-distance]
            touch = (a != b) & (a > 0) & (b > 0)
            both = np.sort(np.stack([a[touch], b[touch]], -1), -1)
            pairs.update(map(tuple, np.unique(both, axis=0).tolist()))
    return pairs


def colours(label_map: np.ndarray) -> np.ndarray:
    """A place among the colours for every label up to the largest: the first one free around it."""
    around: dict[int, set[int]] = {}
    for a, b in _neighbours(label_map, 3 * line_width(*label_map.shape)):
        around.setdefault(a, set()).add(b)
        around.setdefault(b, set()).add(a)
    chosen = np.zeros(int(label_map.max(initial=0)) + 1, int)  # 0: none yet
    for label in np.unique(label_map[label_map > 0]).tolist():
        taken = {int(chosen[other]) for other in around.get(label, ())}
        free = [place for place in range(1, _COLOURS + 1) if place not in taken]
        chosen[label] = free[0] if free else 1 + label % _COLOURS
    return chosen


def draw_masks(image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """The image with every region filled and outlined; a new array."""
    if image.shape[:2] != label_map.shape:
        raise ValueError(f"label map {label_map.shape} on an image of {image.shape[:2]}.")
    lookup = np.array([object_colour(max(k, 1)) for k in range(_COLOURS + 1)], np.float32)
    out = image.copy()
    inside = label_map > 0
    colour = lookup[colours(label_map)[label_map[inside]]]
    out[inside] = ((1 - _OPACITY) * image[inside] + _OPACITY * colour).astype(np.uint8)
    out[contours(label_map, line_width(*label_map.shape))] = _BORDER
    return out
