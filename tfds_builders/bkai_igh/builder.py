"""TFDS builder for BKAI-IGH NeoPolyp (the "small" set of the Kaggle competition).

Path:    train, train_gt, test -> [bkai_igh] -> single images with masks
Axes:    masks [H, W] uint8: 0 background, 1 neoplastic, 2 non-neoplastic.
Units:   pixels.
Errors:  ArchiveError that names the file.
Source:  Ngoc Lan et al., NeoUNet, ISVC 2021, arXiv:2107.05023; the competition's data page.
Differs: masks are JPEG in red and green: every pixel takes the nearest of black, red and green.
         The images of `test` have no public masks; they are stored as not annotated.
"""

from pathlib import Path
from typing import Any

from tfds_builders.kit import archive
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

COUNTS = {"train": 1000, "test": 200}
COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2}
VAL_EVERY = 10  # every tenth image by name is `val_tenth`
_SUFFIXES = (".jpeg", ".jpg")


class Builder(MaskBuilder):
    """BKAI-IGH NeoPolyp: 1,000 images with polyps of two kinds, 200 without public masks."""

    name = "bkai_igh"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*.csv", "*.txt", "*.zip", "README*")
    CATEGORIES = {"neoplastic polyp": False, "non-neoplastic polyp": False}
    IS_VIDEO = False
    RECORDS_PER_SHARD = 256
    LICENCE = "Rules of the Kaggle competition."

    def find(self, root: Path) -> list[Video]:
        masks = {path.stem: path for path in _images(root, "train_gt")}
        videos = []
        for split in COUNTS:
            for path in _images(root, split):
                if split == "train" and path.stem not in masks:
                    raise ArchiveError(f"{path}: expected a mask of this name in train_gt.")
                labels = (_relative(masks.pop(path.stem), root),) if split == "train" else ()
                image = _relative(path, root)
                frame = Frame(image, path.stem, labels, is_annotated=split == "train")
                videos.append(Video(path.stem, split, (frame,), "colonoscopy", path.stem))
        if masks:
            first = next(iter(masks.values()))
            raise ArchiveError(f"{first}: expected an image of this name in train.")
        return videos

    def named_splits(self, videos):
        """No list of validation images is official: every tenth by name, the others train."""
        names = sorted(video.video_id for video in videos if video.split == "train")
        return {
            "tenth": {name: "train" if k % VAL_EVERY else "val" for k, name in enumerate(names)}
        }

    def check(self, root, videos, report):
        for split, count in COUNTS.items():
            found = sum(video.split == split for video in videos)
            report.compare(f"images of {split}", count, found, sure=True)
        report.fact("image sizes", archive.image_sizes(root, videos))

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        polyps = archive.lossy_labels(root / frame.labels[0], COLOURS)
        return FrameTruth(polyps, dict(enumerate(self.CATEGORIES, 1)))


def _images(root: Path, name: str) -> list[Path]:
    """Images of a folder, which Kaggle packs into a folder of the same name."""
    for folder in (root / name / name, root / name):
        found = sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES)
        if found:
            return found
    return []


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
