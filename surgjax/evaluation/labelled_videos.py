"""Videos with ground truth, whatever they come from, as a model is run and scored on them.

Path:    davis_videos, set_videos -> [LabelledVideo -> Truth] -> model_run, model_tracking
Axes:    frames uint8 (H, W, 3); a target is bool (H, W).
Units:   a frame is its place in the video, from 0; fps of the frames, 0 where nobody knows.
Errors:  ValueError for a rate that is none. MaskFolderError naming the file: a mask of another size
         than the frames, a mask without a frame, a video without any object, too few annotated
         frames for a preset.
Source:  layouts of DAVIS and SA-V, through `mask_folders`.
Differs: the truth lies on disk and is read where it is needed, so memory does not grow with the
         length of a video.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from surgjax.evaluation.mask_folders import MaskFolderError, SequenceFiles, read_label_file
from surgjax.inference.frame_source import FrameSource
from surgjax.metrics.label_maps import IGNORED, labels_of


@dataclasses.dataclass(frozen=True)
class LabelledVideo:
    """One video of a data set; nothing is opened before it is asked for."""

    name: str  # also of the folder with its masks
    stems: tuple[str, ...]  # of every frame, in order
    fps: float  # 0: not known
    open_frames: Callable[[], FrameSource]
    # The ground truth as PNGs; a video that has none on disk writes them below the folder it gets.
    open_truth: Callable[[Path], SequenceFiles]
    is_checked: bool = False  # made by our own code: nothing to look for before tracking starts


def check_rate(fps: float, name: str) -> float:
    """Frames per second: 0 (not known) or more; `name` says where it is from."""
    if not (math.isfinite(fps) and fps >= 0):
        raise ValueError(f"{name} {fps:g}: frames per second expected, 0 where nobody knows.")
    return fps


class LabelMaps(Mapping[int, np.ndarray]):
    """Annotated frame -> label map, read when it is asked for; the latest one is kept."""

    def __init__(self, paths: Mapping[int, Path]):
        self._paths = paths
        self._frame, self._label_map = -1, np.zeros((0, 0), np.uint8)

    def __getitem__(self, frame: int) -> np.ndarray:
        if frame != self._frame:
            self._label_map = read_label_file(self._paths[frame]).label_map
            self._frame = frame
        return self._label_map

    def __iter__(self) -> Iterator[int]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


class Truth:
    """The ground truth of one video."""

    def __init__(self, video: LabelledVideo, files: SequenceFiles):
        self.video, self.files = video, files
        places = {stem: t for t, stem in enumerate(video.stems)}
        for stem in files.stems:
            if stem not in places:
                raise MaskFolderError(
                    f"{self._path(stem)}: the video {video.name!r} has no frame {stem}."
                )
        self.annotated = tuple(places[stem] for stem in files.stems)
        self._places = places

    def _path(self, stem: str) -> Path:
        sides = (self.files.frames, *self.files.objects.values())
        return next(side[stem] for side in sides if stem in side)

    @property
    def label_maps(self) -> LabelMaps:
        """By annotated frame; of a truth that is no folder for each object."""
        return LabelMaps({self._places[stem]: path for stem, path in self.files.frames.items()})

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids that a frame shows, ascending."""
        return tuple(sorted(self.shown))

    def check(self, size: tuple[int, int], min_frames: int = 1) -> None:
        """Refuses what would fail while tracking: sizes (H, W), too few frames, no object."""
        paths = self.files.frames.values() if not self.files.objects else (
            path for side in self.files.objects.values() for path in side.values()
        )  # fmt: skip
        for path in paths:
            check_size(path, size, self.video.name)
        if len(self.annotated) < min_frames:
            raise MaskFolderError(
                f"{self.files.folder}: {len(self.annotated)} annotated frames; the protocol needs "
                f"at least {min_frames}."
            )
        if not self.shown:
            raise MaskFolderError(f"{self.files.folder}: no mask shows an object.")

    @property
    def shown(self) -> dict[int, tuple[int, ...]]:
        """Object id -> the frames that show it. Reads every mask once."""
        if not hasattr(self, "_shown"):
            self._shown = self._find_objects()
        return self._shown

    def _find_objects(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        if self.files.objects:
            for object_id, side in self.files.objects.items():
                places = [self._places[s] for s, p in side.items() if _any(read_label_file(p))]
                if places:
                    found[object_id] = sorted(places)
        else:
            for stem, path in self.files.frames.items():
                for object_id in labels_of(read_label_file(path).label_map) - {0, IGNORED}:
                    found.setdefault(object_id, []).append(self._places[stem])
        return {object_id: tuple(places) for object_id, places in sorted(found.items())}

    def target(self, object_id: int, frame: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The object on an annotated frame, and the pixels that are ignored there, if any."""
        stem = self.video.stems[frame]
        if self.files.objects:
            return read_label_file(self.files.objects[object_id][stem]).label_map > 0, None
        label_map = read_label_file(self.files.frames[stem]).label_map
        ignored = label_map == IGNORED
        return label_map == object_id, ignored if ignored.any() else None


def _any(file) -> bool:
    return bool(file.label_map.any())


def check_size(path: Path, size: tuple[int, int], video: str) -> None:
    """Refuses a picture that has not `size` (H, W); reads its header only."""
    try:
        with Image.open(path) as image:
            found = (image.height, image.width)
    except (UnidentifiedImageError, SyntaxError, OSError) as error:
        raise MaskFolderError(f"{path}: it is not an image, or it is damaged ({error}).") from None
    if found != size:
        raise MaskFolderError(
            f"{path} is {found[1]}x{found[0]} pixels (width x height), the frames of {video!r} are "
            f"{size[1]}x{size[0]}."
        )
