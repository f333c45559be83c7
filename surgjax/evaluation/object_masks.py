"""Masks object by object, where either side keeps a folder for each object.

Path:    mask_folders (a Pair) -> [read_object_masks] -> folder_protocols
Axes:    masks are bool (H, W).
Units:   a frame is its place among the annotated frames of its sequence.
Errors:  MaskFolderError naming the file for a mask of another size or kind, or the folder that an
         object of the ground truth has not in the prediction.
Source:  SA-V: VIDEO/OBJECT/FRAME.png, the object is whatever is above 0. ReSurgSAM2 writes
         predictions so too, and compares them with label maps.
Differs: both of these, either way round; an object without a file on a frame is not annotated there
         if the ground truth lacks it, and empty if the prediction does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from surgjax.evaluation.mask_folders import (
    LabelFile,
    MaskFolderError,
    Pair,
    SequenceFiles,
    check_binary,
    check_sizes,
    object_folder,
    read_label_file,
)
from surgjax.metrics.label_maps import IGNORED, labels_of


def _read_mask(files: Mapping[str, Path], stem: str) -> LabelFile | None:
    path = files.get(stem)
    if path is None:
        return None
    file = read_label_file(path)
    if len(labels_of(file.label_map)) > 2:
        raise MaskFolderError(
            f"{path}: more than one object; a file below an object's folder holds one mask."
        )
    return file


def _read_side(side: SequenceFiles | None, stem: str) -> dict[int, LabelFile]:
    """Object id -> mask file (values 0 and 1) of one frame."""
    if side is None:
        return {}
    if side.objects:
        files = {i: _read_mask(f, stem) for i, f in side.objects.items()}
        return {
            i: LabelFile(file.path, (file.label_map > 0).astype(np.uint8), None)
            for i, file in files.items()
            if file is not None
        }
    if stem not in side.frames:
        return {}
    file = read_label_file(side.frames[stem])
    return {
        i: LabelFile(file.path, (file.label_map == i).astype(np.uint8), None)
        for i in sorted(labels_of(file.label_map) - {0})
    }


class ObjectFrame(NamedTuple):
    """One annotated frame, object by object."""

    # Object id -> (mask, target), None where it is not annotated.
    masks: dict[int, tuple[np.ndarray, np.ndarray] | None]
    shown: dict[int, Path]  # every id of which the prediction has a pixel, and in which file


def _check_folders(pair: Pair, ids: set[int], truth: Path) -> None:
    """Refuses ids in the ground truth for which nothing at all was predicted."""
    side = pair.prediction
    if side is None or not side.objects or pair.missing == "empty":
        return
    if lacking := sorted(ids - set(side.objects)):
        raise MaskFolderError(
            f"{object_folder(side, lacking[0])}: this folder of predictions is missing; {truth} "
            f"shows id {lacking[0]}. --missing=empty counts what is missing as empty."
        )


def _read_label_maps(
    pair: Pair, whole: LabelFile, found: dict[int, LabelFile]
) -> tuple[dict[int, LabelFile], dict[int, LabelFile]]:
    """Targets and predictions of every id of either, none of them where the truth is 255."""
    here = labels_of(whole.label_map) - {0, IGNORED}
    _check_folders(pair, here, whole.path)
    counted = (whole.label_map != IGNORED).view(np.uint8)
    targets = {
        i: LabelFile(whole.path, (whole.label_map == i).astype(np.uint8), None)
        for i in sorted(here | set(found))
    }
    cleared = {}
    for i, file in found.items():
        check_sizes(file, whole)
        cleared[i] = LabelFile(file.path, file.label_map & counted, None)
    return targets, cleared


def read_object_masks(pair: Pair) -> Iterator[ObjectFrame]:
    """Every annotated frame, in order."""
    labels: set[int] = set()
    for stem in pair.stems:
        found = _read_side(pair.prediction, stem)
        if pair.target.objects:
            targets = _read_side(pair.target, stem)
        else:
            whole = read_label_file(pair.target.frames[stem])
            labels |= labels_of(whole.label_map)
            targets, found = _read_label_maps(pair, whole, found)
        masks: dict[int, tuple[np.ndarray, np.ndarray] | None] = dict.fromkeys(pair.target.objects)
        for object_id, target in targets.items():
            wanted = target.label_map.view(bool)
            mask = np.zeros_like(wanted)
            if object_id in found:
                check_sizes(found[object_id], target)
                mask = found[object_id].label_map.view(bool)
            masks[object_id] = mask, wanted
        yield ObjectFrame(masks, {i: f.path for i, f in found.items() if f.label_map.any()})
    check_binary(pair, labels)
