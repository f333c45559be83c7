"""The frames and prompts that every side of the benchmark gets.

Path:    video, or the bundled clip -> [frames] -> ours, peers
Axes:    frames uint8 [H, W, 3].
Units:   boxes x0, y0, x1, y1 in pixels of the video.
Errors:  ValueError where the video has fewer frames than asked for.
Source:  ours.
Differs: without a video the bundled generated clip runs back and forth, enlarged frame by frame
         when it is asked for, so that no long video lies in memory.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

import surgjax
from surgjax.inference.frames import FrameSource, open_video

DEMO_CLIP = Path(surgjax.__file__).parent / "assets" / "demo_clip.mp4"


class RepeatedClip(FrameSource):
    """A short clip back and forth from frame `begin` on, its longer side made `side` pixels."""

    seekable = True

    def __init__(self, clip: list[np.ndarray], num_frames: int, side: int, begin: int = 0):
        height, width = clip[0].shape[:2]
        scale = side / max(height, width)
        self.path = "the bundled clip"
        self.height, self.width = round(height * scale), round(width * scale)
        self.num_frames = num_frames
        self._clip, self._begin = clip, begin

    def __getitem__(self, frame_index: int) -> np.ndarray:
        frame_index = self._check_index(frame_index) + self._begin
        turn = 2 * len(self._clip) - 2 or 1
        at = frame_index % turn
        image = Image.fromarray(self._clip[min(at, turn - at)])
        return np.asarray(image.resize((self.width, self.height), Image.Resampling.BILINEAR))


class FirstFrames(FrameSource):
    """The first frames of another source."""

    def __init__(self, source: FrameSource, num_frames: int):
        if source.num_frames is None or source.num_frames < num_frames:
            raise ValueError(
                f"--frames={num_frames}: {source.path} has {source.num_frames} frames only."
            )
        self.path, self.num_frames = source.path, num_frames
        self.height, self.width, self.fps = source.height, source.width, source.fps
        self._source = source

    def __getitem__(self, frame_index: int) -> np.ndarray:
        return self._source[self._check_index(frame_index)]

    def close(self) -> None:
        self._source.close()


def open_frames(video: str | None, num_frames: int, image_size: int, begin: int = 0) -> FrameSource:
    """A source of that many frames, of the video or of the bundled clip at the model's size.

    begin: where to start in the bundled clip.
    """
    if video is not None:
        return FirstFrames(open_video(video), num_frames)
    with open_video(str(DEMO_CLIP)) as source:
        clip = list(source)
    return RepeatedClip(clip, num_frames, image_size, begin)


def grid_boxes(objects: int, height: int, width: int) -> list[list[float]]:
    """One box for each object: the middle of its cell of a square grid over the frame."""
    cells = math.ceil(math.sqrt(objects))
    boxes = []
    for k in range(objects):
        row, column = divmod(k, cells)
        x, y, w, h = column * width / cells, row * height / cells, width / cells, height / cells
        boxes.append([x + 0.2 * w, y + 0.2 * h, x + 0.8 * w, y + 0.8 * h])
    return boxes
