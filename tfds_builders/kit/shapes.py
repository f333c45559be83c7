"""Polygons, run-length codes and boxes of annotation files to label maps.

Path:    LabelMe, COCO, Supervisely JSON -> [shapes] -> FrameTruth
Axes:    masks [H, W] bool; polygons [N, 2].
Units:   pixels, x right, y down; a polygon's vertices are pixel positions and its border is inside
         (OpenCV's rule).
Errors:  LabelError for a code that does not fit its size.
Source:  COCO's run-length code by pycocotools.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from tfds_builders.kit.archive import LabelError


def polygon_mask(polygon_xy: Any, height: int, width: int, holes: Sequence[Any] = ()) -> np.ndarray:
    """A filled polygon; fewer than three points fill nothing."""
    mask = np.zeros((height, width), np.uint8)
    if len(polygon_xy) >= 3:
        cv2.fillPoly(mask, [np.round(np.asarray(polygon_xy, float)).astype(np.int32)], 1)
        for hole in holes:
            if len(hole) >= 3:
                cv2.fillPoly(mask, [np.round(np.asarray(hole, float)).astype(np.int32)], 0)
    return mask.astype(bool)


def coco_segmentation(value: Any, height: int, width: int, where: str) -> np.ndarray:
    """COCO `segmentation`: polygons (flat x y lists), or a run-length code of either form."""
    if isinstance(value, list):
        mask = np.zeros((height, width), bool)
        for flat in value:
            mask |= polygon_mask(np.asarray(flat, float).reshape(-1, 2), height, width)
        return mask
    if not isinstance(value, dict) or "counts" not in value:
        raise LabelError(f"{where}: expected polygons or a run-length code, found {value!r:.80}.")
    size = list(value.get("size", (height, width)))
    if size != [height, width]:
        raise LabelError(
            f"{where}: wrong size: the code is for {size[1]}x{size[0]}, the image {width}x{height}."
        )
    code: Any = value
    if isinstance(value["counts"], list):
        code = coco_mask.frPyObjects(code, height, width)
    elif isinstance(value["counts"], str):
        code = {"size": size, "counts": value["counts"].encode()}
    return coco_mask.decode(code).astype(bool)


def boxes_inside(boxes_xyxy: Any, width: int, height: int, where: str, tolerance: float = 0.02):
    """[N, 4] float32 boxes cut off at the image's border.

    LabelError for a box that leaves the image by more than `tolerance` of its size, or is empty.
    """
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    limit = np.array([width, height, width, height], np.float32)
    inside = np.clip(boxes, 0, limit)
    bad = (np.abs(boxes - inside) > tolerance * limit).any(-1)
    bad |= (inside[:, 2:] <= inside[:, :2]).any(-1)
    if bad.any():
        raise LabelError(
            f"{where}: box {boxes[bad][0].tolist()} (x y x y) does not lie in the {width}x{height} "
            "image."
        )
    return inside


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """[H, W] bool as a compressed COCO code that JSON can hold."""
    code: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode()}


def as_polygons(mask: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Outer borders [N, 2] of a mask's pieces, and the mask that `polygon_mask` makes of them.

    The two masks differ where the first has holes or hairlines.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = [contour[:, 0] for contour in found if len(contour) >= 3]
    filled = np.zeros(mask.shape, bool)
    for polygon in polygons:
        filled |= polygon_mask(polygon, *mask.shape)
    return polygons, filled
