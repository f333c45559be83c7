"""TFDS builder for the EndoVis 2017 robotic instrument segmentation challenge.

Path:    left_frames, ground_truth -> [endovis17] -> video frames with masks and parts
Axes:    instances and parts [1024, 1280] uint8; an instance is one folder of ground_truth.
Units:   fps 2, sampled from 30.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  challenge pages; arXiv:1902.06426.
Differs: where the masks of two instruments overlap, the one whose folder sorts later is kept.
         Test frames without masks are stored unannotated.
"""

from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.endovis17 import frames as endovis
from tfds_builders.kit import archive, json_files, records, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

CATEGORIES = {
    "bipolar forceps": True,
    "prograsp forceps": True,
    "large needle driver": True,
    "vessel sealer": True,
    "grasping retractor": True,
    "monopolar curved scissors": True,
    "other": True,  # drop-in ultrasound probe, laparoscopic instruments
}
PARTS = {0: 0, 10: 1, 20: 2, 30: 3, 40: 4}  # ground truth -> records.parts_feature
_PART_NAMES = {"shaft": 10, "wrist": 20, "claspers": 30, "other": 40}


class Builder(MaskBuilder):
    """EndoVis 2017: eight training sequences, ten test sequences of a da Vinci Xi."""

    name = "endovis17"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    CATEGORIES = CATEGORIES
    KNOWN_FILES = ("*right_frames/*", "*camera_calibration.txt", "*mapping*.json", "*__MACOSX/*")
    CITATION = "Allan et al., 2017 Robotic Instrument Segmentation Challenge, arXiv:1902.06426"

    def extra_features(self):
        return {"parts": records.parts_feature()}

    def empty_extra(self, height: int, width: int) -> dict[str, Any]:
        return self._extra(np.zeros((height, width), np.uint8))

    def find(self, root: Path) -> list[Video]:
        table, videos = splits.official(self.FOLDER), []
        for sequence, paths in endovis.left_frames(root).items():
            for is_test in (False, True):
                name = f"instrument_dataset_{sequence}" + "_test" * is_test
                wanted = {
                    number: path
                    for number, path in paths.items()
                    if (sequence > 8 or number >= endovis.FIRST_TEST_FRAME) == is_test
                }
                if not wanted:
                    continue
                if name not in table:
                    raise ArchiveError(f"{root}: {name} is no sequence of EndoVis 2017 (1 to 10).")
                videos.append(_video(root, name, table[name], sequence, wanted))
        return videos

    def check(self, root, videos, report):
        lengths = {video.video_id: len(video.frames) for video in videos}
        table = splits.official(self.FOLDER)
        missing = ", ".join(name for name in table if name not in lengths)
        report.compare("sequences missing", "none", missing or "none", sure=True)
        for name in sorted(lengths):
            number = int(name.split("_")[2])
            expected = 225 if table[name] == "train" else 75 if number <= 8 else 300
            report.compare(f"frames of {name}", expected, lengths[name], sure=True)
        first = [video.frames[0].image for video in videos]
        expected = (endovis.FULL_SIZE, endovis.SIZE)
        sizes.compare(report, root, "size of frames", first, expected, sure=True)
        for path in sorted(root.rglob("parts_mapping.json")):
            _compare_parts(report, path, path.relative_to(root))
        without = [v.video_id for v in videos if not any(f.is_annotated for f in v.frames)]
        report.fact("sequences without masks", ", ".join(without) or "none")

    def open_frames(self, root: Path, video: Video):
        for frame in video.frames:
            path = root / frame.image
            yield frame, endovis.cropped_png(path.read_bytes(), path), None

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        instances, parts = np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8)
        for value, name in enumerate(frame.labels, 1):
            labels = archive.look_up(archive.grey_labels(root / name), PARTS, root / name)
            labels = endovis.crop(labels.astype(np.uint8))
            if value == 1:
                instances, parts = np.zeros_like(labels), np.zeros_like(labels)
            if labels.shape != instances.shape:
                raise LabelError(
                    f"{root / name}: wrong size: {labels.shape[1]}x{labels.shape[0]}, another "
                    f"instrument's mask {instances.shape[1]}x{instances.shape[0]}."
                )
            instances[labels > 0] = value
            parts[labels > 0] = labels[labels > 0]
        return FrameTruth(instances, dict(enumerate(video.note, 1)), self._extra(parts))

    def _extra(self, parts: np.ndarray) -> dict[str, Any]:
        return {"parts": archive.encode_labels(archive.shrink_labels(parts, self.side))}


def category_of(folder: str) -> str:
    """Left_Prograsp_Forceps_labels -> prograsp forceps."""
    words = folder.lower().replace("_", " ")
    found = [name for name in CATEGORIES if name in words]
    if len(found) != 1:
        raise LabelError(
            f"ground_truth/{folder}: unknown label: expected a folder named after one of "
            f"{', '.join(CATEGORIES)}."
        )
    return found[0]


def _video(root: Path, name: str, split: str, sequence: int, paths: dict[int, Path]) -> Video:
    truths = sorted({path.parents[1] / "ground_truth" for path in paths.values()})
    folders = sorted(p for truth in truths if truth.is_dir() for p in truth.iterdir() if p.is_dir())
    if split == "train" and not folders:
        raise ArchiveError(
            f"{truths[0]}: missing: a training sequence has a folder of masks per instrument here."
        )
    frames = []
    for number, path in paths.items():
        masks = tuple((folder / path.name).relative_to(root).as_posix() for folder in folders)
        is_annotated = split == "train" or any((root / mask).exists() for mask in masks)
        frames.append(
            Frame(
                path.relative_to(root).as_posix(),
                path.stem,
                masks if is_annotated else (),
                is_annotated,
                time_s=number / endovis.FPS,
            )
        )
    return Video(
        name,
        split,
        tuple(frames),
        procedure="robotic surgery (porcine)",
        patient=f"endovis17_{sequence:02d}",
        fps=endovis.FPS,
        note=tuple(category_of(folder.name) for folder in folders),
    )


def _compare_parts(report, path: Path, where: Path) -> None:
    """The archive's own names of part values against ours; either may be the key."""
    found = {}
    for key, value in json_files.read(path).items():
        name, number = (value, key) if str(key).isdigit() else (key, value)
        found[str(name).lower()] = int(number)
    found = {name: number for name, number in found.items() if name in _PART_NAMES}
    expected = {name: number for name, number in _PART_NAMES.items() if name in found}
    report.fact(f"part values of {where}", found)
    if found != expected:
        report.error("label", where, expected, found)
