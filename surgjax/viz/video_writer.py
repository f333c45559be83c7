"""Writes frames to an H.264 video, one at a time.

Path:    overlay -> [video_writer] -> overlay.mp4
Axes:    frames uint8 (H, W, 3) RGB of one size.
Units:   fps in frames per second; constant, so a source of variable rate plays at its mean.
Errors:  OSError when the file cannot be written (a full disk); ValueError for a frame of another
         size, or without the encoder.
Source:  PyAV (FFmpeg, libx264).
Differs: OpenCV's writer drops H.264 frames without a word and imageio rescales odd sizes to a
         multiple of 16; here odd sizes gain one repeated row or column and nothing is rescaled.
"""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

CODEC = "libx264"


def _as_os_error(error: FFmpegError, path: Path) -> OSError:
    """PyAV's errors carry the errno of the system call; the number makes 'disk full' known."""
    return OSError(error.errno, error.strerror or str(error), str(path))


class VideoWriter:
    """An .mp4 being written; `close` completes it, `discard` removes it."""

    def __init__(self, path: str | Path, fps: float, height: int, width: int):
        if CODEC not in av.codecs_available:
            raise ValueError(f"this PyAV has no encoder {CODEC}; reinstall the package av.")
        self.path = Path(path)
        self.frames = 0
        self._size = (height, width)
        self._pad = (height % 2, width % 2)  # 4:2:0 colour needs even sizes
        try:
            self._container = av.open(os.path.abspath(self.path), "w", format="mp4")
            self._rate = Fraction(fps).limit_denominator(1001)
            self._stream = self._container.add_stream(
                CODEC, rate=self._rate, options={"preset": "veryfast", "crf": "20"}
            )
        except FFmpegError as error:
            raise _as_os_error(error, self.path) from error
        self._stream.height, self._stream.width = height + self._pad[0], width + self._pad[1]
        self._stream.pix_fmt = "yuv420p"

    def write(self, frame: np.ndarray) -> None:
        """Adds one frame at the end."""
        if frame.shape != (*self._size, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"{self.path}: uint8 {(*self._size, 3)} expected, {frame.dtype} {frame.shape} found"
            )
        if any(self._pad):
            frame = np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self.frames
        picture.time_base = 1 / self._rate
        self._mux(picture)
        self.frames += 1

    def _mux(self, picture: av.VideoFrame | None) -> None:
        if self._container is None:
            raise ValueError(f"{self.path} is closed.")
        try:
            self._container.mux(self._stream.encode(picture))
        except FFmpegError as error:
            raise _as_os_error(error, self.path) from error

    def close(self) -> None:
        """Writes what the encoder still holds and the index; the file is complete after this."""
        if self._container is None:
            return
        self._mux(None)
        container, self._container = self._container, None
        try:
            container.close()
        except FFmpegError as error:
            raise _as_os_error(error, self.path) from error

    def discard(self) -> None:
        """Gives up: a video without its index plays nowhere, so the file goes."""
        if self._container is not None:
            container, self._container = self._container, None
            try:
                container.close()
            except FFmpegError:
                pass  # the reason is already known to the caller
        self.path.unlink(missing_ok=True)
