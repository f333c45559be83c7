"""What a builder found in an archive, before any picture is opened.

Path:    folder of the user's -> [archive] -> builder -> records
Axes:    images [H, W, 3] uint8 RGB; label maps [H, W] integers.
Units:   time_s in seconds of the source video; sizes as (width, height) in pixels.
Errors:  ArchiveError and its kinds; each names the file, what was expected and what was found.
"""

import contextlib
import dataclasses
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image


class ArchiveError(ValueError):
    """The folder is not the archive that the builder expects."""


class CorruptImage(ArchiveError):
    """An image that cannot be decoded to its end."""


class LabelError(ArchiveError):
    """A label value, class name or size that the data set should not contain."""


# What Pillow raises on damaged bytes; a spoilt header may claim any size.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_STORED = ("JPEG", "MPO", "PNG", "TIFF", "BMP", "WEBP")  # what OpenCV decodes in training


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame to be: where its picture and its masks are. Paths are relative to the archive."""

    image: str  # an image file, or the video file that the frame is cut from
    source: str  # id in the archive, kept in the record
    labels: tuple[str, ...] = ()  # files that hold its masks
    is_annotated: bool = True
    time_s: float = 0.0
    note: Any = None  # whatever the builder needs again; must pickle


@dataclasses.dataclass(frozen=True)
class Video:
    """A video, or a single image (one frame, fps 0)."""

    video_id: str
    split: str
    frames: tuple[Frame, ...]
    procedure: str
    patient: str
    fps: float = 0.0
    note: Any = None


@dataclasses.dataclass
class FrameTruth:
    """Masks of one frame: `objects` names the values of `instances` (0 and ignore apart)."""

    instances: np.ndarray
    objects: dict[int, str]
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except _UNREADABLE as error:
        raise CorruptImage(f"{path}: not an image that can be read ({error}).") from error


def image_sizes(root: Path, videos: Sequence[Video]) -> list[tuple[int, int]]:
    """Distinct sizes of all frames, from their headers; unreadable files are left to building."""
    found = set()
    for name in sorted({frame.image for video in videos for frame in video.frames}):
        with contextlib.suppress(CorruptImage):
            found.add(size_of(root / name))
    return sorted(found)


def check_image(data: bytes, path: Path | str) -> tuple[int, int]:
    """Decodes to the last row, which OpenCV does not insist on; returns (width, height)."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            size, kind = picture.size, picture.format
    except _UNREADABLE as error:
        raise CorruptImage(f"{path}: the image is damaged ({error}).") from error
    if kind not in _STORED:
        raise CorruptImage(f"{path}: expected one of {', '.join(_STORED)}, found {kind}.")
    return size


