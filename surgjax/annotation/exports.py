"""Masks of a session as files: palette PNGs, COCO RLE, an overlay video.

Path:    session -> [exports] -> a folder in the session's
Axes:    label maps uint8 (H, W).
Units:   frame indices count decoded frames from 0; areas and boxes in pixels.
Errors:  EditError for a wrong name or format; StaleError where masks are out of date; OSError where
         the disk is full, after what was begun has been removed.
Source:  COCO: run-length encoding of pycocotools, columns first, compressed; DAVIS 2017: palette
         PNGs. Where objects overlap each pixel goes to the one with the highest logit.
Differs: nothing to compare with. Frames are written as they come, so a long video takes no memory;
         results appear in the folder when all of them are there.
"""

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from pycocotools import mask as coco_mask

from surgjax.annotation.document import Document
from surgjax.annotation.errors import EditError, StaleError
from surgjax.annotation.masks import stale_frames
from surgjax.annotation.tracker import Step
from surgjax.inference.frame_source import FrameReadError
from surgjax.inference.mask_writer import write_file, write_palette_png
from surgjax.inference.output_folder import OutputError, OutputFolder
from surgjax.viz.overlay import PromptMarks
from surgjax.viz.result_pictures import ResultPictures

FORMATS = {"masks": ["masks"], "coco": ["coco.json"], "overlay": ["overlay.mp4", "sheet.png"]}
SUMMARY = "export.json"
_NAME = re.compile(r"\w[\w .-]{0,79}")  # as the page and the server have it
_TAKEN = re.compile(r"prompts\.json|session\.json|history\.jsonl|painted|lock|tracks-.*")


def _spelt(runs: list[list[int]]) -> str:
    spelt = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:3]]
    return ", ".join(spelt) + (" and more" if len(runs) > 3 else "")


def export(
    session: Any, formats: list[str], name: str, allow_stale: bool
) -> Generator[Step, None, dict[str, Any]]:
    """Checks first; then an iterator of steps that returns {"folder", "files", "stale"}."""
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or not formats:
        raise EditError(f"Formats {', '.join(formats)}: some of {', '.join(FORMATS)} expected.")
    if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name):
        raise EditError(
            f"An export cannot be named {name!r}: letters, digits, spaces and - _ . expected, "
            "and no name that the session uses itself."
        )
    if not any(item.marks for item in session.document):
        raise EditError("There is nothing to export yet: click on an object first.")
    stale = stale_frames(session.document, session.files.object)
    if stale and not allow_stale:
        shown = "; ".join(f"object {o}: frames {_spelt(runs)}" for o, runs in stale.items())
        text = f"Some masks are out of date ({shown}). Track first, or export as it is."
        raise StaleError(text, stale)
    items = [file for each in FORMATS for file in FORMATS[each] if each in formats]
    try:
        folder = OutputFolder(session.folder.path / name, [*items, SUMMARY], overwrite=True)
    except OutputError as error:
        raise EditError(str(error)) from None
    return _export(session, formats, folder, stale)


def _export(
    session: Any, formats: list[str], folder: OutputFolder, stale: dict[int, list[list[int]]]
) -> Generator[Step, None, dict[str, Any]]:
    document, frames = session.document, session.video["frames"]
    size = (session.video["height"], session.video["width"])
    try:
        work = folder.open()
    except OutputError as error:
        raise EditError(str(error)) from None
    try:
        coco = CocoFile(work, document, frames, size) if "coco" in formats else None
        pictures = None
        if "overlay" in formats:
            names = {item.object_id: item.name for item in document}
            pictures = ResultPictures(work, range(frames), size, session.video["fps"], names)
        if "masks" in formats:
            (work / "masks").mkdir()
        present = np.zeros(256, np.int64)
        try:
            for frame in range(frames):
                labels, about = session.masks(frame)
                present += np.bincount(labels.ravel(), minlength=256) > 0
                if "masks" in formats:
                    write_palette_png(work / "masks" / f"{frame:05d}.png", labels)
                if coco is not None:
                    coco.add(frame, labels)
                if pictures is not None:
                    scores = {o: a["iou"] for o, a in about.items() if a["present"]}
                    marks = _marks(document, frame)
                    pictures.add(frame, _picture(session, frame, size), labels, scores, marks)
                yield Step(frame, frame + 1, frames)
        finally:
            if pictures is not None:
                pictures.close()
            if coco is not None:
                coco.close()
        if pictures is not None:
            pictures.save_sheet()
        _write_summary(work, session, formats, stale, present)
        files = folder.finish()
    except BaseException:  # also where the iterator is closed: cancelled
        folder.discard()
        raise
    return {"folder": str(folder.path), "files": [str(path) for path in files], "stale": stale}


