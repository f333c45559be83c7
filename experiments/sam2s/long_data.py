"""What long videos are measured on: options, the objects that are followed, labelled frames.

Path:    prepared set -> [find_videos, LabelledFrames] -> long_scoring, long_run
Axes:    frames uint8 [H, W, 3]; instance maps [H, W].
Units:   frames count from 0.
Errors:  ValueError naming the flag, set, file or video.
Source:  ours.
"""

import dataclasses
import functools
import itertools

import numpy as np

from surgjax.data.index import ObjectEntry, VideoEntry, positions_of
from surgjax.data.reader import PreparedSet, version_folder
from surgjax.evaluation.prompting import clicks_of
from surgjax.evaluation.shares import Share
from surgjax.inference.frame_source import FrameSource


@dataclasses.dataclass(frozen=True)
class LongOptions:
    """What is measured, and on what."""

    checkpoints: tuple[str, ...] = ("nano",)
    memory: str = "recent"
    data: str = ""
    dataset: str = "generated/long"
    split: str = "test"
    videos: int = 0  # the first so many by name; 0: all
    objects: int = 0  # of a video, in order of their ids, at most; 0: all
    instruments: bool = True  # False: tissue too
    returning: int = 0  # objects that come back after so many frames out of sight alone; 0: all
    prompt: str = "3-click"
    min_area: float = 0.0  # of the frame, that the prompted frame shows of the object
    image_size: int | None = None
    precision: str = "fp32"
    share: Share = Share()  # this process does every N-th video, from the K-th on

    def check(self) -> None:
        """Refuses what cannot be, before heavy work."""
        clicks_of(self.prompt)
        if not self.data:
            raise ValueError("--data: the folder of prepared sets is missing.")
        if not self.checkpoints or len(set(self.checkpoints)) != len(self.checkpoints):
            raise ValueError(f"--checkpoints {list(self.checkpoints)}: each once, one at least.")
        if self.returning < 0:
            raise ValueError(f"--returning {self.returning}: 0 or more expected.")
        if not 0 <= self.min_area < 1:
            raise ValueError(f"--min_area {self.min_area}: 0 to below 1 expected.")


@dataclasses.dataclass(frozen=True)
class LongVideo:
    """One video, the objects that are followed in it, and where each begins."""

    name: str
    place: str  # split on disk
    entry: VideoEntry
    objects: tuple[ObjectEntry, ...]


class LabelledFrames(FrameSource):
    """Frames with their instance maps, read together and once."""

    def __init__(self, prepared: PreparedSet, video: LongVideo):
        entry = video.entry
        self.path = f"{prepared.name}/{video.place}/{entry.video_id}"
        self.num_frames, self.height, self.width = entry.length, entry.height, entry.width
        self._annotated = frozenset(positions_of(entry.annotated))

        @functools.lru_cache(maxsize=4)
        def read(t: int) -> tuple[np.ndarray, np.ndarray | None]:
            images, maps, _ = prepared.read_frames(video.place, entry, [t], [t in self._annotated])
            return images[0], maps[0]

        self._read = read

    def __getitem__(self, frame_index: int) -> np.ndarray:
        return self._read(self._check_index(frame_index))[0]

    def instances(self, frame_index: int) -> np.ndarray | None:
        """[H, W]; None where the frame is not annotated."""
        return self._read(self._check_index(frame_index))[1]


def longest_absence(one: ObjectEntry) -> int:
    """Frames between two stretches in which the object is in sight, at most."""
    gaps = [back - left for (_, left), (back, _) in itertools.pairwise(one.visible)]
    return max(gaps, default=0)


def find_videos(options: LongOptions) -> tuple[PreparedSet, list[LongVideo]]:
    """The videos with an object to follow, in order of their names."""
    prepared = PreparedSet(version_folder(options.data, options.dataset))
    found = []
    for place, entry in prepared.index.videos(options.split):
        if entry.length < 2:
            continue
        objects = [o for o in entry.objects if o.is_instrument or not options.instruments]
        objects = [o for o in objects if o.visible and o.visible[0][0] < entry.length - 1]
        objects = [o for o in objects if longest_absence(o) >= options.returning]
        if objects:
            name = entry.video_id.replace("/", "_")
            kept = sorted(objects, key=lambda o: o.id)[: options.objects or None]
            found.append(LongVideo(name, place, entry, tuple(kept)))
    found.sort(key=lambda video: video.name)
    if not found:
        what = "instrument" if options.instruments else "object"
        what += f" back after {options.returning} frames" if options.returning else ""
        raise ValueError(f"{prepared.folder}: split {options.split!r} has no {what}.")
    return prepared, found[: options.videos or None]


def first_frame(source: LabelledFrames, one: ObjectEntry, min_area: float) -> int | None:
    """The first frame that shows enough of the object, and is not the last."""
    for t in positions_of(one.visible):
        if t >= len(source) - 1:
            return None
        if not min_area:
            return t
        instances = source.instances(t)
        if instances is not None and (instances == one.id).mean() >= min_area:
            return t
    return None
