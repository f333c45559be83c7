"""TFDS builder of Endoscapes2023.

Path:    {train,val,test}/*.jpg, semseg, COCO files -> [endoscapes2023] -> video frames
Axes:    masks [H, W] uint8, values are classes, 255 ignore; boxes_xyxy [N, 4]; cvs [3].
Units:   frames 1 a second; the number in a file's name counts frames of 25 a second.
Errors:  ArchiveError, LabelError with the file and what it should hold.
Source:  Murali et al. 2023, arXiv:2312.12429; README of github.com/CAMMA-public/Endoscapes.
Differs: instances come from the COCO files (`box_masks`), not from insseg/*.npy, whose order of
         axes is not written down. Objects of the masks are classes: tools have no identity
         over half a minute.
"""

import dataclasses
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.endoscapes2023 import annotations
from tfds_builders.endoscapes2023.annotations import CLASSES, IGNORE, NAMES, FrameLabels
from tfds_builders.kit import archive, shapes, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions

SIZE = (854, 480)
SOURCE_FPS = 25.0
SPLITS = ("train", "val", "test")
VIDEOS = {"train": 120, "val": 41, "test": 40}
FRAMES = {"train": 36_694, "val": 12_372, "test": 9747}
SEG_VIDEOS = {"train": 30, "val": 10, "test": 10}
SHARED = {  # video: operation of Cholec80 or CholecT50, by CAMMA's analysis of overlaps
    1: 67,
    2: 68,
    3: 70,
    4: 71,
    7: 72,
    10: 96,
    33: 110,
    121: 66,
    127: 103,
}


@dataclasses.dataclass(kw_only=True)
class EndoscapesConfig(SurgicalConfig):
    """`only_masks` leaves out every frame without a mask."""

    only_masks: bool = False


