"""Pictures of the frames on which an object scored worst.

Path:    per_frame rows, folders -> [worst_rows, draw] -> html_report
Axes:    pictures are uint8 (h, w, 3) RGB, at most 360 pixels wide.
Units:   pixels.
Errors:  MaskFolderError naming a file that can no longer be read.
Source:  colours of Okabe and Ito, Color Universal Design (2008).
Differs: nothing to compare with.
"""

import bisect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from surgjax.evaluation.mask_folders import Pair, SequenceFiles, read_label_file
from surgjax.inference.image_files import FOLDER_SUFFIXES, read_image

RIGHT, MISSED, FALSE = (86, 180, 233), (230, 159, 0), (204, 121, 167)
_WIDTH = 360
# A folder, or (sequence, stem) -> image, uint8 (H, W, 3).
Frames = str | Callable[[str, str], np.ndarray] | None


def _badness(row: Mapping[str, Any]) -> float:
    return row["J"] + row["F"]


def worst_rows(rows: Iterable[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """The scored rows with the lowest mean of J and F, the worst of each object first.

    Every object gives one row before any gives a second, so that one lost object does not fill the
    sheet.
    """
    by_object: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:  # never are more than `count` objects needed, nor more rows of one
        of = by_object.setdefault((row["sequence"], row["object"]), [])
        bisect.insort(of, row, key=_badness)
        del of[count:]
        if len(by_object) > count:  # one that comes again counts by a worse row, or not at all
            del by_object[max(reversed(by_object), key=lambda key: _badness(by_object[key][0]))]
    ranked = [(place, row) for of in by_object.values() for place, row in enumerate(of)]
    ranked.sort(key=lambda pair: (pair[0], _badness(pair[1])))
    return [row for _, row in ranked[:count]]


def _mask(side: SequenceFiles | None, object_id: int, stem: str) -> np.ndarray | None:
    files = {} if side is None else side.objects.get(object_id, {}) if side.objects else side.frames
    if side is None or stem not in files:
        return None
    file = read_label_file(files[stem])
    return file.label_map > 0 if side.objects else file.label_map == object_id


def frame_path(folder: str, sequence: SequenceFiles, stem: str) -> Path | None:
    """FOLDER/SEQUENCE/STEM.jpg or .png, without SEQUENCE for a flat one; None if there is none."""
    root = Path(folder) if sequence.is_flat else Path(folder) / sequence.name
    for suffix in FOLDER_SUFFIXES:
        if (path := root / f"{stem}{suffix}").is_file():
            return path
    return None


def find_frame(folder: Frames, sequence: SequenceFiles, stem: str) -> np.ndarray | None:
    """The image of a frame, where there is one; see `frame_path`."""
    if folder is None:
        return None
    if callable(folder):
        return folder(sequence.name, stem)
    path = frame_path(folder, sequence, stem)
    return None if path is None else read_image(path)


class Picture(NamedTuple):
    """One drawn frame."""

    pixels: np.ndarray  # uint8 (h, w, 3)
    lacks: str  # why there is no image below the colours, where one was asked for; else ""


def draw(pair: Pair, object_id: int, stem: str, frames: Frames = None) -> Picture:
    """What was found, missed and falsely found of an object, over the frame or, without, grey."""
    truth, found = (_mask(side, object_id, stem) for side in (pair.target, pair.prediction))
    shape = next(mask.shape for mask in (truth, found) if mask is not None)
    truth, found = (np.zeros(shape, bool) if m is None else m for m in (truth, found))
    image = find_frame(frames, pair.target, stem)
    lacks = ""
    if image is None and frames is not None:
        lacks = f"no image of {pair.name} {stem}"
    elif image is not None and image.shape[:2] != shape:
        sizes = [f"{width}x{height}" for height, width in (image.shape[:2], shape)]
        lacks = f"the image of {pair.name} {stem} is {sizes[0]} pixels, its masks are {sizes[1]}"
    if image is None or lacks:
        image = np.full((*shape, 3), 40, np.uint8)
    picture = image.astype(np.float32)
    for mask, colour in ((truth & found, RIGHT), (truth & ~found, MISSED), (found & ~truth, FALSE)):
        picture[mask] = 0.35 * picture[mask] + 0.65 * np.array(colour, np.float32)
    if shape[1] > _WIDTH:
        size = (_WIDTH, max(1, round(shape[0] * _WIDTH / shape[1])))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Picture(picture.clip(0, 255).astype(np.uint8), lacks)
