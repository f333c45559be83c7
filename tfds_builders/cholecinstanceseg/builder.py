"""TFDS builder of CholecInstanceSeg.

Path:    {train,val,test}/VIDnn_part/{img_dir,ann_dir} -> [cholecinstanceseg] -> video frames
Axes:    masks [H, W] uint16; values are objects of the sequence.
Units:   the number in a file's name counts frames of 25 a second (seg8k) or seconds (others).
Errors:  ArchiveError, LabelError with the file and what it should hold.
Source:  Alabi et al. 2024, arXiv:2406.16039; github.com/labdeeman7/cholec_instance_seg.
Differs: the set's ids count instances of a class in a frame. Where they turn out to follow tools
         they are kept; elsewhere objects are linked by overlap (see identity, README).
"""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.cholecinstanceseg import identity, labelme
from tfds_builders.cholecinstanceseg.identity import Agreement
from tfds_builders.kit import archive, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

SIZE = (854, 480)
NAMES = ("grasper", "hook", "irrigator", "clipper", "bipolar", "scissors", "snare")
RATES = {"seg8k": 25.0, "t50_full": 1.0, "t50_sparse": 1.0, "t80_sparse": 1.0}  # numbers a second
PARTS = {  # part: (sequences, frames, instances)
    "seg8k": (17, 8080, 10_523),
    "t50_full": (15, 28_317, 45_221),
    "t50_sparse": (35, 2681, 4098),
    "t80_sparse": (28, 2855, 4641),
}
MAX_GAP_S = 1.0  # frames further apart say nothing about identity
SHRINK = 4  # masks for comparing identities are a quarter as wide
_NAME = re.compile(r"VID(\d+)_(seg8k|t50_full|t50_sparse|t80_sparse)")


class Builder(MaskBuilder):
    """CholecInstanceSeg: tool instances in laparoscopic cholecystectomy."""

    name = "cholecinstanceseg"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*.txt", "*.md", "*.csv", "*.pdf")
    CATEGORIES = dict.fromkeys(NAMES, True)
    ID_DTYPE = np.uint16
    LICENCE = "CC BY-NC-SA 4.0"
    CITATION = "Alabi et al., CholecInstanceSeg, arXiv:2406.16039."

    def extra_features(self):
        return {
            "group_ids": tfds.features.Sequence(np.int32),  # of the archive, as instance_ids
            "identity": tfds.features.Text(doc="group_id, or overlap: what objects are named by"),
        }

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        folders = [
            path.parent for depth in ("", "*/") for path in root.glob(f"{depth}VID*/img_dir")
        ]
        videos = []
        for folder in sorted(folders, key=lambda path: path.name):
            name = folder.name
            found = _NAME.fullmatch(name)
            if name not in table or not found:
                raise ArchiveError(f"{folder}: splits/official.txt names no sequence {name}.")
            videos.append(_video(root, folder, table[name], int(found[1]), found[2]))
        return videos

    def named_splits(self, videos):
        return splits.cholec80_global(video.patient for video in videos)

    def check(self, root, videos, report):
        frames = [frame for video in videos for frame in video.frames]
        report.compare("frames of the whole set", 41_933, len(frames), sure=True)
        report.compare("operations", 85, len({video.patient for video in videos}), sure=True)
        for part, (sequences, length, _) in PARTS.items():
            of_part = [video for video in videos if video.note == part]
            report.compare(f"{part}: sequences", sequences, len(of_part), sure=True)
            count = sum(len(video.frames) for video in of_part)
            report.compare(f"{part}: frames", length, count, sure=True)
        sizes.compare(report, root, "size", (f.image for f in frames), [SIZE], sure=True)
        for video in videos:
            place = (root / video.frames[0].image).relative_to(root).parts[0]
            if place in ("train", "val", "test") and place != video.split:
                report.error("layout", f"{place}/{video.video_id}", video.split, place)
        self._check_instances(root, videos, report)

    def _check_instances(self, root, videos, report):
        counts, agreed = Counter(), defaultdict(Agreement)
        policies: dict[str, Counter] = defaultdict(Counter)
        shared_ids = 0
        for video in videos:
            try:
                size, annotations = _read(root, video)
            except LabelError as error:
                report.error("label", video.video_id, "known labels", error)
                continue
            except ArchiveError as error:
                report.error("corrupt", video.video_id, "annotations that can be read", error)
                continue
            masks = [annotation.masks(size, SHRINK) for annotation in annotations]
            result = identity.agreement(masks, _adjacent(video))
            agreed[video.note] += result
            policies[video.note]["group_id" if result.is_stable else "overlap"] += 1
            counts[video.note] += sum(len(a.polygons) for a in annotations)
            classes: dict[int, set[str]] = defaultdict(set)
            for name, group in (key for a in annotations for key in a.polygons):
                classes[group].add(name)
            shared_ids += any(len(names) > 1 for names in classes.values())
        for part, (_, _, instances) in PARTS.items():
            if part in policies:
                report.compare(f"{part}: instances", instances, counts[part], sure=True)
                _tell_identity(report, part, agreed[part], policies[part])
        report.fact("sequences in which two classes share an id", shared_ids)

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        size, annotations = _read(root, video)
        masks = [annotation.masks(size, SHRINK) for annotation in annotations]
        adjacent = _adjacent(video)
        stable = identity.agreement(masks, adjacent).is_stable
        numbers = identity.by_id(masks) if stable else identity.by_overlap(masks, adjacent)
        policy = "group_id" if stable else "overlap"
        for frame, annotation, named in zip(video.frames, annotations, numbers, strict=True):
            yield frame, (root / frame.image).read_bytes(), (size, annotation, named, policy)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        size, annotation, numbers, policy = opened
        instances = np.zeros(size[::-1], np.uint16)
        for key, mask in annotation.masks(size).items():
            instances[mask] = numbers[key]
        shown = np.unique(archive.shrink_labels(instances, self.side))
        groups = {number: group for (_, group), number in numbers.items()}
        extra = {"group_ids": [groups[int(v)] for v in shown if v], "identity": policy}
        return FrameTruth(instances, {number: name for (name, _), number in numbers.items()}, extra)


