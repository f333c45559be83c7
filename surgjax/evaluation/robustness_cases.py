"""Frames with the truth of instances, parts and types, to be corrupted: a folder, or generated.

Path:    folder, or synthetic -> [open_folder, generate] -> robustness_run
Axes:    frame uint8 (H, W, 3) RGB; instances and parts uint8 (H, W), 0 is background.
Units:   ids; a frame is its place among the annotated frames of its case.
Errors:  MaskFolderError naming flag, folder or file, before any frame is predicted.
Source:  the tasks of arXiv:2408.04593: binary, parts, type.
Differs: the type of an instance is one class for the whole video, that which covers most of its
         pixels. A frame of a folder is an image of its own, and its folder a video.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.evaluation import mask_folders
from surgjax.evaluation.mask_folders import MaskFolderError, SequenceFiles, read_label_file
from surgjax.evaluation.worst_frames import find_frame, frame_path
from surgjax.metrics.label_maps import IGNORED
from surgjax.synthetic import PRESETS, Clip, generate_clip, generate_image
from surgjax.synthetic.jaws import KINDS

TASKS = ("binary", "parts", "type")
GENERATED = "generated"
FIRST_SCENE = 12_500_000  # seeds of scenes: no model of ours was trained or chosen on these


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One frame; `instances` is 255 where nobody is scored."""

    frame_u8: np.ndarray
    instances: np.ndarray
    parts: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Case:
    """An image (length 1) or a video; frames are read when they are asked for."""

    name: str
    length: int
    read: Callable[[int], Labelled]
    types: Mapping[int, int]  # instance id -> class id; empty if not known


@dataclasses.dataclass(frozen=True)
class Cases:
    """What is scored as images, and what as videos."""

    images: tuple[Case, ...]
    videos: tuple[Case, ...]
    tasks: tuple[str, ...]  # that the truth allows
    description: Mapping[str, Any]  # for reports, and to tell data apart


def _read_clip(clip: Clip, frame: int) -> Labelled:
    tools = np.zeros(256, np.uint8)
    for object_id, kind in zip(clip.object_ids, clip.object_classes, strict=True):
        tools[object_id] = object_id if kind in KINDS else 0
    instances = tools[clip.label_maps[frame]]
    parts = np.where(instances > 0, clip.part_maps[frame], np.uint8(0))
    return Labelled(clip.frames_u8[frame], instances, parts)


def _clip_case(name: str, clip: Clip) -> Case:
    named = zip(clip.object_ids, clip.object_classes, strict=True)
    types = {i: KINDS.index(kind) + 1 for i, kind in named if kind in KINDS}
    return Case(name, len(clip.frames_u8), functools.partial(_read_clip, clip), types)


def generate(preset: str, images: int, clips: int, frames: int, size: int) -> Cases:
    """Instruments of generated scenes: single images, and clips of some frames."""
    if preset not in PRESETS:
        raise MaskFolderError(
            f"--data={GENERATED}:{preset}: expected one of {', '.join(sorted(PRESETS))}."
        )
    config = PRESETS[preset]
    singles = tuple(
        _clip_case(f"image_{k:03d}", generate_image(FIRST_SCENE + k, size, config))
        for k in range(images)
    )
    videos = tuple(
        _clip_case(f"clip_{k:03d}", generate_clip(FIRST_SCENE + 100_000 + k, frames, size, config))
        for k in range(clips)
    )
    sizes = {"images": images, "clips": clips, "frames": frames, "size": size}
    return Cases(singles, videos, TASKS, {"data": f"{GENERATED}:{preset}"} | sizes)


