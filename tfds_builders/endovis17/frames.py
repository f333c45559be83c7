"""Left frames of the EndoVis 2017 archives and their usable area.

Path:    instrument_dataset_N/left_frames -> [frames] -> endovis17, ref_endovis17
Axes:    images [1080, 1920, 3] or label maps [1080, 1920] -> [1024, 1280, ...].
Units:   pixels; frame numbers as in the file names, 2 a second.
Errors:  ArchiveError for a frame that is there twice.
Source:  the challenge's data page: crop 1280x1024 from pixel (320, 28).
Differs: a cropped frame is encoded as PNG again; frames that are cropped already stay as they are.
"""

import re
from pathlib import Path

import cv2
import numpy as np

from tfds_builders.kit import archive
from tfds_builders.kit.archive import ArchiveError, CorruptImage

FULL_SIZE = (1920, 1080)  # width, height of a frame as released
USABLE_XYXY = (320, 28, 1600, 1052)  # end exclusive; the rest is black
SIZE = (1280, 1024)
FPS = 2.0
FIRST_TEST_FRAME = 225  # of the sequences 1 to 8, which train up to there
_SEQUENCE = re.compile(r"instrument_dataset_(\d+)$")
_FRAME = re.compile(r"frame(\d+)\.png$")


def crop(pixels: np.ndarray) -> np.ndarray:
    """The usable area of a full frame or mask [H, W, ...]; any other size is returned as it is."""
    if pixels.shape[1::-1] != FULL_SIZE:
        return pixels
    left, top, right, bottom = USABLE_XYXY
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def cropped_png(data: bytes, path: Path) -> bytes:
    """An encoded frame as PNG of its usable area; what is not a full frame stays byte by byte."""
    try:
        if archive.check_image(data, path) != FULL_SIZE:
            return data
    except CorruptImage:
        return data  # whoever decodes it next reports it
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise CorruptImage(f"{path}: passed its check but OpenCV cannot decode it.")
    return cv2.imencode(".png", crop(image))[1].tobytes()


def left_frames(root: Path) -> dict[int, dict[int, Path]]:
    """{sequence: {frame: path}}, both ascending, wherever below `root` the archives were unpacked.

    Training and test frames of a sequence have different numbers and end up together.
    """
    found: dict[int, dict[int, Path]] = {}
    for folder in sorted(root.rglob("left_frames")):
        sequence = _SEQUENCE.match(folder.parent.name)
        if not sequence or "__MACOSX" in folder.parts:
            continue
        frames = found.setdefault(int(sequence[1]), {})
        for path in sorted(folder.iterdir()):
            frame = _FRAME.match(path.name)
            if frame and frames.setdefault(int(frame[1]), path) != path:
                other = frames[int(frame[1])].relative_to(root)
                raise ArchiveError(
                    f"{root}: one frame in two places: {other} and {path.relative_to(root)}."
                )
    return {number: dict(sorted(found[number].items())) for number in sorted(found)}
