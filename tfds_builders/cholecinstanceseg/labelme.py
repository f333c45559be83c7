"""Annotation files of CholecInstanceSeg: polygons in LabelMe's form.

Path:    ann_dir/*.json -> [labelme] -> masks by (class, id)
Axes:    masks [H, W] bool.
Units:   pixels of the image; a polygon's points are pixel positions.
Errors:  ArchiveError for a spoilt file; LabelError for a class or shape that should not be there.
Source:  Alabi et al. 2024, arXiv:2406.16039; keys by labdeeman7/cholec_instance_seg.
Differs: points are rounded, not cut off to whole numbers.
"""

import dataclasses
from pathlib import Path

import numpy as np

from tfds_builders.cholecinstanceseg.identity import Key, Masks
from tfds_builders.kit import json_files, shapes
from tfds_builders.kit.archive import LabelError

NO_ID = -1  # group_id null


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One frame: polygons [N, 2] of each instance, in the file's order."""

    size: tuple[int, int] | None  # (width, height) as the file says; many files do not say it
    polygons: dict[Key, list[np.ndarray]]

    def masks(self, size: tuple[int, int], shrink: int = 1) -> Masks:
        """Instance masks of an image of `size`, at 1/shrink of it."""
        width, height = (-(-length // shrink) for length in size)
        result: Masks = {}
        for key, polygons in self.polygons.items():
            result[key] = np.zeros((height, width), bool)
            for polygon in polygons:
                result[key] |= shapes.polygon_mask(polygon / shrink, height, width)
        return result


def read(path: Path, names: tuple[str, ...]) -> Annotation:
    """The polygons of a file; several polygons may make one instance."""
    value = json_files.read(path, keys=("shapes",))
    polygons: dict[Key, list[np.ndarray]] = {}
    for number, shape in enumerate(value["shapes"]):
        where = f"{path}: shape {number}"
        missing = {"label", "points", "group_id"} - set(shape)
        if missing:
            raise LabelError(f"{where}: expected the key {sorted(missing)[0]}, found none.")
        name = str(shape["label"]).lower()
        if name not in names:
            raise LabelError(
                f"{where}: unknown label {shape['label']!r}; expected one of {', '.join(names)}."
            )
        if shape.get("shape_type", "polygon") != "polygon":
            raise LabelError(f"{where}: expected a polygon, found a {shape['shape_type']}.")
        points = np.asarray(shape["points"], float)
        if points.ndim != 2 or points.shape[1] != 2:
            raise LabelError(f"{where}: expected points [N, 2], found shape {points.shape}.")
        group = NO_ID if shape["group_id"] is None else int(shape["group_id"])
        polygons.setdefault((name, group), []).append(points)
    width, height = value.get("imageWidth"), value.get("imageHeight")
    size = None if width is None or height is None else (int(width), int(height))
    return Annotation(size, polygons)
