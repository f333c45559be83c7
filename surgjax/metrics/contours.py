"""Sub-pixel contours of masks, and the symmetric mean distance between two of them.

Path:    masks -> [contour_points, contour_distance] -> temporal (CD_T)
Axes:    masks are bool (H, W); points are (N, 2) as y, x.
Units:   pixels; a pixel's centre has whole coordinates, so contour points lie on halves.
Errors:  none.
Source:  iso-level 0.5 of marching squares (Lorensen and Cline, 1987); which point of a closed
         contour comes twice follows scikit-image's find_contours, the function SASVi calls.
Differs: scikit-image returns lines; only their points are needed here. Distances are exact: whole
         squares on a grid of half pixels.
"""

import cv2
import numpy as np

# Marching squares: corners above the level (upper left 1, upper right 2, lower left 4, lower
# right 8) -> segments from edge to edge, the inside to the left. Saddles keep the two inside
# corners apart.
_TOP, _LEFT, _BOTTOM, _RIGHT = range(4)
_SEGMENTS = {
    1: ((_TOP, _LEFT),),
    2: ((_RIGHT, _TOP),),
    3: ((_RIGHT, _LEFT),),
    4: ((_LEFT, _BOTTOM),),
    5: ((_TOP, _BOTTOM),),
    6: ((_RIGHT, _TOP), (_LEFT, _BOTTOM)),
    7: ((_RIGHT, _BOTTOM),),
    8: ((_BOTTOM, _RIGHT),),
    9: ((_TOP, _LEFT), (_BOTTOM, _RIGHT)),
    10: ((_BOTTOM, _TOP),),
    11: ((_BOTTOM, _LEFT),),
    12: ((_LEFT, _RIGHT),),
    13: ((_TOP, _RIGHT),),
    14: ((_LEFT, _TOP),),
}
_STEP = np.array([(0, 1), (1, 0), (2, 1), (1, 2)])  # edge -> its middle on the half-pixel grid


def _segment_table() -> np.ndarray:
    """[case, first or second segment, from or to] -> edge; -1 where there is no segment."""
    table = np.full((16, 2, 2), -1)
    for case, segments in _SEGMENTS.items():
        table[case, : len(segments)] = segments
    return table


_TABLE = _segment_table()


def _segments(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends (from, to) of all segments in raster order, (N, 2) y, x in half pixels."""
    corner = mask.astype(np.uint8)
    case = corner[:-1, :-1] + 2 * corner[:-1, 1:] + 4 * corner[1:, :-1] + 8 * corner[1:, 1:]
    rows, columns = np.nonzero((case > 0) & (case < 15))
    edges = _TABLE[case[rows, columns]].reshape(-1, 2)
    origin = np.repeat(2 * np.stack([rows, columns], 1), 2, axis=0)
    real = edges[:, 0] >= 0
    origin, edges = origin[real], edges[real]
    return origin + _STEP[edges[:, 0]], origin + _STEP[edges[:, 1]]


def _closing_points(start: np.ndarray, end: np.ndarray, width: int) -> np.ndarray:
    """Where each closed contour begins and ends: the end of its last segment in raster order."""
    keys = start[:, 0] * width + start[:, 1], end[:, 0] * width + end[:, 1]
    order = np.argsort(keys[0])
    place = np.searchsorted(keys[0], keys[1], sorter=order)
    following = order[np.minimum(place, len(order) - 1)]
    ends_here = keys[0][following] != keys[1]  # the border of the image cut the contour open
    following = np.where(ends_here, np.arange(len(start)), following)
    last = np.arange(len(start))
    for _ in range(len(start).bit_length()):  # each round looks twice as far along the contour
        last = np.maximum(last, last[following])
        ends_here = ends_here | ends_here[following]
        following = following[following]
    return end[np.unique(last[~ends_here])]


def _half_pixel_points(mask: np.ndarray) -> np.ndarray:
    """Contour points in half pixels, (N, 2) whole numbers y, x."""
    if min(mask.shape) < 2:
        return np.zeros((0, 2), int)
    start, end = _segments(mask)
    if not len(start):
        return np.zeros((0, 2), int)
    points = np.unique(np.concatenate([start, end]), axis=0)
    return np.concatenate([points, _closing_points(start, end, 2 * mask.shape[1])])


def contour_points(mask: np.ndarray) -> np.ndarray:
    """Points of the iso-contours at level 0.5, (N, 2) y, x; closed ones repeat their first point.

    There is none along the border of the image, and none for a mask that is empty or full.
    """
    return _half_pixel_points(mask) / 2


def _nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Distance in pixels of every point to the nearest target, both in half pixels."""
    low = np.minimum(points.min(0), targets.min(0))
    size = np.maximum(points.max(0), targets.max(0)) - low + 1
    ground = np.ones(size, np.uint8)
    ground[tuple((targets - low).T)] = 0
    found = cv2.distanceTransform(ground, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    squares = np.rint(found[tuple((points - low).T)].astype(float) ** 2)
    return np.sqrt(squares) / 2


def contour_distance(mask: np.ndarray, other: np.ndarray) -> float:
    """Mean of the two mean distances from one contour's points to the other's; NaN without one."""
    first, second = _half_pixel_points(mask), _half_pixel_points(other)
    if not len(first) or not len(second):
        return float("nan")
    return float((_nearest(first, second).mean() + _nearest(second, first).mean()) / 2)
