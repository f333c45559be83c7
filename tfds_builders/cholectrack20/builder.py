"""TFDS builder of CholecTrack20.

Path:    {Training,Validation,Testing}/VIDnn/{VIDnn.json, Frames/, *.mp4} -> [cholectrack20]
         -> labels over time
Axes:    boxes_xyxy [N, 4], track_ids [N, 3], conditions [N, 8].
Units:   one frame a second; frame n of the labels is decoded frame n - 1 of the video.
Errors:  ArchiveError, LabelError with the file and what it should hold.
Source:  Nwoye et al. 2025, arXiv:2312.07352; README of github.com/CAMMA-public/cholectrack20.
Differs: VID30 and VID31 are left out while their labels are not those of their frames (issue 10
         there); boxes are cut off at the image's border.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.cholectrack20 import annotations
from tfds_builders.cholectrack20.annotations import CONDITIONS, OPERATORS, Annotation
from tfds_builders.kit import shapes, sizes, splits, video_files
from tfds_builders.kit.archive import ArchiveError, Frame, Video
from tfds_builders.kit.builder import instructions
from tfds_builders.kit.timeline import Moment, TimelineBuilder

SIZE = (854, 480)
SOURCE_FPS = 25.0
FOLDERS = {"Training": "train", "Validation": "val", "Testing": "test"}
COUNTS = {"train": (10, 16_948, 30_648), "val": (2, 2779, 4605), "test": (8, 15_282, 29_994)}
OPERATIONS = (1, 2, 4, 6, 7, 11, 12, 13, 17, 23, 25, 30, 31, 37, 39, 92, 96, 103, 110, 111)
MIXED_UP = ("VID30", "VID31")


class Builder(TimelineBuilder):
    """CholecTrack20: tools, their tracks and operators in laparoscopic cholecystectomy."""

    name = "cholectrack20"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*/VID30/*", "*/VID31/*", "*.mp4", "*.txt", "*.md", "*.pdf", "*.csv", "*.json")
    PHASES = annotations.PHASE_NAMES
    TOOLS = annotations.TOOL_NAMES
    LICENCE = "CC BY-NC-SA 4.0"
    CITATION = "Nwoye et al., CholecTrack20, CVPR 2025, arXiv:2312.07352."

    def extra_features(self):
        features = tfds.features
        return {
            "operator": features.Sequence(features.ClassLabel(names=list(OPERATORS))),
            "conditions": features.Tensor(
                shape=(None, len(CONDITIONS)), dtype=np.bool_, doc=", ".join(CONDITIONS)
            ),
        }

    def find(self, root: Path) -> list[Video]:
        videos = []
        for folder, split in _folders(root):
            annotation = annotations.read(_json(folder))
            if not _is_mixed_up(folder, annotation):
                videos.append(_video(root, folder, split, annotation))
        return videos

    def named_splits(self, videos):
        return splits.cholec80_global(video.patient for video in videos)

    def check(self, root, videos, report):
        table, stored = splits.official(self.FOLDER), {video.video_id for video in videos}
        found = {split: [0, 0, 0] for split in COUNTS}  # videos, frames, tools
        for folder, split in _folders(root):
            annotation = annotations.read(_json(folder))
            length, name = len(annotation.frames), folder.name
            tools = sum(len(entries) for entries in annotation.frames.values())
            for place, count in enumerate((1, length, tools)):
                found[split][place] += count
            if table.get(name, split) != split:
                report.error("layout", folder.relative_to(root), table[name], split)
            if annotation.num_frames != length:
                report.note("count", f"{name}: frames", annotation.num_frames, length)
            if name not in stored:
                report.note("layout", name, "labels of its own frames", "others: it is left out")
        for split, expected in COUNTS.items():
            videos_of, frames_of, tools_of = found[split]
            report.compare(f"videos in {split}", expected[0], videos_of, sure=True)
            report.compare(f"frames in {split}", expected[1], frames_of, sure=False)
            sure = split == "test"  # the one count that the authors give
            report.compare(f"tools in {split}", expected[2], tools_of, sure=sure)
        names = (f.image for v in videos for f in v.frames if f.image.endswith(".png"))
        sizes.compare(report, root, "size", names, [SIZE], sure=False)

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        if not video.frames[0].image.endswith(".mp4"):
            yield from super().open_frames(root, video)
            return
        numbers = [int(frame.source) - 1 for frame in video.frames]
        images = video_files.jpegs(root / video.frames[0].image, numbers)
        for frame, (_, data) in zip(video.frames, images, strict=True):
            yield frame, data, None

    def example(self, root, video, frame, opened, size) -> dict[str, Any]:
        return super().example(root, video, frame, size, size)  # `moment` scales boxes by it

    def moment(self, root: Path, video: Video, frame: Frame, opened: Any) -> Moment:
        width, height = opened
        tools: tuple[annotations.Tool, ...] = frame.note
        where = f"{root / frame.labels[0]}: frame {frame.source}"
        fractions = np.array([tool.xyxy for tool in tools]).reshape(-1, 4)
        boxes = fractions * [width, height, width, height]
        return Moment(
            phase=annotations.phase_of(tools, where),
            tools=tuple(tool.category for tool in tools),
            boxes_xyxy=shapes.boxes_inside(boxes, width, height, where),
            box_category=tuple(tool.category for tool in tools),
            track_ids=np.array([tool.tracks for tool in tools], np.int32).reshape(-1, 3),
            extra={
                "operator": [tool.operator for tool in tools],
                "conditions": np.array([tool.conditions for tool in tools], bool).reshape(
                    -1, len(CONDITIONS)
                ),
            },
        )


def _folders(root: Path) -> Iterator[tuple[Path, str]]:
    """(folder of an operation, split) in order."""
    for name, split in FOLDERS.items():
        for folder in sorted(path for path in (root / name).glob("VID*") if path.is_dir()):
            if folder.name not in {f"VID{number:02d}" for number in OPERATIONS}:
                raise ArchiveError(f"{folder}: the set has no operation {folder.name}.")
            yield folder, split


def _json(folder: Path) -> Path:
    found = [path for path in folder.glob("*.json") if path.stem.upper() == folder.name]
    if len(found) != 1:
        raise ArchiveError(f"{folder}: expected one {folder.name}.json, found {len(found)}.")
    return found[0]


def _is_mixed_up(folder: Path, annotation: Annotation) -> bool:
    """Labels of another operation, as issue 10 tells of two of them."""
    if folder.name not in MIXED_UP:
        return False
    pictures = {int(path.stem) for path in (folder / "Frames").glob("*.png")}
    return not annotation.frames.keys() <= pictures


def _video(root: Path, folder: Path, split: str, annotation: Annotation) -> Video:
    labels = _json(folder).relative_to(root).as_posix()
    movies = sorted(folder.glob("*.mp4"))
    has_frames = (folder / "Frames").is_dir() or not movies
    frames = []
    for number, tools in annotation.frames.items():
        image = folder / "Frames" / f"{number:06d}.png" if has_frames else movies[0]
        name, time_s = image.relative_to(root).as_posix(), (number - 1) / SOURCE_FPS
        frames.append(Frame(name, str(number), (labels,), time_s=time_s, note=tools))
    return Video(
        folder.name,
        split,
        tuple(frames),
        procedure="cholecystectomy",
        patient=splits.cholec80_patient(int(folder.name.removeprefix("VID"))),
        fps=1.0,
    )
