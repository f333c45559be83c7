"""What every frame source offers, whatever the pixels come from.

Path:    [frame_source] -> video_file, image_files, frames -> stream
Axes:    a frame is uint8 (H, W, 3) RGB.
Units:   frame_index counts decoded frames from 0; fps in frames per second.
Errors:  FrameReadError, naming the index, for a frame that exists but cannot be read; IndexError
         past the end.
Source:  ours.
Differs: SAM 2 loads the whole video before tracking; here frames are decoded when asked for, and
         only a few are kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

CACHE_BYTES = 96 * 2**20  # about 15 frames of 1080p, whatever the length of the video
CACHE_FRAMES = 32


class FrameReadError(ValueError):
    """A frame that should exist cannot be read; the frames before it are good."""

    def __init__(self, frame_index: int, path: str, reason: str):
        super().__init__(f"frame {frame_index} of {path} cannot be read: {reason}")
        self.frame_index = frame_index
        self.path = path


class FrameSource:
    """Frames by index and in order.

    num_frames is None for a live stream, whose length nobody knows; such a source is not seekable:
    it hands out each frame once, in order. Subclasses set `path`, a name for messages.
    """

    path: str = "frames"
    num_frames: int | None = None
    height: int = 0
    width: int = 0
    fps: float | None = None
    seekable: bool = True

    def __getitem__(self, frame_index: int) -> np.ndarray:
        raise NotImplementedError

    def __len__(self) -> int:
        if self.num_frames is None:
            raise TypeError(f"{self.path} is a live stream: its number of frames is not known.")
        return self.num_frames

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame_index in range(len(self)):
            yield self[frame_index]

    def close(self) -> None:
        """Frees what the source holds open."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _check_index(self, frame_index: int) -> int:
        frame_index = int(frame_index)
        if frame_index < 0 or (self.num_frames is not None and frame_index >= self.num_frames):
            raise IndexError(
                f"frame {frame_index} is outside {self.path}, which has frames 0 to "
                f"{(self.num_frames or 0) - 1}."
            )
        return frame_index


class FrameCache:
    """The frames used last, bounded in number and in bytes. Any thread may ask."""

    def __init__(self, frame_bytes: int):
        self.capacity = int(np.clip(CACHE_BYTES // max(frame_bytes, 1), 2, CACHE_FRAMES))
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, frame_index: int) -> np.ndarray | None:
        with self._lock:
            frame = self._frames.get(frame_index)
            if frame is not None:
                self._frames.move_to_end(frame_index)
            return frame

    def put(self, frame_index: int, frame: np.ndarray) -> np.ndarray:
        frame.setflags(write=False)  # callers share it: drawing on it would change later reads
        with self._lock:
            self._frames[frame_index] = frame
            self._frames.move_to_end(frame_index)
            while len(self._frames) > self.capacity:
                self._frames.popitem(last=False)
        return frame
