"""A folder of JPEG or PNG frames, or one image, as a frame source.

Path:    [image_files] -> frames -> stream
Axes:    uint8 (H, W, 3) RGB.
Units:   frame_index is the place in the sorted folder, from 0.
Errors:  ValueError for a folder without images or with two files of one number; FrameReadError
         for a file that cannot be decoded or has another size than the first.
Source:  SAM 2, arXiv:2408.00714, reads a folder of JPEGs named by integers.
Differs: PNG too, and names that are not integers (natural order); EXIF orientation is applied.
"""

import logging
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from surgjax.inference.frame_source import FrameCache, FrameReadError, FrameSource

FOLDER_SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_SUFFIXES = (*FOLDER_SUFFIXES, ".bmp", ".tif", ".tiff", ".webp")


def _natural_key(stem: str) -> list[tuple[int, int, str]]:
    """Digits compare as numbers: frame2 before frame10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", stem)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts]


def sort_frames(paths: Sequence[Path]) -> list[Path]:
    """Orders frames by integer stem if every stem is an integer, else naturally.

    Two files that claim one place (1.jpg and 001.jpg, or a.jpg and a.png) are refused: whichever
    came first would shift every frame index after it.
    """
    integers = all(re.fullmatch(r"[0-9]+", path.stem) for path in paths)
    keys = {
        path: [(0, int(path.stem), "")] if integers else _natural_key(path.stem) for path in paths
    }
    ordered = sorted(paths, key=lambda path: (keys[path], path.name))
    for first, second in zip(ordered, ordered[1:], strict=False):
        if keys[first] == keys[second] and (integers or first.stem == second.stem):
            raise ValueError(
                f"folder {first.parent}: {first.name} and {second.name} claim the same frame; "
                "remove one of them."
            )
    return ordered


def read_image(path: Path) -> np.ndarray:
    """One image file as uint8 RGB, turned upright. Raises ValueError or OSError."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"pixel mode {image.mode!r}; frames are expected in 8 bits")
            try:
                upright = ImageOps.exif_transpose(image)
            except (struct.error, TypeError, KeyError) as error:  # not what Pillow means to raise
                raise ValueError(f"its EXIF data is damaged ({error})") from None
            return np.array((upright or image).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError("it is not an image, or it is damaged") from None
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    except SyntaxError as error:  # Pillow's word for some broken PNG files
        raise ValueError(str(error)) from None


class ImageFilesSource(FrameSource):
    """Frames in files, one each; every file has the size of the first."""

    def __init__(self, paths: Sequence[Path], name: str):
        self.path = name
        self._paths = list(paths)
        self.num_frames = len(self._paths)
        self._cache: FrameCache | None = None
        first = self._read(0)
        self.height, self.width = first.shape[:2]
        self._cache = FrameCache(first.nbytes)
        self._cache.put(0, first)

    def _read(self, frame_index: int) -> np.ndarray:
        path = self._paths[frame_index]
        try:
            return read_image(path)
        except (ValueError, OSError) as error:
            raise FrameReadError(frame_index, str(path), str(error)) from error

    def __getitem__(self, frame_index: int) -> np.ndarray:
        frame_index = self._check_index(frame_index)
        assert self._cache is not None
        frame = self._cache.get(frame_index)
        if frame is not None:
            return frame
        frame = self._read(frame_index)
        if frame.shape[:2] != (self.height, self.width):
            raise FrameReadError(
                frame_index,
                str(self._paths[frame_index]),
                f"it is {frame.shape[1]}x{frame.shape[0]} pixels (width x height), "
                f"the first frame is {self.width}x{self.height}",
            )
        return self._cache.put(frame_index, frame)


def open_folder(folder: Path) -> ImageFilesSource:
    """A folder of JPEG/PNG frames; other files and hidden ones are not frames."""
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in FOLDER_SUFFIXES and not path.name.startswith(".")
    ]
    if not paths:
        raise ValueError(
            f"folder {folder} has no frames: {', '.join(FOLDER_SUFFIXES)} files expected, "
            f"{sum(1 for _ in folder.iterdir())} other entries found."
        )
    kinds = {"png" if path.suffix.lower() == ".png" else "jpeg" for path in paths}
    if len(kinds) > 1:
        logging.getLogger(__name__).warning(
            "folder %s mixes JPEG and PNG files; all %d are taken as frames. Keep masks elsewhere.",
            folder,
            len(paths),
        )
    return ImageFilesSource(sort_frames(paths), str(folder))


def open_image(path: Path) -> ImageFilesSource:
    """A single image: a video of one frame."""
    return ImageFilesSource([path], str(path))
