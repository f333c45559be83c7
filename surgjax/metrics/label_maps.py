"""What a label map holds: its ids, pixels to ignore, and areas class by class.

Path:    label maps -> [label_maps] -> object_scores, endovis_type, dice
Axes:    label maps are uint8 (H, W), 0 is background.
Units:   areas in pixels; a frame is its place among the annotated frames of its video.
Errors:  ValueError if two maps differ in shape, a class id is too large, or a frame comes twice.
Source:  255 as "do not score" is the convention of DAVIS and Pascal VOC.
Differs: nothing to compare with.
"""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from surgjax.metrics.by_name import join, merge

__all__ = [
    "IGNORED", "Areas", "FrameAreas", "State", "by_video", "class_areas", "clear_ignored",
    "init_state", "join", "labels_of", "merge", "update",
]  # fmt: skip

IGNORED = 255  # in the ground truth


def labels_of(label_map: np.ndarray) -> set[int]:
    """The ids in a map, background included."""
    counts = cv2.calcHist([np.ascontiguousarray(label_map)], [0], None, [256], [0, 256])
    return set(np.flatnonzero(counts).tolist())


def clear_ignored(label_map: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both maps with background where the target is 255; the inputs stay as they are."""
    if label_map.shape != target.shape:
        raise ValueError(f"label map {label_map.shape} and target {target.shape} differ in shape.")
    ignored = target == IGNORED
    if not ignored.any():
        return label_map, target
    return np.where(ignored, np.uint8(0), label_map), np.where(ignored, np.uint8(0), target)


class Areas(NamedTuple):
    """Pixels of one class on one frame."""

    shared: int
    predicted: int
    target: int

    @property
    def union(self) -> int:
        """Pixels of either."""
        return self.predicted + self.target - self.shared


# Classes of either map on one frame -> areas; a class that is not there has none.
FrameAreas = Mapping[int, Areas]
# The state of a running evaluation: (video, frame) -> areas. A value, never changed in place.
State = Mapping[tuple[str, int], FrameAreas]


def class_areas(
    label_map: np.ndarray, target: np.ndarray, num_classes: int | None = None
) -> FrameAreas:
    """Areas of every class of either; ignored pixels count nowhere. Ids up to `num_classes`."""
    label_map, target = clear_ignored(label_map, target)
    predicted, wanted = labels_of(label_map), labels_of(target)
    for name, labels in (("label map", predicted), ("target", wanted)):
        if num_classes is not None and max(labels) > num_classes:
            raise ValueError(f"{name}: class ids 0 to {num_classes} expected, {max(labels)} found.")
    areas = {}
    for label in sorted((predicted | wanted) - {0}):
        mask, truth = label_map == label, target == label
        counts = (int(np.count_nonzero(m)) for m in (mask & truth, mask, truth))
        areas[label] = Areas(*counts)
    return areas


def init_state() -> State:
    """The state before any frame was counted."""
    return {}


def update(state: State, video: str, frames: Mapping[int, FrameAreas]) -> State:
    """The state with more frames of a video."""
    return merge(state, {(video, frame): areas for frame, areas in frames.items()})


def by_video(state: State) -> dict[str, State]:
    """The state of each video alone."""
    videos: dict[str, dict[tuple[str, int], FrameAreas]] = {}
    for key, areas in sorted(state.items()):
        videos.setdefault(key[0], {})[key] = areas
    return dict(videos)
