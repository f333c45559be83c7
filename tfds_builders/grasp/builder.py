"""TFDS builder for the instrument instances of GraSP.

Path:    frames, annotations/grasp_short-term_*.json -> [grasp] -> single images with masks
Axes:    instances [800, 1280] uint8; a value is an annotation of that key frame.
Units:   source_frame is the frame's number in the release of 30 frames a second.
Errors:  ArchiveError and its kinds, with the file's name.
Source:  github.com/BCV-Uniandes/GraSP; arXiv:2401.11174.
Differs: the archive's own files say which case trains (splits/official.txt is compared);
         key frames lie some 35 s apart and their annotations are not linked, so each is stored as
         an image of its own. Where annotations overlap, the later one is kept.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.kit import archive, json_files, shapes, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

FRAMES, ANNOTATIONS = "frames", "annotations"
FOLDS = ("fold1", "fold2")
SIZE = (1280, 800)
_COUNTS = {"train": (2324, 6170), "test": (1125, 2861)}  # key frames, instances


class Builder(MaskBuilder):
    """GraSP: key frames of thirteen robot-assisted radical prostatectomies."""

    name = "grasp"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    IS_VIDEO = False
    RECORDS_PER_SHARD = 256
    # The release holds every frame of the operations; which of them are key frames, JSON says.
    KNOWN_FILES = (f"{FRAMES}/*", f"{ANNOTATIONS}/*", "*README*", "*.tar.gz")
    CITATION = "Ayobi et al., arXiv:2401.11174"
    CATEGORIES = {
        "bipolar forceps": True,
        "prograsp forceps": True,
        "large needle driver": True,
        "monopolar curved scissors": True,
        "suction instrument": True,
        "clip applier": True,
        "laparoscopic grasper": True,
    }

    def find(self, root: Path) -> list[Video]:
        folds = {case: fold for fold in FOLDS for case in _cases(root, fold)}
        videos, split_of = [], {}
        for split in ("train", "test"):
            content, path = _content(root, split), root / _path(split)
            masks = _masks(content, path)
            for image in sorted(content["images"], key=lambda entry: entry["file_name"]):
                name = image["file_name"]
                case = _case(name, path)
                if split_of.setdefault(case, split) != split:
                    raise ArchiveError(f"{path}: {case} is in train and in {split}.")
                fold = folds.get(case) if split == "train" else None
                frame = Frame(
                    f"{FRAMES}/{name}", Path(name).stem, (_path(split),), note=masks[image["id"]]
                )
                videos.append(
                    Video(
                        f"{case}_{frame.source}",
                        split,
                        (frame,),
                        procedure="robotic radical prostatectomy",
                        patient=f"grasp_{case}",
                        note=fold,
                    )
                )
        return videos

    def named_splits(self, videos):
        """`train_fold1`, `val_fold1`: trained on the first half, validated on the second."""
        return {
            fold: {v.patient: "train" if v.note == fold else "val" for v in videos if v.note}
            for fold in FOLDS
        }

    def check(self, root, videos, report):
        table = splits.official(self.FOLDER)
        for split, (frames, instances) in _COUNTS.items():
            members = [video for video in videos if video.split == split]
            cases = sorted({video.video_id.split("_")[0] for video in members})
            expected = [case for case, place in table.items() if place == split]
            report.compare(f"number of {split} cases", len(expected), len(cases), sure=True)
            told = ", ".join(cases)
            report.compare(f"{split} cases", ", ".join(expected), told, sure=False, kind="layout")
            report.compare(f"key frames of {split}", frames, len(members), sure=False)
            annotations = sum(len(video.frames[0].note) for video in members)
            report.compare(f"instances of {split}", instances, annotations, sure=False)
        seen = Counter(name for video in videos for name, _ in video.frames[0].note)
        report.fact("instances", ", ".join(f"{name} {seen[name]}" for name in self.CATEGORIES))
        order = list(_categories(_content(root, "train"), _path("train")).values())
        report.compare("order of categories", list(self.CATEGORIES), order, sure=True, kind="label")
        folds = {video.patient for video in videos if video.note}
        train = {video.patient for video in videos if video.split == "train"}
        if folds != train:
            report.error("layout", "folds", f"{len(train)} training cases", f"{len(folds)} cases")
        images = [video.frames[0].image for video in videos]
        sizes.compare(report, root, "size of key frames", images, [SIZE], sure=False)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        width, height = archive.size_of(root / frame.image)
        instances, objects = np.zeros((height, width), np.uint8), {}
        for value, (category, code) in enumerate(frame.note, 1):
            where = f"{frame.labels[0]}, {frame.image}, annotation {value}"
            instances[shapes.coco_segmentation(code, height, width, where)] = value
            objects[value] = category
        return FrameTruth(instances, objects)


def _path(name: str) -> str:
    return f"{ANNOTATIONS}/grasp_short-term_{name}.json"


def _content(root: Path, name: str) -> dict[str, Any]:
    return json_files.read(root / _path(name), keys=("images", "annotations", "categories"))


def _cases(root: Path, name: str) -> set[str]:
    path = root / _path(name)
    return {_case(image["file_name"], path) for image in _content(root, name)["images"]}


def _case(file_name: str, where: Path) -> str:
    case, _, _ = file_name.partition("/")
    if not case.startswith("CASE") or case == file_name:
        raise ArchiveError(f"{where}: expected a file_name CASEnnn/frame.jpg, found {file_name!r}.")
    return case


def _categories(content: dict[str, Any], where: str) -> dict[Any, str]:
    """{id: name} in the file's order of ids."""
    names = {}
    for entry in sorted(content["categories"], key=lambda entry: entry["id"]):
        name = str(entry["name"]).lower()
        if name not in Builder.CATEGORIES:
            raise LabelError(
                f"{where}: unknown label: category {entry['name']!r}; expected one of "
                f"{', '.join(Builder.CATEGORIES)}."
            )
        names[entry["id"]] = name
    return names


def _masks(content: dict[str, Any], path: Path) -> dict[Any, tuple[tuple[str, Any], ...]]:
    """{image: (category, code) of each of its annotations}."""
    names = _categories(content, str(path))
    found: dict[Any, list] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        if entry.get("image_id") not in found:
            raise ArchiveError(f"{path}: annotation of no image: {entry!r:.80}")
        if entry.get("category_id") not in names:
            raise LabelError(
                f"{path}: unknown label: category {entry.get('category_id')}; expected one of "
                f"{', '.join(map(str, names))}."
            )
        category = names[entry["category_id"]]
        found[entry["image_id"]].append((category, entry.get("segmentation")))
    return {image: tuple(masks) for image, masks in found.items()}
