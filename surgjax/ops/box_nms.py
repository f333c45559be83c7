"""Non-maximum suppression of boxes: of two that overlap much, the one with the lower score goes.

Axes:    boxes_xyxy [N, 4], scores [N].
Units:   boxes in pixels; right and bottom are the last ones inside, so a box of one column has no
         area and suppresses nothing.
Errors:  ValueError for shapes that do not fit.
Source:  torchvision 0.28, ops.batched_nms with one category: areas and overlaps in float32, the
         threshold in float64.
Differs: equal scores keep the order they came in, by rule and not by the sort that happens to run.
"""

import numpy as np


def box_nms(boxes_xyxy: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Which boxes stay, as indices [K], highest score first. IoU above the threshold suppresses."""
    boxes = np.asarray(boxes_xyxy, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or np.shape(scores) != boxes.shape[:1]:
        raise ValueError(
            f"boxes (N, 4) and scores (N,) expected, {boxes.shape} and {np.shape(scores)} found."
        )
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    low, high = boxes[order, :2], boxes[order, 2:]
    areas = np.prod(high - low, 1)
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        later = slice(i + 1, None)
        sides = np.minimum(high[i], high[later]) - np.maximum(low[i], low[later])
        shared = np.prod(np.maximum(sides, 0), 1)
        with np.errstate(invalid="ignore", divide="ignore"):  # two boxes without area
            overlap = shared / (areas[i] + areas[later] - shared)
        alive[later] &= ~(overlap.astype(np.float64) > iou_threshold)
    return order[alive]