def read_labels(path: Path) -> np.ndarray:
    """A label image [H, W] or, where it is in colour, [H, W, 3] RGB.

    Palette images give their indices: OpenCV would give colours instead.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode == "RGBA" or (picture.mode == "LA"):
                picture = picture.convert(picture.mode[:-1])
            return np.array(picture).astype(np.uint8) if picture.mode == "1" else np.array(picture)
    except _UNREADABLE as error:
        raise CorruptImage(f"{path}: the mask is damaged ({error}).") from error


def grey_labels(path: Path) -> np.ndarray:
    """A label image that means one number per pixel, however many equal channels it has."""
    labels = read_labels(path)
    if labels.ndim == 3:
        if (labels != labels[..., :1]).any():
            raise LabelError(f"{path}: expected a grey label image, found colours.")
        labels = labels[..., 0]
    return labels


def look_up(labels: np.ndarray, table: dict[int, int], path: Path | str) -> np.ndarray:
    """Renames label values; a value that the table lacks is an error that lists it."""
    found = np.unique(labels)
    unknown = [int(value) for value in found if int(value) not in table]
    if unknown:
        raise LabelError(
            f"{path}: unknown label value {_some(unknown)}; expected {_some(sorted(table))}."
        )
    result = np.zeros(labels.shape, np.uint16)
    for value in found:
        if table[int(value)]:
            result[labels == value] = table[int(value)]
    return result


def look_up_colours(
    labels: np.ndarray, table: dict[tuple[int, int, int], int], path: Path | str
) -> np.ndarray:
    """As `look_up`, from RGB triplets."""
    if labels.ndim != 3:
        raise LabelError(f"{path}: expected a colour label image, found shape {labels.shape}.")
    packed = labels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    names = {(r << 16) + (g << 8) + b: value for (r, g, b), value in table.items()}
    unknown = [int(value) for value in np.unique(packed) if int(value) not in names]
    if unknown:
        colours = [(value >> 16, value >> 8 & 255, value & 255) for value in unknown]
        raise LabelError(f"{path}: unknown label colour {_some(colours)}.")
    return look_up(packed, names, path)


_REACH = 110  # a quarter of the way from black to white
_BLOCK = 9  # pixels; more than a JPEG block of 8 can blur


def lossy_labels(path: Path, table: dict[tuple[int, int, int], int]) -> np.ndarray:
    """[H, W] uint8 from a label image that was saved as JPEG: every pixel takes the nearest colour.

    Compression blurs borders between colours, so pixels that lie between two are expected there.
    An area of `_BLOCK` x `_BLOCK` pixels, each farther than `_REACH` from every colour of the
    table, is no border: LabelError. Grey images count as colours of three equal channels.
    """
    labels = _colours(path)
    brightest = int(labels.max(initial=0))
    if (255, 255, 255) in table and brightest == 1:  # nearest to black; no compression does that
        raise LabelError(f"{path}: unknown label value 1; expected black and white, 0 and 255.")
    nearest = np.full(labels.shape[:2], 3 * 255**2, np.int32)  # squared
    result = np.zeros(labels.shape[:2], np.uint8)
    for colour, value in table.items():
        squares = (np.arange(256, dtype=np.int32)[:, None] - colour) ** 2  # [256, 3]
        distance = sum(squares[:, c].take(labels[..., c]) for c in range(3))
        np.copyto(result, np.uint8(value), where=distance < nearest)
        nearest = np.minimum(nearest, distance)
    far = (nearest > _REACH**2).astype(np.uint8)
    block = cv2.erode(far, np.ones((_BLOCK, _BLOCK), np.uint8), borderValue=0)
    if block.any():
        y, x = np.argwhere(block)[0]
        raise LabelError(
            f"{path}: unknown label colour {tuple(labels[y, x].tolist())} around x {x}, y {y}; "
            f"expected {_some(list(table))}."
        )
    return result


def _colours(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 as the picture looks: palettes and single bits become their colours."""
    labels = read_labels(path)
    if labels.dtype != np.uint8:
        raise LabelError(f"{path}: expected 8 bits a channel, found {labels.dtype}.")
    with Image.open(path) as picture:
        if picture.mode not in ("L", "LA", "RGB", "RGBA"):
            return np.array(picture.convert("RGB"))
    return np.repeat(labels[..., None], 3, -1) if labels.ndim == 2 else labels


def binary_labels(path: Path) -> np.ndarray:
    """[H, W] uint8, 1 where a black and white mask is white; JPEG noise is expected."""
    return lossy_labels(path, {(0, 0, 0): 0, (255, 255, 255): 1})


def shrink(data: bytes, side: int | None) -> bytes:
    """The encoded image with its shorter side at most `side` pixels (JPEG quality 95), or as is."""
    if side is None:
        return data
    # As stored: an EXIF turn would part the frame from its mask, which has none.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise CorruptImage("an image passed its check but OpenCV cannot decode it.")
    size = shrunk_size(image.shape[1], image.shape[0], side)
    if size == (image.shape[1], image.shape[0]):
        return data
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def shrunk_size(width: int, height: int, side: int | None) -> tuple[int, int]:
    """(width, height) after `shrink`."""
    shorter = min(width, height)
    if side is None or shorter <= side:
        return width, height
    return max(1, round(width * side / shorter)), max(1, round(height * side / shorter))


def shrink_labels(labels: np.ndarray, side: int | None) -> np.ndarray:
    """Nearest neighbour, so that no value is invented."""
    height, width = labels.shape
    size = shrunk_size(width, height, side)
    if size == (width, height):
        return labels
    return cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)


def encode_labels(labels: np.ndarray) -> bytes:
    """PNG, grey, 8 or 16 bits as the array has.

    Without PNG's row filters, which help photographs: label maps decode several times faster.
    """
    flags = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    return cv2.imencode(".png", labels, flags)[1].tobytes()


def _some(values: Sequence, limit: int = 8) -> str:
    shown = ", ".join(str(value) for value in values[:limit])
    return shown + (f" and {len(values) - limit} more" if len(values) > limit else "")
