"""A video with its truth on some or all frames: what a prompted protocol is run on.

Path:    dataset, folders -> [AnnotatedVideo] -> semi_supervised, interactive
Axes:    label maps uint8 [H, W]; targets bool [H, W].
Units:   frames count from 0 among all frames of the video, annotated or not.
Errors:  ValueError for a video without a truth, for truths or masks that differ in size.
Source:  ours.
Differs: truths are label maps, so objects do not overlap in them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from surgjax.evaluation.prompting import first_visible
from surgjax.metrics.label_maps import IGNORED


class AnnotatedVideo:
    """frames: what a Segmenter opens. label_maps: by annotated frame; 0 no object, 255 unknown."""

    def __init__(self, name: str, frames: Any, label_maps: Mapping[int, np.ndarray]):
        self.name, self.frames = name, frames
        self.label_maps = dict(sorted(label_maps.items()))
        sizes = sorted({label_map.shape for label_map in self.label_maps.values()})
        if len(sizes) != 1:
            raise ValueError(f"{name}: expected label maps of one size, found {sizes or 'none'}.")
        self.size: tuple[int, ...] = sizes[0]
        ids = {int(i) for m in self.label_maps.values() for i in np.unique(m)}
        self.object_ids = sorted(ids - {0, IGNORED})

    @property
    def annotated(self) -> list[int]:
        """The frames that have a truth, in order."""
        return list(self.label_maps)

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
        return first_visible({t: self.target(t, object_id) for t in self.annotated}, min_area)
