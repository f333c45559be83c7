"""TFDS builder of AutoLaparo, task 3 (instrument and key anatomy segmentation).

Path:    imgs/CCCFFF.jpg, masks/CCCFFF.png -> [autolaparo] -> video frames with masks and parts
Axes:    masks [H, W] uint8, values are classes.
Units:   FFF counts frames of 25 a second within clip CCC: 001 025 050 .. 125 are seconds 0 to 5.
Errors:  ArchiveError, LabelError with the file and what it should hold.
Source:  Wang et al. 2022, arXiv:2208.02049; site autolaparo.github.io; grey values as a
         public loader has them, names from MoriLabNU/Bayesian_WSS.
Differs: manipulator and shaft of one kind of instrument are one object; which is which goes to
         `parts`. Two instruments of one kind are one object: the masks do not tell them apart.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.kit import archive, records, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

SIZE = (1920, 1080)
SOURCE_FPS = 25.0
FRAME_NUMBERS = (1, 25, 50, 75, 100, 125)
NAMES = (
    "grasping forceps",
    "ligasure",
    "dissecting and grasping forceps",
    "electric hook",
    "uterus",
)
SHAFT, MANIPULATOR = 1, 3  # values of parts; the manipulator is what has the jaws
GREY = {  # value: (class, part)
    0: (0, 0),
    20: (1, MANIPULATOR),
    40: (1, SHAFT),
    60: (2, MANIPULATOR),
    80: (2, SHAFT),
    100: (3, MANIPULATOR),
    120: (3, SHAFT),
    140: (4, MANIPULATOR),
    160: (4, SHAFT),
    180: (5, 0),
}
CLIPS = {"train": 170, "val": 57, "test": 73}


class Builder(MaskBuilder):
    """AutoLaparo task 3: laparoscopic hysterectomy, 300 clips of six frames."""

    name = "autolaparo"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*.txt", "*.md", "*.csv", "*.xlsx")
    CATEGORIES = {name: name != "uterus" for name in NAMES}
    LICENCE = "CC BY-NC-SA 4.0"
    CITATION = "Wang et al., AutoLaparo, MICCAI 2022, arXiv:2208.02049."

    def extra_features(self):
        return {"parts": records.parts_feature()}

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        clips: dict[str, list[Path]] = defaultdict(list)
        for path in sorted((root / "imgs").glob("*.jpg")):
            found = re.fullmatch(r"(\d{3})(\d{3})", path.stem)
            if not found:
                raise ArchiveError(f"{path}: expected a name like 001025.jpg (clip, frame).")
            if found[1] not in table:
                raise ArchiveError(f"{path}: splits/official.txt names no clip {found[1]}.")
            clips[found[1]].append(path)
        return [_video(root, clip, table[clip], paths) for clip, paths in clips.items()]

    def check(self, root, videos, report):
        frames = [frame for video in videos for frame in video.frames]
        report.compare("frames of the whole set", 1800, len(frames), sure=True)
        for split, expected in CLIPS.items():
            of_split = [video for video in videos if video.split == split]
            report.compare(f"clips in {split}", expected, len(of_split), sure=True)
            count = sum(len(video.frames) for video in of_split)
            report.compare(f"frames in {split}", 6 * expected, count, sure=True)
        for video in videos:
            numbers = tuple(frame.note for frame in video.frames)
            if numbers != FRAME_NUMBERS:
                report.note("layout", f"clip {video.video_id}", FRAME_NUMBERS, numbers)
        sizes.compare(report, root, "size", (f.image for f in frames), [SIZE], sure=True)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        grey = archive.grey_labels(path)
        instances = archive.look_up(grey, {value: kind for value, (kind, _) in GREY.items()}, path)
        parts = archive.look_up(grey, {value: part for value, (_, part) in GREY.items()}, path)
        small = archive.shrink_labels(parts.astype(np.uint8), self.side)
        extra = {"parts": archive.encode_labels(small)}
        return FrameTruth(instances, dict(enumerate(NAMES, 1)), extra)


def _video(root: Path, clip: str, split: str, paths: list[Path]) -> Video:
    frames = []
    for path in paths:
        number = int(path.stem[3:])
        names = (path, root / "masks" / f"{path.stem}.png")
        image, mask = (p.relative_to(root).as_posix() for p in names)
        time_s = float(number // SOURCE_FPS)
        frames.append(Frame(image, path.stem, (mask,), time_s=time_s, note=number))
    return Video(clip, split, tuple(frames), "hysterectomy", f"autolaparo_{clip}", fps=1.0)
