"""Annotation files of Supervisely: objects with a class and a shape.

Path:    ann/<image>.json -> [supervisely] -> FrameTruth
Axes:    masks [H, W] bool.
Units:   pixels; points are x, y; a bitmap's origin is its upper left corner.
Errors:  LabelError that names the file and the object.
Source:  Supervisely's JSON format: `size`, `objects` of `classTitle`, `geometryType`, and
         `points` (exterior, interior) or `bitmap` (a base64 string of a zlib-packed PNG, origin).
"""

import base64
import binascii
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfds_builders.kit import shapes
from tfds_builders.kit.archive import LabelError


def read(path: Path) -> tuple[tuple[int, int], list[tuple[str, np.ndarray]]]:
    """(height, width), and (class title, mask) of every object in the file's order."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        height, width = int(value["size"]["height"]), int(value["size"]["width"])
        objects = list(value["objects"])
    except (ValueError, KeyError, TypeError) as error:
        raise LabelError(f"{path}: not an annotation of Supervisely ({error!r}).") from error
    return (height, width), [
        (str(item.get("classTitle")), _mask(item, height, width, f"{path}, object {k}"))
        for k, item in enumerate(objects)
    ]


def _mask(item: dict[str, Any], height: int, width: int, where: str) -> np.ndarray:
    kind = item.get("geometryType", "polygon")  # some exports leave it out where all are polygons
    try:
        if kind == "polygon":
            points = item["points"]
            return shapes.polygon_mask(
                points["exterior"], height, width, points.get("interior", ())
            )
        if kind == "bitmap":
            return _bitmap(item["bitmap"], height, width, where)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise LabelError(f"{where}: a damaged {kind} ({error!r}).") from error
    raise LabelError(f"{where}: unknown label: expected a polygon or a bitmap, found {kind!r}.")


def _bitmap(value: dict[str, Any], height: int, width: int, where: str) -> np.ndarray:
    x, y = (int(number) for number in value["origin"])
    try:
        with Image.open(io.BytesIO(zlib.decompress(base64.b64decode(value["data"])))) as picture:
            pixels = np.array(picture.convert("RGBA"))
    except UnidentifiedImageError as error:
        raise LabelError(f"{where}: its bitmap is no image ({error}).") from error
    opaque, white = pixels[:, :, 3] > 0, pixels[:, :, :3].max(-1) > 0
    inside: np.ndarray = white if opaque.all() else opaque
    bottom, right = y + inside.shape[0], x + inside.shape[1]
    if x < 0 or y < 0 or bottom > height or right > width:
        raise LabelError(
            f"{where}: wrong size: a bitmap that reaches from {x}, {y} to {right}, {bottom} does "
            f"not lie in the {width}x{height} image."
        )
    mask = np.zeros((height, width), bool)
    mask[y:bottom, x:right] = inside
    return mask


def write_polygon(title: str, exterior, interior=()) -> dict[str, Any]:
    """The entry of one polygon."""
    points = dict(
        exterior=np.asarray(exterior).tolist(), interior=[np.asarray(x).tolist() for x in interior]
    )
    return dict(classTitle=title, geometryType="polygon", points=points, tags=[])


def write_bitmap(title: str, mask: np.ndarray) -> dict[str, Any]:
    """The entry of one bitmap, cropped to where the mask is."""
    y, x = np.nonzero(mask)
    crop = mask[y.min() : y.max() + 1, x.min() : x.max() + 1]
    file = io.BytesIO()
    Image.fromarray(crop.astype(np.uint8) * 255).convert("1").save(file, "PNG")
    data = base64.b64encode(zlib.compress(file.getvalue())).decode()
    bitmap = dict(data=data, origin=[int(x.min()), int(y.min())])
    return dict(classTitle=title, geometryType="bitmap", bitmap=bitmap, tags=[])


def write(path: Path, objects: list[dict[str, Any]], height: int, width: int) -> None:
    """An annotation file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = dict(description="", tags=[], size=dict(height=height, width=width), objects=objects)
    path.write_text(json.dumps(value))
