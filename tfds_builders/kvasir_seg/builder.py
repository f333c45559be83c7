"""TFDS builder for Kvasir-SEG.

Path:    images, masks -> [kvasir_seg] -> single images with masks
Axes:    masks [H, W] uint8: 0 background, 1 polyp.
Units:   pixels.
Errors:  ArchiveError that names the file.
Source:  Jha et al., MMM 2020, arXiv:1911.07069; split by the authors for MediaEval 2020.
Differs: masks are JPEG and are cut at 127; the boxes are compared, not stored.
"""

from pathlib import Path
from typing import Any

import numpy as np

from tfds_builders.kit import archive, json_files, splits
from tfds_builders.kit.archive import ArchiveError, Frame, FrameTruth, LabelError, Video
from tfds_builders.kit.builder import MaskBuilder, instructions

BOXES = "kavsir_bboxes.json"  # spelt so in the archive
IMAGES = 1000
WRONG_BOXES = 10  # images, by a public comparison of boxes and masks
_AGREE = 0.9  # IoU of the rectangle around all boxes with the one around the mask


class Builder(MaskBuilder):
    """Kvasir-SEG: 1,000 images of polyps."""

    name = "kvasir_seg"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = (BOXES, "*.txt", "README*")
    CATEGORIES = {"polyp": False}
    IS_VIDEO = False
    RECORDS_PER_SHARD = 256
    LICENCE = "Research and education; ask for anything commercial."

    def find(self, root: Path) -> list[Video]:
        split = splits.official(self.FOLDER)
        videos = []
        for path in sorted((root / "images").glob("*.jpg")):
            if path.stem not in split:
                raise ArchiveError(f"{path}: no split names this image; is it of Kvasir-SEG?")
            frame = Frame(f"images/{path.name}", path.stem, (f"masks/{path.name}",))
            videos.append(Video(path.stem, split[path.stem], (frame,), "colonoscopy", path.stem))
        return videos

    def check(self, root, videos, report):
        report.compare("images", IMAGES, len(videos), sure=True)
        names = {video.video_id for video in videos}
        for path in sorted((root / "masks").glob("*.jpg")):
            if path.stem not in names:
                report.error("layout", f"masks/{path.name}", "an image of this name", "none")
        if not (root / BOXES).exists():
            report.note("missing", BOXES, "boxes to compare with the masks", "no such file")
        elif not report.errors:
            self._check_boxes(root, videos, report)

    @staticmethod
    def _check_boxes(root: Path, videos, report) -> None:
        entries = _boxes(root / BOXES)
        names = {video.video_id for video in videos}
        report.compare("images without boxes", 0, len(names - entries.keys()), sure=False)
        report.compare("boxes without an image", 0, len(entries.keys() - names), sure=False)
        wrong = []
        for video in videos:
            entry, mask = entries.get(video.video_id), root / video.frames[0].labels[0]
            if entry is None or not mask.exists():
                continue
            if (entry.get("width"), entry.get("height")) != archive.size_of(mask):
                found = f"{entry.get('width')}x{entry.get('height')}"
                report.note("size", f"{BOXES}, {video.video_id}", archive.size_of(mask), found)
            try:
                agree = _overlap(_extent(entry), _mask_extent(archive.binary_labels(mask)))
            except LabelError:  # found again, and named, when the mask is read to be stored
                continue
            except (KeyError, TypeError, ValueError) as error:
                report.error("layout", f"{BOXES}, {video.video_id}", "bbox: xmin...", repr(error))
                continue
            if agree < _AGREE:
                wrong.append(video.video_id)
        what = f"images whose boxes differ from the mask (IoU below {_AGREE})"
        report.compare(what, WRONG_BOXES, len(wrong), sure=False)

    def truth(self, root: Path, video: Video, frame: Frame, opened: Any) -> FrameTruth:
        return FrameTruth(archive.binary_labels(root / frame.labels[0]), {1: "polyp"})


def _boxes(path: Path) -> dict[str, Any]:
    """{image: {width, height, bbox: [{label, xmin, ymin, xmax, ymax}]}}."""
    value = json_files.read(path)
    if not all(isinstance(v, dict) for v in value.values()):
        raise ArchiveError(f"{path}: expected an object with one object per image.")
    return value


def _extent(entry: dict[str, Any]) -> np.ndarray:
    """x0, y0, x1, y1 around all boxes of an image; none: an empty rectangle."""
    names = ("xmin", "ymin", "xmax", "ymax")
    boxes = np.array([[float(box[name]) for name in names] for box in entry["bbox"]])
    if not len(boxes):
        return np.zeros(4)
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _mask_extent(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    if not len(y):
        return np.zeros(4)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two rectangles; two empty ones agree."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(sides.clip(0)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common
    return common / union if union else 1.0
