"""J, F and J&F of tracked objects by the semi-supervised rule of DAVIS 2017.

Path:    masks, labels -> [score_frames] -> update -> merge -> compute -> J, F, J&F
Axes:    T frames of one video, H W pixels; one call scores one object.
Units:   J and F in [0, 1] per frame; distances in pixels of the labels' size.
Errors:  ValueError if shapes differ, if a video has fewer than three frames, or if an object is
         scored twice.
Source:  arXiv:1704.00675; the measures are those of Perazzi et al., CVPR 2016. The details follow
         the public evaluation code, davis2017-evaluation.
Differs: the public code counts frames in 8 bits when it computes the decay, so beyond 256 frames
         its quarters are not quarters; here they are.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from surgjax.typing import Bool, Float, Int, NDArray, typechecked

BOUNDARY_TOLERANCE = 0.008  # of the image diagonal
RECALL_THRESHOLD = 0.5


@dataclass(frozen=True)
class FrameScores:
    """Scores of one object on every frame of its video, the first and the last included."""

    region: Float[NDArray, " T"]  # J
    contour: Float[NDArray, " T"]  # F


# The state of a running evaluation: (video, object id) -> scores. A value, never changed in place.
State = Mapping[tuple[str, int], FrameScores]


@typechecked
def region_similarity(
    masks: Bool[NDArray, "*T H W"], targets: Bool[NDArray, "*T H W"]
) -> Float[NDArray, "*T"]:
    """Intersection over union, J; 1 where mask and target are both empty."""
    intersection = np.count_nonzero(masks & targets, axis=(-2, -1))
    union = np.count_nonzero(masks | targets, axis=(-2, -1))
    return np.asarray(np.where(union == 0, 1.0, intersection / np.maximum(union, 1)))


@typechecked
def boundary_map(masks: Bool[NDArray, "*T H W"]) -> Bool[NDArray, "*T H W"]:
    """Pixels that differ from the pixel to the right, below, or diagonally below right.

    The line is one pixel wide and lies half a pixel up and left of the true edge. Neighbours
    outside the image do not count: an object cut off by the border has no boundary along it.
    """
    padding = [(0, 0)] * (masks.ndim - 2) + [(0, 1), (0, 1)]
    around = np.pad(masks, padding, mode="edge")
    right, below = around[..., :-1, 1:], around[..., 1:, :-1]
    # The padding repeats the border pixel, so its diagonal neighbour stands for one it already has.
    return (masks != right) | (masks != below) | (masks != around[..., 1:, 1:])


def _disk(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    inside = offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2
    return inside.astype(np.uint8)


def _contour_accuracy(mask: np.ndarray, target: np.ndarray, disk: np.ndarray) -> float:
    found, wanted = boundary_map(mask), boundary_map(target)
    if not found.any() or not wanted.any():
        # One empty: precision or recall is 0, and so is their mean. Both empty: nothing to miss.
        return float(not found.any() and not wanted.any())
    near_found = cv2.dilate(found.astype(np.uint8), disk) > 0
    near_wanted = cv2.dilate(wanted.astype(np.uint8), disk) > 0
    precision = np.count_nonzero(found & near_wanted) / np.count_nonzero(found)
    recall = np.count_nonzero(wanted & near_found) / np.count_nonzero(wanted)
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


@typechecked
def contour_accuracy(
    masks: Bool[NDArray, "T H W"], targets: Bool[NDArray, "T H W"]
) -> Float[NDArray, "T"]:
    """Harmonic mean F of boundary precision and recall.

    A boundary pixel counts as found if the other boundary passes within a disk whose radius is
    0.008 of the image diagonal, rounded up. F is 1 where neither mask has a boundary and 0 where
    only one has.
    """
    height, width = masks.shape[1:]
    disk = _disk(math.ceil(BOUNDARY_TOLERANCE * math.hypot(height, width)))
    scores = [_contour_accuracy(m, t, disk) for m, t in zip(masks, targets, strict=True)]
    return np.asarray(scores, float)


def score_frames(masks: Bool[NDArray, "T H W"], targets: Bool[NDArray, "T H W"]) -> FrameScores:
    """J and F of one object on every frame of a video."""
    if np.shape(masks) != np.shape(targets):
        raise ValueError(
            f"masks {np.shape(masks)} and targets {np.shape(targets)} differ in shape."
        )
    return FrameScores(region_similarity(masks, targets), contour_accuracy(masks, targets))


def score_label_maps(
    label_maps: Int[NDArray, "T H W"],
    targets: Int[NDArray, "T H W"],
    object_ids: Iterable[int],
) -> dict[int, FrameScores]:
    """`score_frames` for each id; an id that a label map lacks is an empty mask."""
    return {i: score_frames(label_maps == i, targets == i) for i in object_ids}


def init_state() -> State:
    """The state before any object was scored."""
    return {}


def update(state: State, video: str, object_id: int, scores: FrameScores) -> State:
    """The state with one more object."""
    return merge(state, {(video, object_id): scores})


def merge(first: State, second: State) -> State:
    """The state of two evaluations over different objects."""
    if twice := sorted(set(first) & set(second)):
        raise ValueError(f"Scored twice (video, object id): {twice}.")
    return {**first, **second}


def _statistics(values: np.ndarray) -> dict[str, float]:
    # Four overlapping quarters: each ends on the frame with which the next begins.
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return {
        "mean": float(values.mean()),
        "recall": float((values > RECALL_THRESHOLD).mean()),
        "decay": float(first.mean() - last.mean()),
    }


def compute(state: State) -> dict[str, Any]:
    """Mean, recall and decay of J and F over all objects, and every object's own.

    The first frame (it carries the prompt) and the last are dropped. Means run over frames, then
    over the objects of all videos alike. J&F is the mean of the two.
    """
    if not state:
        raise ValueError("No object was scored.")
    objects = []
    for (video, object_id), scores in sorted(state.items()):
        if len(scores.region) < 3:
            raise ValueError(
                f"Video {video!r} has {len(scores.region)} frames; DAVIS drops the first and the "
                "last, so at least 3 are needed."
            )
        region = _statistics(scores.region[1:-1])
        contour = _statistics(scores.contour[1:-1])
        both = (region["mean"] + contour["mean"]) / 2
        objects.append({"video": video, "id": object_id, "J&F": both, "J": region, "F": contour})

    def mean_of(measure: str) -> dict[str, float]:
        names = ("mean", "recall", "decay")
        return {name: float(np.mean([o[measure][name] for o in objects])) for name in names}

    region, contour = mean_of("J"), mean_of("F")
    both = (region["mean"] + contour["mean"]) / 2
    return {"protocol": "davis2017", "J&F": both, "J": region, "F": contour, "objects": objects}