def _maps(root: Path, name: str, wanted: mask_folders.Folder) -> Mapping[str, SequenceFiles]:
    """Label maps of every frame of every sequence; {} if there is no such folder."""
    if not (root / name).is_dir():
        return {}
    found = mask_folders.find_sequences(root / name, f"--data: {name} in")
    theirs = found.sequences
    if found.is_flat and wanted.is_flat:  # one sequence each, called after its folder
        theirs = dict(zip(wanted.sequences, theirs.values(), strict=True))
    for sequence, files in wanted.sequences.items():
        for stem in files.stems:
            if sequence not in theirs or stem not in theirs[sequence].frames:
                raise MaskFolderError(f"{root / name}: no map of {sequence}, frame {stem}.")
    return theirs


def _types(instances: SequenceFiles, classes: SequenceFiles) -> dict[int, int]:
    """The class that covers most pixels of each instance."""
    counts = np.zeros((256, 256), np.int64)
    for stem, path in instances.frames.items():
        both = read_label_file(path), read_label_file(classes.frames[stem])
        mask_folders.check_sizes(*both)
        joint = both[0].label_map.astype(np.int64) * 256 + both[1].label_map
        counts += np.bincount(joint.ravel(), minlength=65536).reshape(256, 256)
    counts[:, [0, IGNORED]] = 0
    ids = [i for i in range(1, IGNORED) if counts[i].any()]
    return {i: int(counts[i].argmax()) for i in ids}


def _folder_case(
    root: Path, files: SequenceFiles, parts: SequenceFiles | None, types: Mapping[int, int]
) -> Case:
    stems = tuple(files.frames)

    def read(frame: int) -> Labelled:
        stem = stems[frame]
        image = find_frame(str(root / "frames"), files, stem)
        if image is None:
            raise MaskFolderError(f"{root / 'frames'}: no image of {files.name}, frame {stem}.")
        truth = read_label_file(files.frames[stem])
        if image.shape[:2] != truth.label_map.shape:
            raise MaskFolderError(
                f"{truth.path} is {truth.label_map.shape} (height, width), its image "
                f"{image.shape[:2]}."
            )
        part_map = None
        if parts is not None:
            file = read_label_file(parts.frames[stem])
            mask_folders.check_sizes(file, truth)
            part_map = np.where(file.label_map == IGNORED, np.uint8(0), file.label_map)
        return Labelled(image, truth.label_map, part_map)

    return Case(files.name, len(stems), read, types)


def _add_files(digest: Any, name: str, paths: Iterable[Path]) -> None:
    """Names and contents, so that cells of frames or truth that changed since are refused."""
    for path in paths:
        digest.update(f"{name}/{path.parent.name}/{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())


def open_folder(path: str) -> Cases:
    """`frames`, `instances`, and if there, `parts` and `types`: each flat, or by sequence.

    Every file is read once, for the checksum in `description`.
    """
    root = Path(path)
    if not root.is_dir():
        raise MaskFolderError(f"--data {root}: no such folder.")
    wanted = mask_folders.find_sequences(root / "instances", "--data: instances in")
    parts, classes = (_maps(root, name, wanted) for name in ("parts", "types"))
    cases, digest = [], hashlib.sha256()
    for name, files in wanted.sequences.items():
        if files.objects:
            raise MaskFolderError(f"{files.folder}: expected label maps, found folders of objects.")
        images = [frame_path(str(root / "frames"), files, stem) for stem in files.stems]
        if None in images:
            stem = files.stems[images.index(None)]
            raise MaskFolderError(f"{root / 'frames'}: no image of {name}, frame {stem}.")
        _add_files(digest, name, [image for image in images if image is not None])
        for side in (files, parts.get(name), classes.get(name)):
            _add_files(digest, name, [side.frames[s] for s in files.stems] if side else [])
        types = _types(files, classes[name]) if classes else {}
        cases.append(_folder_case(root, files, parts.get(name), types))
    tasks = tuple(task for task, there in zip(TASKS, (True, parts, classes), strict=True) if there)
    frames = sum(case.length for case in cases)
    described = {"data": str(root.resolve()), "sequences": len(cases), "frames": frames}
    described["sha256"] = digest.hexdigest()
    return Cases(tuple(cases), tuple(cases), tasks, described)
