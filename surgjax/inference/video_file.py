"""A video file, decoded when asked for: any frame by index, forward at full speed.

Path:    [video_file] -> frames -> stream
Axes:    uint8 (H, W, 3) RGB, upright: the display matrix of the container is applied.
Units:   frame_index counts decoded frames in display order from 0, whatever their timestamps;
         fps is the mean rate, None where the file has none.
Errors:  ValueError if the file holds no readable video; FrameReadError for a damaged frame.
Source:  PyAV (FFmpeg).
Differs: SAM 2 decodes the whole file up front. Here one pass over the packets (no decoding) gives
         the number of frames and the timestamp of each, which is all a later seek needs.
"""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from surgjax.inference.frame_source import FrameCache, FrameReadError, FrameSource

# Packets of these do not correspond one to one with frames, or carry timestamps of no use:
# such files are counted by decoding once, and a step back decodes from the start again.
_COUNTED_CONTAINERS = {"avi"}
_COUNTED_CODECS = {"vp8"}  # its alternate reference frames are packets that are never shown
_TEXT_CONTAINERS = {"tty"}  # FFmpeg renders plain text as video; nobody means that


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip rows, flip columns) that turn a stored frame upright.

    The display matrix [a b; c d] sends a stored pixel (x, y) to (a x + c y, b x + d y).
    """
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5] / 65536.0
    if abs(b) < 1e-3 and abs(c) < 1e-3:
        return False, d < 0, a < 0
    if abs(a) < 1e-3 and abs(d) < 1e-3:
        return True, b < 0, c < 0
    raise ValueError(
        f"it is turned by {frame.rotation} degrees; only multiples of 90 are supported"
    )


class VideoFileSource(FrameSource):
    """Random access over one video stream; `path` may be anything PyAV opens by name."""

    def __init__(self, path: str | Path):
        self.path = str(path)
        self._lock = threading.RLock()
        self._container = None
        self._frames: Iterator[tuple[int, av.VideoFrame | None]] = iter(())
        self._next_index = 0  # what self._frames yields next, at the least
        self._scan()
        first = self._first_frame()
        self._size = (first.height, first.width)
        try:
            self._upright = _orientation(first)
        except ValueError as error:
            raise ValueError(f"video {self.path}: {error}.") from None
        self.height, self.width = self._size[::-1] if self._upright[0] else self._size
        self._cache = FrameCache(self.height * self.width * 3)
        self._rewind()

    # Opening and counting.

    def _open(self):
        try:
            container = av.open(os.path.abspath(self.path))  # FFmpeg takes "12:30.mp4" for a URL
        except (FFmpegError, OSError) as error:
            raise ValueError(
                f"video {self.path} cannot be opened: {getattr(error, 'strerror', None) or error}. "
                "It is not a video, or its header is damaged or missing."
            ) from None
        videos = [s for s in container.streams.video if not s.disposition & 0x400]  # cover pictures
        if not videos or container.format.name in _TEXT_CONTAINERS:
            container.close()
            raise ValueError(f"video {self.path} has no video stream.")
        if videos[0].codec_context is None:  # an encrypted stream, for one
            container.close()
            raise ValueError(f"video {self.path}: FFmpeg knows no decoder for its video stream.")
        return container, videos[0]

    def _scan(self) -> None:
        """Reads every packet once, without decoding: how many frames, and when each is shown."""
        times, is_key, broken, hidden = [], [], None, 0
        container, stream = self._open()
        with container:
            rate = stream.average_rate or stream.guessed_rate
            if container.format.name in _COUNTED_CONTAINERS:
                rate = stream.guessed_rate or rate
            self.fps = float(rate) if rate else None
            promised = stream.frames
            self._counted = (
                container.format.name in _COUNTED_CONTAINERS
                or stream.codec_context.name in _COUNTED_CODECS
            )
            try:
                for packet in container.demux(stream):
                    if not packet.size:
                        continue
                    if packet.is_discard:  # outside the edit list: decoded, never shown
                        hidden += 1
                        continue
                    times.append(packet.pts)
                    is_key.append(packet.is_keyframe)
                    broken = packet.is_corrupt
            except FFmpegError as error:
                broken = None
                logging.getLogger(__name__).warning("%s ends in an error: %s", self.path, error)
        if broken:  # the file stops inside this packet
            del times[-1], is_key[-1]
        if promised > len(times) + hidden and not self._counted:
            logging.getLogger(__name__).warning(
                "%s is cut short: its header promises %d frames, %d are whole.",
                self.path,
                promised,
                len(times),
            )
        if not times:
            raise ValueError(f"video {self.path} has no frames.")
        if any(time is None for time in times) or len(set(times)) < len(times):
            self._counted = True
        if self._counted:
            self._times = self._keys = np.zeros(0, np.int64)
            return
        order = np.argsort(np.array(times, np.int64), kind="stable")
        self._times = np.array(times, np.int64)[order]
        self._keys = np.flatnonzero(np.array(is_key)[order])

    def _first_frame(self) -> av.VideoFrame:
        """Decodes until something comes out, and settles the number of frames."""
        self._rewind(threads="SLICE")
        first = next((frame for _, frame in self._frames if frame is not None), None)
        if first is None:
            raise ValueError(f"video {self.path} has no frame that can be decoded.")
        if self._counted:
            self._rewind()
            self.num_frames = sum(1 for _ in self._frames)
        else:
            lead = self._place(first) or 0
            if lead:  # a recording cut before its first key frame
                self._times, self._keys = self._times[lead:], self._keys - lead
                self._keys = self._keys[self._keys >= 0]
                logging.getLogger(__name__).warning(
                    "%s: %d packets before the first frame that can be decoded are left out.",
                    self.path,
                    lead,
                )
            self.num_frames = len(self._times)
        return first

    # Decoding.

    def _place(self, frame: av.VideoFrame) -> int | None:
        """The frame index that a timestamp stands for; None for a frame that is never shown."""
        if frame.pts is None:
            return None
        place = int(np.searchsorted(self._times, frame.pts))
        return place if place < len(self._times) and self._times[place] == frame.pts else None

    def _decode(self, container, stream) -> Iterator[tuple[int, av.VideoFrame | None]]:
        """(index, frame) in display order; a gap in the indices, or None, is a frame lost."""
        index = 0
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except FFmpegError as error:
                    self._last_error = error
                    if self._counted:
                        yield index, None
                        index += 1
                    continue
                for frame in frames:
                    if self._counted:
                        yield index, frame
                        index += 1
                        continue
                    place = self._place(frame)
                    if place is not None:
                        yield place, frame
        except FFmpegError as error:  # the file itself cannot be read any further
            self._last_error = error

    def _rewind(self, frame_index: int = 0, threads: str = "AUTO") -> None:
        """Opens the file anew, at the key frame that `frame_index` needs."""
        self.close()
        container, stream = self._open()
        stream.thread_type = threads
        self._last_error: Exception | None = None
        keys = self._keys[self._keys <= frame_index]
        self._next_index = 0
        if frame_index and not self._counted and len(keys) and keys[-1] > 0:
            container.seek(
                int(self._times[keys[-1]]), stream=stream, backward=True, any_frame=False
            )
            self._next_index = int(keys[-1])
        self._container = container
        self._frames = self._decode(container, stream)

    def _to_rgb(self, frame_index: int, frame: av.VideoFrame) -> np.ndarray:
        if (frame.height, frame.width) != self._size:
            raise FrameReadError(
                frame_index,
                self.path,
                f"it is {frame.width}x{frame.height} pixels, the first frame "
                f"{self._size[1]}x{self._size[0]}",
            )
        rgb = frame.to_ndarray(format="rgb24")
        transpose, flip_rows, flip_columns = self._upright
        if transpose:
            rgb = rgb.transpose(1, 0, 2)
        rgb = rgb[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        return np.ascontiguousarray(rgb)

    def _advance(self, frame_index: int, keep_from: int) -> np.ndarray | None:
        """Decodes on to `frame_index`, keeping what lies from `keep_from` on. None: not there."""
        for index, frame in self._frames:
            self._next_index = index + 1
            wanted = keep_from <= index <= frame_index
            if wanted and frame is not None and not frame.is_corrupt:
                rgb = self._cache.put(index, self._to_rgb(index, frame))
                if index == frame_index:
                    return rgb
            if index >= frame_index:
                return None
        self._next_index = self.num_frames or 0
        return None

    def __getitem__(self, frame_index: int) -> np.ndarray:
        frame_index = self._check_index(frame_index)
        with self._lock:
            cached = self._cache.get(frame_index)
            if cached is not None:
                return cached
            keys = self._keys[self._keys <= frame_index]
            key = int(keys[-1]) if len(keys) else 0
            keep_from = frame_index
            if frame_index < self._next_index:  # going back: keep the frames on the way
                keep_from = frame_index - self._cache.capacity + 1
                self._rewind(frame_index)
            elif key > self._next_index:
                self._rewind(frame_index)
            frame = self._advance(frame_index, keep_from)
            if frame is None:
                # A seek can land late in an open group of pictures, and decoding threads report
                # errors late. Only what one thread from the start cannot read is lost for certain.
                self._rewind(threads="SLICE")
                frame = self._advance(frame_index, keep_from)
            if frame is None:
                reason = getattr(self._last_error, "strerror", None) or "its data is damaged"
                raise FrameReadError(frame_index, self.path, reason)
            return frame

    def close(self) -> None:
        """Closes the file, after a read under way; the next read opens it again."""
        with self._lock:
            self._frames, self._next_index = iter(()), 0
            if self._container is not None:
                self._container.close()
                self._container = None
