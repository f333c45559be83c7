"""Annotation files of Endoscapes2023: COCO with CVS tags, the label map, lists of videos.

Path:    annotation_*.json, seg_label_map.txt, *_vids.txt -> [annotations] -> builder
Axes:    a box is (x0, y0, x1, y1); cvs are three criteria.
Units:   pixels, end exclusive; cvs 0..1, the mean of three raters.
Errors:  ArchiveError for a file that does not hold what it should, with its name.
Source:  README of github.com/CAMMA-public/Endoscapes; tags `ds`, `is_ds_keyframe` by that of
         CAMMA-public/SurgLatentGraph; 255 is ignore by issue 5 of the former.
Differs: class ids are read from the archive, by name; only where the map is missing are they
         taken to be in the order below.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from tfds_builders.kit import json_files
from tfds_builders.kit.archive import ArchiveError

NAMES = ("cystic plate", "calot triangle", "cystic artery", "cystic duct", "gallbladder", "tool")
CLASSES = {0: 0, **{value: value for value in range(1, len(NAMES) + 1)}}  # archive: ours
IGNORE = 255
_ALIASES = {
    "hepatocystic triangle": "calot triangle",
    "hepatocystic triangle dissection": "calot triangle",
    "hc triangle": "calot triangle",
}


@dataclasses.dataclass(frozen=True)
class Box:
    """A box and, in Seg50, its mask as COCO has it."""

    xyxy: tuple[float, float, float, float]
    category: str
    segmentation: Any = None


@dataclasses.dataclass(frozen=True)
class FrameLabels:
    """Labels of one frame besides its mask; None where it was not annotated."""

    boxes: tuple[Box, ...] | None = None
    cvs: tuple[float, float, float] | None = None


def class_name(text: str, where: Path | str) -> str:
    """Our spelling of a class name of the archive."""
    name = text.strip().lower().replace("_", " ")
    name = _ALIASES.get(name, name)
    if name not in NAMES:
        raise ArchiveError(
            f"{where}: unknown label: class {text!r}; expected one of {', '.join(NAMES)}."
        )
    return name


def class_values(path: Path) -> dict[int, int]:
    """{id in the archive: value in our masks} of seg_label_map.txt, whatever its punctuation."""
    if not path.is_file():
        return dict(CLASSES)
    tokens = re.findall(r"[A-Za-z][A-Za-z_ ]*[A-Za-z]|\d+", path.read_text(encoding="utf-8-sig"))
    pairs = [sorted(pair, key=str.isdigit) for pair in zip(tokens[::2], tokens[1::2], strict=False)]
    if len(tokens) % 2 or any(a.isdigit() or not b.isdigit() for a, b in pairs) or not pairs:
        raise ArchiveError(f"{path}: expected pairs of a class name and its id.")
    result = {0: 0}
    for name, number in pairs:
        if name.strip().lower() not in ("background", "ignore"):
            result[int(number)] = NAMES.index(class_name(name, path)) + 1
    return result


def video_list(path: Path) -> set[int]:
    """Video numbers of a *_vids.txt; empty if there is no such file."""
    if not path.is_file():
        return set()
    try:
        return {int(float(word)) for word in path.read_text(encoding="utf-8-sig").split()}
    except ValueError as error:
        raise ArchiveError(f"{path}: expected a video number per line ({error}).") from error


def segmented(folder: Path) -> set[str]:
    """Names of the frames with a mask: those of Seg50's COCO file; empty if there is none."""
    path = folder / "annotation_coco.json"
    if not path.is_file():
        return set()
    return {str(item["file_name"]) for item in json_files.read(path, keys=("images",))["images"]}


def read_split(folder: Path) -> dict[str, FrameLabels]:
    """{file name: labels} from a split's COCO files: boxes, and CVS of the frames rated."""
    boxes: dict[str, list[Box]] = {}
    path = folder / "annotation_coco.json"
    if path.is_file():
        boxes = _boxes(path)
    cvs: dict[str, tuple[float, float, float]] = {}
    path = folder / "annotation_ds_coco.json"
    if path.is_file():
        cvs = _cvs(path)
    return {
        name: FrameLabels(tuple(boxes[name]) if name in boxes else None, cvs.get(name))
        for name in sorted({*boxes, *cvs})
    }


def _boxes(path: Path) -> dict[str, list[Box]]:
    value = json_files.read(path, keys=("images", "annotations", "categories"))
    try:
        names = {item["id"]: class_name(item["name"], path) for item in value["categories"]}
        files = {
            item["id"]: item["file_name"]
            for item in value["images"]
            if item.get("is_det_keyframe", True)
        }
        boxes: dict[str, list[Box]] = {name: [] for name in files.values()}
        for item in value["annotations"]:
            if item["image_id"] not in files:
                continue
            if item["category_id"] not in names:
                raise ArchiveError(f"{path}: unknown label: category {item['category_id']}.")
            x, y, width, height = (float(number) for number in item["bbox"])
            boxes[files[item["image_id"]]].append(
                Box(
                    (x, y, x + width, y + height),
                    names[item["category_id"]],
                    item.get("segmentation") or None,
                )
            )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"{path}: not as COCO has it ({error!r}).") from error
    return boxes


def _cvs(path: Path) -> dict[str, tuple[float, float, float]]:
    result = {}
    for item in json_files.read(path, keys=("images",))["images"]:
        if not item.get("is_ds_keyframe", True):
            continue  # carries the label of an earlier frame
        try:
            first, second, third = (float(number) for number in item["ds"])
            result[str(item["file_name"])] = (first, second, third)
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveError(
                f"{path}: image {item.get('file_name')!r}: expected three CVS criteria in `ds` "
                f"({error!r})."
            ) from error
    return result