def _picture(session: Any, frame: int, size: tuple[int, int]) -> np.ndarray:
    """The frame; grey where it cannot be read, so that the others can be exported."""
    try:
        return session.frame(frame)
    except FrameReadError:
        return np.full((*size, 3), 128, np.uint8)


def _write_summary(
    work: Path, session: Any, formats: list[str], stale: dict, present: np.ndarray
) -> None:
    objects = [
        {
            "id": item.object_id,
            "name": item.name,
            "frames_present": int(present[item.object_id]),
            "fresh": session.files.object(item.object_id).fresh,
            "stale": stale.get(item.object_id, []),
        }
        for item in session.document
    ]
    # Files of other formats in this folder are of an earlier export.
    summary = {
        "video": session.video,
        "model": session.model,
        "formats": formats,
        "objects": objects,
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    write_file(work / SUMMARY, text.encode())


def _marks(document: Document, frame: int) -> list[PromptMarks]:
    """Prompts of this frame, to be drawn."""
    out = []
    for item in document:
        marks = item.marks.get(frame)
        if marks is not None:
            points = np.array(marks.points, np.float32) if marks.points else None
            box = None if marks.box is None else np.array(marks.box, np.float32)
            labels = np.array(marks.labels) if marks.points else None
            drawn = PromptMarks(item.object_id, points, labels, box, marks.mask is not None)
            out.append(drawn)
    return out


class CocoFile:
    """coco.json, written as frames come: one annotation for each object that is in sight."""

    def __init__(self, folder: Path, document: Document, frames: int, size: tuple[int, int]):
        names = {item.object_id: item.name or f"object {item.object_id}" for item in document}
        categories = {name: k for k, name in enumerate(dict.fromkeys(names.values()), 1)}
        self._category_of = {o: categories[name] for o, name in names.items()}
        self._file: TextIO = (folder / "coco.json").open("w", encoding="utf-8")
        self._count = 0
        self._file.write('{"images": [\n')
        self._list(_images(frames, size))
        self._file.write('\n], "categories": [\n')
        self._list({"id": k, "name": name} for name, k in categories.items())
        self._file.write('\n], "annotations": [\n')

    def _list(self, values: Iterator[dict[str, Any]]) -> None:
        for k, value in enumerate(values):
            self._file.write((",\n" if k else "") + json.dumps(value, ensure_ascii=False))

    def add(self, frame: int, labels: np.ndarray) -> None:
        """The objects of a frame."""
        for object_id in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1:
            code = coco_mask.encode(np.asfortranarray(labels == object_id).view(np.uint8))
            annotation = {
                "id": self._count + 1,
                "image_id": frame,
                "category_id": self._category_of[int(object_id)],
                "track_id": int(object_id),
                "segmentation": {
                    "size": list(code["size"]),
                    "counts": cast(bytes, code["counts"]).decode("ascii"),
                },
                "area": int(coco_mask.area(code)),
                "bbox": [float(v) for v in coco_mask.toBbox(code)],
                "iscrowd": 0,
            }
            self._file.write((",\n" if self._count else "") + json.dumps(annotation))
            self._count += 1

    def close(self) -> None:
        self._file.write("\n]}\n")
        self._file.close()


def _images(frames: int, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    for frame in range(frames):
        name = f"{frame:05d}.png"
        yield {"id": frame, "file_name": name, "height": size[0], "width": size[1]}
