"""A video with its truth on some or all frames: what a prompted protocol is run on.

Path:    dataset, folders; LabelledVideo with its Truth -> [AnnotatedVideo] -> semi_supervised,
         interactive
Axes:    label maps uint8 [H, W]; targets bool [H, W].
Units:   frames count from 0 among all frames of the video, annotated or not.
Errors:  ValueError for a video without a truth, for truths or masks that differ in size.
Source:  ours.
Differs: truths are label maps, so objects do not overlap in them. `labelled_videos` names videos of
         data sets on disk; here frames are open, and truths may come from anywhere.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from surgjax.metrics.label_maps import IGNORED


class AnnotatedVideo:
    """frames: what a Segmenter opens. label_maps: by annotated frame; 0 no object, 255 unknown.

    label_maps may be a mapping that reads each map when it is asked for, as `Truth.label_maps`:
    each is looked at once here, for its size and areas, and none is kept.
    """

    def __init__(self, name: str, frames: Any, label_maps: Mapping[int, np.ndarray]):
        self.name, self.frames, self.label_maps = name, frames, label_maps
        self.annotated = sorted(label_maps)  # the frames that have a truth
        sizes: set[tuple[int, ...]] = set()
        self._areas: dict[int, dict[int, int]] = {}  # object id -> frame -> pixels
        for t in self.annotated:
            label_map = label_maps[t]
            sizes.add(label_map.shape)
            for label, area in zip(*np.unique(label_map, return_counts=True), strict=True):
                self._areas.setdefault(int(label), {})[t] = int(area)
        if len(sizes) != 1:
            found = sorted(sizes) or "none"
            raise ValueError(f"{name}: expected label maps of one size, found {found}.")
        self.size: tuple[int, ...] = sizes.pop()
        self.object_ids = sorted(self._areas.keys() - {0, IGNORED})

    def target(self, frame: int, object_id: int) -> np.ndarray:
        """The object on an annotated frame."""
        return self.label_maps[frame] == object_id

    def ignored(self, frame: int) -> np.ndarray:
        """Where the truth of an annotated frame is unknown."""
        return self.label_maps[frame] == IGNORED

    def known(self, frame: int, mask: np.ndarray) -> np.ndarray:
        """A model's mask without what lies where the truth is unknown."""
        if mask.shape != self.size:
            raise ValueError(
                f"{self.name}, frame {frame}: mask {mask.shape}, expected {self.size} as the truth."
            )
        return mask & ~self.ignored(frame)

    def first_frame(self, object_id: int, min_area: float = 0.0) -> int | None:
        """The first annotated frame that shows `min_area` of the frame of it; None if none does."""
        whole = self.size[0] * self.size[1]
        areas = self._areas.get(object_id, {})
        return next((t for t, area in sorted(areas.items()) if area / whole >= min_area), None)
