"""Opens any video a user may have as a source of frames, and fits a frame to the model.

Path:    video file, folder, image, array or camera -> [frames] -> stream
Axes:    a frame is uint8 (H, W, 3) RGB; for the model float32 (S, S, 3), normalised.
Units:   frame_index counts decoded frames from 0.
Errors:  FileNotFoundError, ValueError or TypeError when opening; FrameReadError, naming the index,
         when a frame in the middle cannot be read.
Source:  SAM 2, arXiv:2408.00714, video predictor: Pillow's bicubic resize on uint8, aspect ratio
         not kept, ImageNet mean and deviation.
Differs: frames come one by one and any iterator will do, so a live camera works.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surgjax.inference.frame_source import FrameReadError, FrameSource
from surgjax.inference.image_files import IMAGE_SUFFIXES, open_folder, open_image
from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD

__all__ = ["FrameReadError", "FrameSource", "open_video", "resize_for_model"]

_MEAN, _STD = np.array(IMAGE_MEAN, np.float32), np.array(IMAGE_STD, np.float32)


def _checked_frame(
    frame: Any, frame_index: int, size: tuple[int, int] | None, name: str
) -> np.ndarray:
    """One frame from the user's code as uint8 (H, W, 3), of the size of the first one."""
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise FrameReadError(
            frame_index, name, f"uint8 (H, W, 3) expected, {frame.dtype} {frame.shape} found"
        )
    if size is not None and frame.shape[:2] != size:
        raise FrameReadError(
            frame_index, name, f"(H, W) {frame.shape[:2]} found, the first frame is {size}"
        )
    return frame


class SequenceSource(FrameSource):
    """An array (T, H, W, 3), or a list of frames, already in memory."""

    def __init__(self, frames: Any, name: str = "array"):
        self.path = name
        self._frames = frames
        self.num_frames = len(frames)
        if not self.num_frames:
            raise ValueError(f"{name} has no frames.")
        self.height, self.width = _checked_frame(frames[0], 0, None, name).shape[:2]

    def __getitem__(self, frame_index: int) -> np.ndarray:
        frame_index = self._check_index(frame_index)
        size = (self.height, self.width)
        return _checked_frame(self._frames[frame_index], frame_index, size, self.path)


class IteratorSource(FrameSource):
    """A live stream: frames in order, once; only the frame shown last can be read again."""

    seekable = False

    def __init__(self, frames: Iterator, name: str = "live stream"):
        self.path = name
        self._frames = frames
        self._last = self._pull(0, None)
        if self._last is None:
            raise ValueError(f"{name} has no frames.")
        self._last_index = 0
        self.height, self.width = self._last.shape[:2]

    def _pull(self, frame_index: int, size: tuple[int, int] | None) -> np.ndarray | None:
        try:
            frame = next(self._frames)
        except StopIteration:
            return None
        return _checked_frame(frame, frame_index, size, self.path)

    def __getitem__(self, frame_index: int) -> np.ndarray:
        frame_index = self._check_index(frame_index)
        if frame_index < self._last_index:
            raise ValueError(
                f"frame {frame_index} of {self.path} is gone: frame {self._last_index} is being "
                "shown, and a live stream cannot go back."
            )
        while self._last is not None and self._last_index < frame_index:
            self._last = self._pull(self._last_index + 1, (self.height, self.width))
            self._last_index += 1
        if self._last is None:
            raise IndexError(f"{self.path} ended after frame {self._last_index - 1}.")
        return self._last

    def __iter__(self) -> Iterator[np.ndarray]:
        """From the frame being shown to the end of the stream."""
        frame_index = self._last_index
        while True:
            try:
                frame = self[frame_index]
            except IndexError:
                return
            yield frame
            frame_index += 1


def _open_path(path: Path) -> FrameSource:
    if path.is_dir():
        return open_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"video {path} does not exist.")
    if path.stat().st_size == 0:
        raise ValueError(f"video {path} is empty: 0 bytes.")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return open_image(path)
    from surgjax.inference.video_file import VideoFileSource  # PyAV only where a video is read

    return VideoFileSource(path)


def open_video(video: Any) -> FrameSource:
    """Any video as a FrameSource.

    A path to a video file, to a folder of JPEG/PNG frames or to one image; a uint8 array
    (T, H, W, 3), or (H, W, 3) for one frame; a sequence of uint8 (H, W, 3) frames; or any iterable
    of them, such as a camera: that one is live, read once and in order.
    """
    if isinstance(video, FrameSource):
        return video
    if isinstance(video, str | os.PathLike):
        return _open_path(Path(video))
    if hasattr(video, "__array__") and hasattr(video, "ndim"):  # NumPy's, JAX's, torch's on a CPU
        video = np.asarray(video)
        if video.ndim not in (3, 4):
            raise ValueError(f"array: (T, H, W, 3) expected, {video.shape} found.")
        return SequenceSource(video[None] if video.ndim == 3 else video)
    if isinstance(video, Image.Image):
        return SequenceSource([np.array(video.convert("RGB"))], "image")
    if isinstance(video, Sequence) and not isinstance(video, bytes | bytearray):
        return SequenceSource(video, "list of frames")
    if isinstance(video, Iterable) and not isinstance(video, bytes | bytearray):
        return IteratorSource(iter(video))
    raise TypeError(
        "video: a path, an array, a sequence of frames or an iterator of frames expected, "
        f"{type(video).__name__} found."
    )


def resize_for_model(frame_u8: np.ndarray, image_size: int) -> np.ndarray:
    """A frame as the model takes it: (S, S, 3) float32, normalised, aspect ratio not kept."""
    frame_u8 = np.asarray(frame_u8)
    if frame_u8.dtype != np.uint8 or frame_u8.ndim != 3 or frame_u8.shape[-1] != 3:
        raise ValueError(
            f"frame: uint8 (H, W, 3) expected, {frame_u8.dtype} {frame_u8.shape} found."
        )
    image = Image.fromarray(frame_u8)
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BICUBIC)
    return (np.asarray(image, np.float32) / np.float32(255.0) - _MEAN) / _STD
