"""TFDS builder for CVC-ClinicDB.

Path:    Original, Ground Truth -> [cvc_clinicdb] -> video frames with masks
Axes:    masks [H, W] uint8: 0 background, 1 polyp.
Units:   frames were picked by hand from the videos; no time is known, so fps and time_s are 0.
Errors:  ArchiveError that names the file.
Source:  Bernal et al., Computerized Medical Imaging and Graphics 43 (2015); the table of frames and
         sequences is the one of the data set's page.
Differs: TIFF frames are stored byte by byte: OpenCV, which the pipeline decodes with, reads them.
"""

from pathlib import Path
from typing import Any

from tfds_builders.kit import archive, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

# The last frame of each sequence; frames count from 1.
LAST_FRAMES = (25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317, 342, 363, 383,
               408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612)  # fmt: skip
_PLACES = (".", "TIF", "PNG")  # the official archive; a copy that is common at Kaggle
_SUFFIXES = (".tif", ".tiff", ".png")


class Builder(MaskBuilder):
    """CVC-ClinicDB: 612 frames of 29 sequences with a polyp."""

    name = "cvc_clinicdb"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*.csv", "*.txt", "README*")
    CATEGORIES = {"polyp": False}
    LICENCE = "Research and education only."

    def find(self, root: Path) -> list[Video]:
        split, place = splits.official(self.FOLDER), _place(root)
        frames: dict[int, list[Frame]] = {}
        for number, path in _numbered(root / place / "Original"):
            name = path.relative_to(root).as_posix()
            mask = (root / place / "Ground Truth" / path.name).relative_to(root).as_posix()
            frames.setdefault(sequence_of(number, path), []).append(Frame(name, path.stem, (mask,)))
        return [
            Video(name := f"sequence{k:02d}", split[name], tuple(frames[k]), "colonoscopy", name)
            for k in sorted(frames)
        ]

    def check(self, root, videos, report):
        report.compare("frames", LAST_FRAMES[-1], sum(len(v.frames) for v in videos), sure=True)
        report.compare("sequences", len(LAST_FRAMES), len(videos), sure=True)
        starts = (0, *LAST_FRAMES[:-1])
        for k, (start, last) in enumerate(zip(starts, LAST_FRAMES, strict=True), 1):
            (count,) = {len(v.frames) for v in videos if v.video_id == f"sequence{k:02d}"} or {0}
            if count not in (0, last - start):
                report.compare(f"frames of sequence {k}", last - start, count, sure=True)
        sizes = archive.image_sizes(root, videos)
        report.compare("image sizes", [(384, 288)], sizes, sure=False, kind="size")
        names = {Path(frame.labels[0]).name for video in videos for frame in video.frames}
        for path in sorted((root / _place(root) / "Ground Truth").iterdir()):
            if path.suffix.lower() in _SUFFIXES and path.name not in names:
                report.error("layout", path.relative_to(root), "a frame of this name", "none")

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        return FrameTruth(archive.binary_labels(root / frame.labels[0]), {1: "polyp"})


def sequence_of(number: int, path: Path | str) -> int:
    """The sequence, from 1, that a frame belongs to."""
    for sequence, last in enumerate(LAST_FRAMES, 1):
        if 1 <= number <= last:
            return sequence
    raise ArchiveError(f"{path}: expected a frame of 1 to {LAST_FRAMES[-1]}, found {number}.")


def _place(root: Path) -> str:
    """The folder that holds both `Original` and `Ground Truth`."""
    for place in _PLACES:
        if (root / place / "Original").is_dir() and (root / place / "Ground Truth").is_dir():
            return place
    raise ArchiveError(f"{root}: expected the folders 'Original' and 'Ground Truth', found none.")


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    found = []
    for path in folder.iterdir():
        if path.suffix.lower() not in _SUFFIXES:
            continue
        if not path.stem.isdecimal():
            raise ArchiveError(f"{path}: expected a number as name, found {path.stem!r}.")
        found.append((int(path.stem), path))
    return sorted(found)
