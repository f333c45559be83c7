"""Frames of a video file, by their number.

Path:    archive -> [video_files] -> builder.open_frames
Axes:    frames are encoded JPEGs of [H, W, 3].
Units:   numbers count decoded frames from 0; fps as the container says.
Errors:  CorruptImage if the file cannot be opened, or ends before a frame that is wanted.
Differs: decoding runs once through the file: seeking costs more than it saves at 1 frame a second.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
from av.error import FFmpegError

from tfds_builders.kit.archive import CorruptImage

JPEG_QUALITY = 95


def facts(path: Path) -> tuple[float, int, tuple[int, int]]:
    """(fps, number of frames as the container claims or 0, (width, height))."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0)
            return rate, stream.frames, (stream.codec_context.width, stream.codec_context.height)
    except (FFmpegError, IndexError, OSError) as error:
        raise CorruptImage(f"{path}: not a video that can be read ({error}).") from error


def count_frames(path: Path) -> int:
    """The number of frames by decoding, where the container does not say."""
    claimed = facts(path)[1]
    if claimed:
        return claimed
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except FFmpegError as error:
        raise CorruptImage(f"{path}: the video is damaged ({error}).") from error


def jpegs(path: Path, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """(number, JPEG) of the wanted frames, which must ascend."""
    wanted = list(numbers)
    position = 0
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for number, frame in enumerate(container.decode(video=0)):
                if position == len(wanted):
                    return
                if number == wanted[position]:
                    yield number, encode(frame.to_ndarray(format="bgr24"))
                    position += 1
    except (FFmpegError, IndexError) as error:
        raise CorruptImage(f"{path}: the video is damaged ({error}).") from error
    if position < len(wanted):
        raise CorruptImage(
            f"{path}: the video ends before frame {wanted[position]}, which has a label."
        )


def encode(image_bgr) -> bytes:
    """The JPEG of a decoded frame."""
    return cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
