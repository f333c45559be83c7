"""Masks object by object, where either side keeps a folder for each object.

Path:    mask_folders (a Pair) -> [read_object_masks] -> folder_protocols
Axes:    masks are bool (H, W).
Units:   a frame is its place among the annotated frames of its sequence.
Errors:  MaskFolderError naming the file for a mask of another size or kind.
Source:  SA-V: VIDEO/OBJECT/FRAME.png, the object is whatever is above 0. ReSurgSAM2 writes
         predictions so too, and compares them with label maps.
Differs: both of these, either way round; an object without a file on a frame is not annotated there
         if the ground truth lacks it, and empty if the prediction does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from surgjax.evaluation.mask_folders import (
    LabelFile,
    MaskFolderError,
    Pair,
    SequenceFiles,
    check_binary,
    check_sizes,
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


def _read_side(side: SequenceFiles | None, stem: str, ids: set[int] | None) -> dict[int, LabelFile]:
    """Object id -> mask file (values 0 and 1) of one frame; `ids` limits those that are read."""
    if side is None:
        return {}
    if side.objects:
        files = {i: _read_mask(f, stem) for i, f in side.objects.items() if ids is None or i in ids}
        return {
            i: LabelFile(file.path, (file.label_map > 0).astype(np.uint8), None)
            for i, file in files.items()
            if file is not None
        }
    if stem not in side.frames:
        return {}
    file = read_label_file(side.frames[stem])
    ids = labels_of(file.label_map) - {0} if ids is None else ids
    return {
        i: LabelFile(file.path, (file.label_map == i).astype(np.uint8), None) for i in sorted(ids)
    }


def read_object_masks(
    pair: Pair,
) -> Iterator[dict[int, tuple[np.ndarray, np.ndarray] | None]]:
    """For every annotated frame: object id -> (mask, target), None where it is not annotated."""
    labels: set[int] = set()
    for stem in pair.stems:
        ignored = None
        if pair.target.objects:
            targets = _read_side(pair.target, stem, None)
            found = _read_side(pair.prediction, stem, set(targets))
        else:
            whole = read_label_file(pair.target.frames[stem])
            ignored = whole.label_map == IGNORED
            found = _read_side(pair.prediction, stem, None)
            here = labels_of(whole.label_map)
            ids = (here - {0, IGNORED}) | set(found)
            labels |= here
            targets = {
                i: LabelFile(whole.path, (whole.label_map == i).astype(np.uint8), None)
                for i in sorted(ids)
            }
        frame: dict[int, tuple[np.ndarray, np.ndarray] | None] = dict.fromkeys(pair.target.objects)
        for object_id, target in targets.items():
            wanted = target.label_map.view(bool)
            mask = np.zeros_like(wanted)
            if object_id in found:
                check_sizes(found[object_id], target)
                mask = found[object_id].label_map.view(bool)
            frame[object_id] = (mask if ignored is None else mask & ~ignored), wanted
        yield frame
    check_binary(pair, labels)