class Builder(MaskBuilder):
    """Endoscapes2023: 201 laparoscopic cholecystectomies, before the first clip or cut."""

    name = "endoscapes2023"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = (
        "*_seg/*",
        "all/*",
        "12_5/*",
        "25/*",
        "insseg/*",
        "*.json",
        "*.csv",
        "*.txt",
        "*.md",
        "LICENSE",
    )
    CATEGORIES = {name: name == "tool" for name in NAMES}
    LICENCE = "CC BY-NC-SA 4.0"
    CITATION = "Murali et al., Endoscapes, arXiv:2312.12429."
    BUILDER_CONFIGS = [
        EndoscapesConfig(name="full", description="Every frame, 1 a second."),
        EndoscapesConfig(
            name="seg50", only_masks=True, description="Frames with a mask, one per 30 s."
        ),
    ]

    def extra_features(self):
        features = tfds.features
        return {
            "has_boxes": np.bool_,
            "boxes_xyxy": features.Tensor(shape=(None, 4), dtype=np.float32),
            "box_category": features.Sequence(features.ClassLabel(names=list(NAMES))),
            "box_masks": features.Image(  # value k: the mask of box k - 1; 0 where there is none
                shape=(None, None, 1), dtype=np.uint8, encoding_format="png"
            ),
            "has_cvs": np.bool_,
            "cvs": features.Tensor(shape=(3,), dtype=np.float32),  # mean of three raters, 0..1
        }

    @property
    def _only_masks(self) -> bool:
        config = self.builder_config
        return isinstance(config, EndoscapesConfig) and config.only_masks

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        values = annotations.class_values(root / "seg_label_map.txt")
        videos = []
        for split in SPLITS:
            if not (root / split).is_dir():
                continue
            labels = annotations.read_split(root / split)
            segmented = annotations.segmented(root / f"{split}_seg")
            listed = annotations.video_list(root / f"{split}_seg_vids.txt")
            for number, paths in _by_video(root / split).items():
                if table.get(str(number)) != split:
                    raise ArchiveError(
                        f"{paths[0]}: splits/official.txt has video {number} in "
                        f"{table.get(str(number), 'no split')}, not in {split}."
                    )
                frames = [_frame(root, path, labels, segmented) for path in paths]
                if self._only_masks:
                    frames = [frame for frame in frames if frame.is_annotated]
                if frames:
                    note = (tuple(values.items()), number in listed)
                    videos.append(_video(str(number), split, frames, note))
        return videos

    def named_splits(self, videos):
        """`seg50`: the videos of Endoscapes-Seg50, as the archive lists them.

        `global`: the official split, but nine operations stand where the Cholec80 family has them.
        """
        seg50 = {video.video_id: video.split for video in videos if video.note[1]}
        whole = {video.patient: video.split for video in videos}
        shared = [patient for patient in whole if patient.startswith("cholec80_")]
        whole.update(splits.cholec80_global(shared)["global"])
        return {"global": whole, **({"seg50": seg50} if seg50 else {})}

    def check(self, root, videos, report):
        frames = [frame for video in videos for frame in video.frames]
        labels = [frame.note for frame in frames]
        if not self._only_masks:
            report.compare("frames of the whole set", 58_813, len(frames), sure=True)
            count = sum(label.boxes is not None for label in labels)
            report.compare("frames with boxes", 1933, count, sure=True)
            count = sum(label.cvs is not None for label in labels)
            report.compare("frames with CVS", 11_090, count, sure=True)
            for split, expected in VIDEOS.items():
                count = sum(video.split == split for video in videos)
                report.compare(f"videos in {split}", expected, count, sure=True)
                count = sum(len(video.frames) for video in videos if video.split == split)
                report.compare(f"frames in {split}", FRAMES[split], count, sure=False)
        count = sum(frame.is_annotated for frame in frames)
        report.compare("frames with a mask", 493, count, sure=True)
        for split, expected in SEG_VIDEOS.items():
            count = sum(video.split == split and video.note[1] for video in videos)
            report.compare(f"videos of Seg50 in {split}", expected, count, sure=True)
        sizes.compare(report, root, "size", (f.image for f in frames), [SIZE], sure=True)
        self._check_lists(root, report)
        if videos:
            found = dict(videos[0].note[0])
            report.compare("class ids", CLASSES, found, sure=False, kind="label")
        stems = {Path(frame.image).stem for frame in frames}
        for path in sorted((root / "semseg").glob("*.png")):
            if path.stem not in stems:
                report.error("layout", f"semseg/{path.name}", "a frame of this name", "none")

    def _check_lists(self, root: Path, report) -> None:
        table = splits.official(self.FOLDER)
        if not (root / "seg_label_map.txt").is_file():
            report.note("missing", "seg_label_map.txt", "names of class ids", "nothing: see README")
        for split in SPLITS:
            path = root / f"{split}_vids.txt"
            if path.is_file():
                expected = sorted(int(video) for video, place in table.items() if place == split)
                found = sorted(annotations.video_list(path))
                report.compare(path.name, expected, found, sure=True, kind="layout")

    def example(self, root, video, frame, opened, size) -> dict[str, Any]:
        own = super().example(root, video, frame, opened, size)
        labels: FrameLabels = frame.note
        where = f"{root / frame.image}"
        width, height = size
        boxes = shapes.boxes_inside([b.xyxy for b in labels.boxes or ()], width, height, where)
        small = archive.shrunk_size(width, height, self.side)
        scale = np.array([small[0] / width, small[1] / height] * 2, np.float32)
        masks = np.zeros((height, width), np.uint8)
        for place, box in enumerate(labels.boxes or (), 1):
            if box.segmentation is not None:
                masks[shapes.coco_segmentation(box.segmentation, height, width, where)] = place
        return {
            **own,
            "has_boxes": labels.boxes is not None,
            "boxes_xyxy": boxes * scale,
            "box_category": [box.category for box in labels.boxes or ()],
            "box_masks": archive.encode_labels(archive.shrink_labels(masks, self.side)),
            "has_cvs": labels.cvs is not None,
            "cvs": np.array(labels.cvs or (0, 0, 0), np.float32),
        }

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        table = {**dict(video.note[0]), IGNORE: IGNORE}
        instances = archive.look_up(archive.grey_labels(path), table, path)
        return FrameTruth(instances, dict(enumerate(NAMES, 1)))


def _by_video(folder: Path) -> dict[int, list[Path]]:
    """{video: its frames in order of time}, videos ascending."""
    found: dict[int, dict[int, Path]] = defaultdict(dict)
    for path in folder.glob("*.jpg"):
        match = re.fullmatch(r"(\d+)_(\d+)", path.stem)
        if not match:
            raise ArchiveError(f"{path}: expected a name like 4_21725.jpg (video, frame).")
        found[int(match[1])][int(match[2])] = path
    return {video: [paths[n] for n in sorted(paths)] for video, paths in sorted(found.items())}


def _frame(root: Path, path: Path, labels: dict[str, FrameLabels], segmented: set[str]) -> Frame:
    mask = root / "semseg" / f"{path.stem}.png"
    has_mask = path.name in segmented or mask.is_file()
    return Frame(
        path.relative_to(root).as_posix(),
        path.stem,
        (mask.relative_to(root).as_posix(),) if has_mask else (),
        is_annotated=has_mask,
        time_s=int(path.stem.partition("_")[2]) / SOURCE_FPS,
        note=labels.get(path.name, FrameLabels()),
    )


def _video(name: str, split: str, frames: list[Frame], note: Any) -> Video:
    steps = [b.time_s - a.time_s for a, b in zip(frames, frames[1:], strict=False)]
    fps = 1 / float(np.median(steps)) if steps else 1.0
    shared = SHARED.get(int(name))
    patient = splits.cholec80_patient(shared) if shared else f"endoscapes_{name}"
    return Video(name, split, tuple(frames), "cholecystectomy", patient, fps=fps, note=note)
