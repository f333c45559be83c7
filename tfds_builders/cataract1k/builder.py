"""TFDS builder for the segmentation part of Cataract-1K.

Path:    case_XXXX/{img,ann} -> [cataract1k] -> video frames with masks
Axes:    masks [H, W] uint8: class 1 to 13, 0 background.
Units:   pixels. Frames were taken every 5 seconds and blurred ones left out before they were
         numbered, so their times are not known: fps is nominal, time_s 0.
Errors:  ArchiveError that names the file.
Source:  Ghamsarian et al., Cataract-1K, Scientific Data 11 (2024), arXiv:2312.06295; folds and
         order of drawing from Negin-Ghamsarian/Cataract-1K.
Differs: the authors' scripts draw outer borders only and skip `cornea1` and `pupil1`; here holes
         stay holes, and both count as cornea and pupil.
"""

from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.kit import archive, splits, supervisely
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

FRAMES = {  # per case, by the authors' lists of five folds
    5013: 69, 5014: 80, 5015: 68, 5016: 75, 5017: 69, 5032: 61, 5051: 59, 5057: 72, 5058: 81,
    5063: 76, 5072: 67, 5104: 181, 5180: 92, 5299: 69, 5300: 61, 5301: 54, 5303: 55, 5304: 53,
    5305: 72, 5309: 68, 5315: 73, 5316: 69, 5317: 60, 5319: 111, 5325: 95, 5329: 76, 5334: 78,
    5335: 74, 5340: 73, 5353: 65,
}  # fmt: skip
FPS = 0.2
SAME = {"cornea1": "cornea", "pupil1": "pupil"}

_BASES = (
    ".",
    "Annotations/Images-and-Supervisely-Annotations",
    "Segmentation_dataset/Annotations/Images-and-Supervisely-Annotations",
    "Images_and_Supervisely_Annotations",
    "Images-and-Supervisely-Annotations",
)


class Builder(MaskBuilder):
    """Cataract-1K: 30 operations with anatomy and instruments."""

    name = "cataract1k"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = (
        "*/mask*/*",
        "*Coco-Annotations/*",
        "*/meta.json",
        "meta.json",
        "obj_class_to_machine_color.json",
        "*.mp4",
        "*.csv",
        "*.txt",
        "*.md",
    )
    CATEGORIES = {  # in the order of drawing; the instruments in the authors' order
        "cornea": False,
        "pupil": False,
        "lens": False,
        "slit knife": True,
        "gauge": True,
        "capsulorhexis cystotome": True,
        "spatula": True,
        "phacoemulsification tip": True,
        "irrigation-aspiration": True,
        "lens injector": True,
        "incision knife": True,
        "katena forceps": True,
        "capsulorhexis forceps": True,
    }
    LICENCE = "CC BY 4.0"

    def find(self, root: Path) -> list[Video]:
        split, base = splits.official(self.FOLDER), _base(root)
        videos = []
        for folder in sorted(base.glob("case_*")):
            if folder.name not in split:
                raise ArchiveError(f"{folder}: expected one of the cases {', '.join(split)}.")
            frames = tuple(
                Frame(_relative(path, root), path.stem, (_relative(_annotation(path), root),))
                for path in sorted((folder / "img").glob("*.png"), key=_number)
            )
            name = folder.name
            videos.append(Video(name, split[name], frames, "cataract surgery", name, FPS))
        return videos

    def check(self, root, videos, report):
        report.compare("cases", len(FRAMES), len(videos), sure=True)
        count = sum(len(video.frames) for video in videos)
        report.compare("frames", sum(FRAMES.values()), count, sure=False)
        for video in videos:
            expected = FRAMES[int(video.video_id.removeprefix("case_"))]
            if len(video.frames) != expected:
                report.compare(
                    f"frames of {video.video_id}", expected, len(video.frames), sure=False
                )
        sizes = archive.image_sizes(root, videos)
        report.compare("image sizes", [(1024, 768)], sizes, sure=True, kind="size")
        used = {name for video in videos for frame in video.frames for name in frame.labels}
        for path in sorted(_base(root).glob("case_*/ann/*.json")):
            if _relative(path, root) not in used:
                report.error("layout", _relative(path, root), "a frame of this name", "none")

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        values = {name: number for number, name in enumerate(self.CATEGORIES, 1)}
        size, objects = supervisely.read(path)
        found = []
        for title, mask in objects:
            name = SAME.get(title.lower(), title.lower())
            if name not in values:
                raise LabelError(f"{path}: unknown label {title!r}; expected {list(values)}.")
            layer = len(values) if self.CATEGORIES[name] else values[name]  # instruments last
            found.append((layer, values[name], mask))
        instances = np.zeros(size, np.uint8)
        for _, value, mask in sorted(found, key=lambda item: item[0]):  # stable among instruments
            instances[mask] = value
        return FrameTruth(instances, {number: name for name, number in values.items()})


def _base(root: Path) -> Path:
    """The folder that holds the cases, wherever in the archive `--manual_dir` points."""
    for place in _BASES:
        if any((root / place).glob("case_*/ann")):
            return root / place
    raise ArchiveError(f"{root}: expected folders case_XXXX with img and ann, found none.")


def _annotation(image: Path) -> Path:
    return image.parents[1] / "ann" / f"{image.name}.json"


def _number(path: Path) -> int:
    """`case5013_07`: 7; the images of case 5315 are called case_53153_NN."""
    digits = path.stem.rpartition("_")[2]
    if not digits.isdecimal():
        raise ArchiveError(f"{path}: expected a name that ends in _NN.")
    return int(digits)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
