"""Masks of all objects of a frame as one label map, and what states frames are in.

Path:    track_files -> [masks] -> page, export
Axes:    label map uint8 (H, W), values are object ids; logits [S/4, S/4].
Units:   frame indices count decoded frames from 0; runs are inclusive.
Source:  ours; where masks overlap the highest logit wins, as in `surgjax.inference.mask_writer`.
Differs: nothing to compare with.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from surgjax.annotation.document import Document, Item
from surgjax.annotation.track_files import ObjectFiles
from surgjax.ops.masks import resize_logits

LOW_SCORE = 0.6  # predicted IoU; below it a frame is worth a look


class Shown(NamedTuple):
    """An object on a frame."""

    state: str  # "fresh", "stale", "provisional" or "none"
    low_res: np.ndarray | None
    iou: float
    present: bool


def shown(item: Item, files: ObjectFiles, frame: int) -> Shown:
    """The mask of an object that is to be seen on a frame, and what it is worth."""
    marks, fresh = item.marks.get(frame), files.fresh
    is_fresh = fresh is not None and fresh[0] <= frame <= fresh[1]
    is_answer = marks is not None and files.answers.key(frame) == marks.key
    part = files.answers if is_answer else files.tracked
    # Of an object whose prompts are all gone no mask is shown: nothing asks for one any more.
    low_res = part.low_res(frame) if item.marks else None
    if low_res is None:
        return Shown("none", None, 0.0, False)
    entry = part.index[frame]
    is_anchor = marks is not None and not marks.is_correction
    state = "fresh" if is_fresh or is_anchor else "provisional" if is_answer else "stale"
    return Shown(state, low_res, float(entry["iou"]), bool(low_res.max() > 0))


def merge(objects: Mapping[int, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Logits of objects as a label map of a size (H, W)."""
    best = np.zeros(size, np.float32)  # background: a mask needs a logit above 0
    labels = np.zeros(size, np.uint8)
    for object_id, low_res in objects.items():
        if low_res.max() <= 0:
            continue
        logits = resize_logits(low_res, size)
        wins = logits > best
        labels[wins] = object_id
        best[wins] = logits[wins]
    return labels


def runs(flags: np.ndarray) -> list[list[int]]:
    """Inclusive runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [[int(a), int(b) - 1] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def timeline_of(item: Item, files: ObjectFiles) -> dict[str, Any]:
    """Where an object is up to date, out of date, in sight and in doubt, as runs of frames."""
    there, iou, score = _frames(item, files)
    fresh, is_fresh = files.fresh, np.zeros(len(there), bool)
    if fresh is not None:
        is_fresh[fresh[0] : fresh[1] + 1] = True
    is_fresh[item.anchors] = True
    present = there & (score > 0)
    return {
        "fresh": None if fresh is None else list(fresh),
        "stale": runs(there & ~is_fresh),
        "present": runs(present),
        "low": runs(present & (iou < LOW_SCORE)),
    }


def _frames(item: Item, files: ObjectFiles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every frame: whether it has a mask, its predicted IoU and its object score."""
    tracked = files.tracked.index
    there, iou, score = tracked["key"] != 0, tracked["iou"].copy(), tracked["score"].copy()
    there &= bool(item.marks)
    for frame, marks in item.marks.items():
        if files.answers.key(frame) == marks.key:
            entry = files.answers.index[frame]
            there[frame], iou[frame], score[frame] = True, entry["iou"], entry["score"]
    return there, iou, score


def stale_frames(document: Document, files_of: Any) -> dict[int, list[list[int]]]:
    """Of every object that has some: frames whose mask is out of date."""
    found = {i.object_id: timeline_of(i, files_of(i.object_id))["stale"] for i in document}
    return {object_id: stale for object_id, stale in found.items() if stale}
