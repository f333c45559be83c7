"""TFDS builder for PolypGen.

Path:    PolypGen2021_MultiCenterData_v3 -> [polypgen] -> single images, or video frames, with masks
Axes:    masks [H, W] uint8: 0 background, 1 polyp.
Units:   pixels; the archive tells no time, so fps and time_s are 0.
Errors:  ArchiveError that names the file.
Source:  Ali et al., Scientific Data 10:75 (2023), arXiv:2106.04463; file counts and names from
         public audits of the archive.
Differs: masks are JPEG and are cut at 127; sequences without polyps count as annotated, empty.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.kit import archive, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, Video
from tfds_builders.kit.builder import MaskBuilder, SurgicalConfig, instructions
from tfds_builders.kit.visible import by_numbers

CENTRES = {"C1": 256, "C2": 301, "C3": 457, "C4": 227, "C5": 208, "C6": 88}  # images
SEQUENCES = 23  # with polyps, and as many without
POSITIVE_FRAMES, NEGATIVE_FRAMES = 2225, 4275

_NOT_READ = (
    "codes/*",
    "dataDetails_PolypGen_SingleFrames/*",
    "imagesAll_positive/*",
    "*.zip",
    "*.txt",  # boxes, made of the masks; some lie in the masks' own folders
    "*.md",
    "*.html",
    "*.DS_Store",
    "folderStructure",
    "*/bbox_image*",
)


@dataclasses.dataclass(kw_only=True)
class PolypGenConfig(SurgicalConfig):
    """`sequences` False: the single images of the six centres."""

    sequences: bool


class Builder(MaskBuilder):
    """PolypGen: polyps from six centres, single images and sequences."""

    name = "polypgen"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    CATEGORIES = {"polyp": False}
    LICENCE = "CC BY 4.0"
    BUILDER_CONFIGS = [
        PolypGenConfig(name="images", sequences=False, description="1,537 single images."),
        PolypGenConfig(name="sequences", sequences=True, description="46 sequences."),
    ]

    @property
    def _sequences(self) -> bool:
        config = self.builder_config
        return isinstance(config, PolypGenConfig) and config.sequences

    @property
    def IS_VIDEO(self) -> bool:  # noqa: N802  (a class constant elsewhere)
        return self._sequences

    @property
    def RECORDS_PER_SHARD(self) -> int:  # noqa: N802
        return 1 if self._sequences else 256

    @property
    def KNOWN_FILES(self) -> tuple[str, ...]:  # noqa: N802
        return (*_NOT_READ, "data_C?/*" if self._sequences else "sequenceData/*")

    def named_splits(self, videos):
        return {} if self._sequences else super().named_splits(videos)

    def find(self, root: Path) -> list[Video]:
        return _find_sequences(root) if self._sequences else _find_images(root)

    def check(self, root, videos, report):
        if self._sequences:
            positive = [video for video in videos if not video.video_id.endswith("_neg")]
            negative = [video for video in videos if video.video_id.endswith("_neg")]
            for name, found, frames in (
                ("positive", positive, POSITIVE_FRAMES),
                ("negative", negative, NEGATIVE_FRAMES),
            ):
                report.compare(f"{name} sequences", SEQUENCES, len(found), sure=True)
                count = sum(len(video.frames) for video in found)
                report.compare(f"frames of {name} sequences", frames, count, sure=True)
        else:
            for centre, count in CENTRES.items():
                found = sum(video.patient == centre for video in videos)
                report.compare(f"images of {centre}", count, found, sure=True)
        pattern = "sequenceData/positive/*/masks_*" if self._sequences else "data_C?/masks_C?"
        used = {name for video in videos for frame in video.frames for name in frame.labels}
        for path in sorted(root.glob(f"{pattern}/*.jpg")):
            name = path.relative_to(root).as_posix()
            if name not in used:
                report.error("layout", name, "an image of this name", "none")

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        if frame.labels:
            polyps = archive.binary_labels(root / frame.labels[0])
        else:  # a sequence that was put together of frames without polyps
            width, height = archive.size_of(root / frame.image)
            polyps = np.zeros((height, width), np.uint8)
        return FrameTruth(polyps, {1: "polyp"})


def _find_images(root: Path) -> list[Video]:
    split = splits.official(Path(__file__).parent)
    videos = []
    for centre in CENTRES:
        for path in _images(root / f"data_{centre}" / f"images_{centre}"):
            frame = _with_mask(root, path, f"data_{centre}/masks_{centre}")
            name = f"{centre}_{path.stem}"
            videos.append(Video(name, split[centre], (frame,), "colonoscopy", centre))
    return videos


def _find_sequences(root: Path) -> list[Video]:
    split = splits.official(Path(__file__).parent)
    videos = []
    for folder in sorted((root / "sequenceData").glob("*/seq*"), key=by_numbers):
        name, positive = folder.name, folder.parent.name == "positive"
        if name not in split or positive == name.endswith("_neg"):
            expected = f"positive/seq1..{SEQUENCES} or negativeOnly/seq1_neg..seq{SEQUENCES}_neg"
            raise ArchiveError(f"{folder}: expected {expected}.")
        if positive:
            masks = (folder / f"masks_{name}").relative_to(root).as_posix()
            files = _images(folder / f"images_{name}")
            frames = tuple(_with_mask(root, path, masks) for path in files)
        else:
            frames = tuple(
                Frame(path.relative_to(root).as_posix(), path.stem) for path in _images(folder)
            )
        videos.append(Video(name, split[name], frames, "colonoscopy", name))
    return videos


def _with_mask(root: Path, path: Path, masks: str) -> Frame:
    """`X.jpg` belongs to `X_mask.jpg`; one image of C3 carries a stray underscore at its end."""
    mask = f"{masks}/{path.stem}_mask.jpg"
    if path.stem.endswith("_") and not (root / mask).exists():
        mask = f"{masks}/{path.stem[:-1]}_mask.jpg"
    return Frame(path.relative_to(root).as_posix(), path.stem, (mask,))


def _images(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"), key=by_numbers)