def _video(root: Path, folder: Path, split: str, number: int, part: str) -> Video:
    paths = sorted(p for p in (folder / "img_dir").iterdir() if p.suffix in (".png", ".jpg"))
    frames = []
    for path in paths:
        found = re.search(r"(\d+)$", path.stem)
        if not found:
            raise ArchiveError(f"{path}: expected a name that ends in the frame's number.")
        label = folder / "ann_dir" / f"{path.stem}.json"
        names = [p.relative_to(root).as_posix() for p in (path, label)]
        time_s = int(found[1]) / RATES[part]
        frames.append(Frame(names[0], path.stem, (names[1],), time_s=time_s))
    frames.sort(key=lambda frame: frame.time_s)
    steps = [b.time_s - a.time_s for a, b in zip(frames, frames[1:], strict=False)]
    fps = 1 / statistics.median(steps) if steps else RATES[part]
    return Video(
        folder.name,
        split,
        tuple(frames),
        procedure="cholecystectomy",
        patient=splits.cholec80_patient(number),
        fps=fps,
        note=part,
    )


def _read(root: Path, video: Video) -> tuple[tuple[int, int], list[labelme.Annotation]]:
    """(width, height) of the sequence, and its annotations, which must be of that one size.

    Where no file says it, the first image's header does; each image is compared when it is read.
    """
    annotations = [labelme.read(root / frame.labels[0], NAMES) for frame in video.frames]
    told = [annotation.size for annotation in annotations if annotation.size]
    size = told[0] if told else archive.size_of(root / video.frames[0].image)
    for frame, annotation in zip(video.frames, annotations, strict=True):
        if annotation.size not in (None, size):
            raise LabelError(
                f"{root / frame.labels[0]}: wrong size: {annotation.size}, in a sequence of {size} "
                "(width, height)."
            )
    return size, annotations


def _adjacent(video: Video) -> list[bool]:
    times = [frame.time_s for frame in video.frames]
    return [t > 0 and times[t] - times[t - 1] <= MAX_GAP_S for t in range(len(times))]


def _tell_identity(report, part: str, found: Agreement, policies: Counter) -> None:
    kept, mean = found.matches - found.moved, found.same_key_iou / max(found.same_key, 1)
    report.fact(
        f"{part}: matches by overlap that keep (class, id)",
        f"{kept} of {found.matches} in {found.pairs} pairs of adjacent frames; "
        f"{found.contested} are contested; mean IoU of equal (class, id) {mean:.2f}",
    )
    text = ", ".join(f"{name} {count}" for name, count in sorted(policies.items()))
    report.fact(f"{part}: sequences by what names their objects", text)
