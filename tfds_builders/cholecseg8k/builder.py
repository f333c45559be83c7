"""TFDS builder of CholecSeg8k.

Path:    videoNN/videoNN_NNNNN/frame_*_endo*.png -> [cholecseg8k] -> video frames with masks
Axes:    masks [H, W] uint8; values are classes, 255 ignore.
Units:   25 frames per second, as Cholec80; time_s counts from the start of the operation.
Errors:  ArchiveError for a video that splits/official.txt lacks; LabelError for an unknown code.
Source:  Hong et al. 2020, arXiv:2012.12453; grey codes as the loaders of SASVi and torch-em.
Differs: value k of a mask is class k of the set. Class 0, the black background outside the scope's
         circle, is no object here. Pieces of one class are one object: the set has no instances.
"""

import re
from pathlib import Path
from typing import Any

from tfds_builders.kit import archive, sizes, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

FPS = 25.0
SIZE = (854, 480)
FRAMES_PER_CLIP = 80
IGNORE = 255

NAMES = {  # class id: name; 0 is the black background
    1: "abdominal wall",
    2: "liver",
    3: "gastrointestinal tract",
    4: "fat",
    5: "grasper",
    6: "connective tissue",
    7: "blood",
    8: "cystic duct",
    9: "l-hook electrocautery",
    10: "gallbladder",
    11: "hepatic vein",
    12: "liver ligament",
}
INSTRUMENTS = ("grasper", "l-hook electrocautery")
GREY_CODES = {  # of *_watershed_mask.png: class id; 0 and 255 mark the unlabelled border
    50: 0,
    11: 1,
    21: 2,
    13: 3,
    12: 4,
    31: 5,
    23: 6,
    24: 7,
    25: 8,
    32: 9,
    22: 10,
    33: 11,
    5: 12,
    0: IGNORE,
    255: IGNORE,
}


class Builder(MaskBuilder):
    """CholecSeg8k: semantic labels of laparoscopic cholecystectomy, 25 frames a second."""

    name = "cholecseg8k"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*_endo_mask.png", "*_endo_color_mask.png", "*.txt", "*.md", "*.csv")
    CATEGORIES = {name: name in INSTRUMENTS for name in NAMES.values()}
    LICENCE = "CC BY-NC-SA 4.0"
    CITATION = "Hong et al., CholecSeg8k, arXiv:2012.12453."

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        videos = []
        for folder in sorted(p for p in root.glob("video*/video*_*") if p.is_dir()):
            name = folder.parent.name
            if name not in table:
                raise ArchiveError(f"{folder}: splits/official.txt names no {name}.")
            frames = sorted(folder.glob("frame_*_endo.png"), key=_number)
            videos.append(
                Video(
                    folder.name,
                    table[name],
                    tuple(_frame(root, path) for path in frames),
                    procedure="cholecystectomy",
                    patient=splits.cholec80_patient(int(name.removeprefix("video"))),
                    fps=FPS,
                )
            )
        return videos

    def check(self, root, videos, report):
        frames = [frame for video in videos for frame in video.frames]
        report.compare("frames of the whole set", 8080, len(frames), sure=True)
        report.compare("clips", 101, len(videos), sure=True)
        report.compare("operations", 17, len({video.patient for video in videos}), sure=True)
        lengths = sorted({len(video.frames) for video in videos})
        report.compare("frames per clip", [FRAMES_PER_CLIP], lengths, sure=True)
        sizes.compare(report, root, "size", (f.image for f in frames), [SIZE], sure=True)
        for video in videos:
            numbers = [frame.note for frame in video.frames]
            if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
                report.note("layout", video.video_id, "consecutive frame numbers", numbers)

    def named_splits(self, videos):
        return splits.cholec80_global(video.patient for video in videos)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        path = root / frame.labels[0]
        return FrameTruth(archive.look_up(archive.grey_labels(path), GREY_CODES, path), NAMES)


def _number(path: Path) -> int:
    found = re.fullmatch(r"frame_(\d+)_endo\.png", path.name)
    if not found:
        raise ArchiveError(f"{path}: expected a name like frame_80_endo.png.")
    return int(found[1])


def _frame(root: Path, path: Path) -> Frame:
    number = _number(path)
    mask = path.with_name(f"frame_{number}_endo_watershed_mask.png")
    names = [p.relative_to(root).as_posix() for p in (path, mask)]
    return Frame(names[0], path.stem, (names[1],), time_s=number / FPS, note=number)
