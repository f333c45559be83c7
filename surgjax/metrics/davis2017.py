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

import numpy as np

from surgjax.metrics import bit_masks
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
    lead = masks.shape[:-2]
    size = masks.shape[-2:]
    pairs = zip(masks.reshape(-1, *size), targets.reshape(-1, *size), strict=True)
    return np.array([jaccard(mask, target) for mask, target in pairs], float).reshape(lead)


def jaccard(mask: np.ndarray, target: np.ndarray) -> float:
    """J of one frame, bool [H, W] both."""
    union = np.count_nonzero(mask | target)
    return np.count_nonzero(mask & target) / union if union else 1.0


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


def boundary_measure(mask: np.ndarray, target: np.ndarray) -> float:
    """F of one frame, bool [H, W] both; see `contour_accuracy`."""
    radius = math.ceil(BOUNDARY_TOLERANCE * math.hypot(*mask.shape))
    rows, columns = bit_masks.window(mask, target)
    mask, target = mask[rows, columns], target[rows, columns]
    grid = bit_masks.grid_of(mask.shape, guard=radius)
    found = bit_masks.boundary(bit_masks.pack(mask, grid), grid)
    wanted = bit_masks.boundary(bit_masks.pack(target, grid), grid)
    if not found or not wanted:
        # One empty: precision or recall is 0, and so is their mean. Both empty: nothing to miss.
        return float(found == wanted)
    near_found = bit_masks.dilate(found, grid, radius)
    near_wanted = bit_masks.dilate(wanted, grid, radius)
    precision = (found & near_wanted).bit_count() / found.bit_count()
    recall = (wanted & near_found).bit_count() / wanted.bit_count()
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
    scores = [boundary_measure(m, t) for m, t in zip(masks, targets, strict=True)]
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


def statistics(values: np.ndarray, literal: bool = False) -> dict[str, float]:
    """Mean, recall (share above 0.5) and decay (first quarter less the last) of one object.

    `literal` counts frames in 8 bits for the decay, as the public code does.
    """
    # Four overlapping quarters: each ends on the frame with which the next begins.
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    if literal:
        edges = edges % 256
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    # Beyond 256 frames a literal quarter can be empty; the public code then has no decay either.
    decay = float(first.mean() - last.mean()) if len(first) and len(last) else math.nan
    return {
        "mean": float(values.mean()),
        "recall": float((values > RECALL_THRESHOLD).mean()),
        "decay": decay,
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
        region = statistics(scores.region[1:-1])
        contour = statistics(scores.contour[1:-1])
        both = (region["mean"] + contour["mean"]) / 2
        objects.append({"video": video, "id": object_id, "J&F": both, "J": region, "F": contour})

    def mean_of(measure: str) -> dict[str, float]:
        names = ("mean", "recall", "decay")
        return {name: float(np.mean([o[measure][name] for o in objects])) for name in names}

    region, contour = mean_of("J"), mean_of("F")
    both = (region["mean"] + contour["mean"]) / 2
    return {"protocol": "davis2017", "J&F": both, "J": region, "F": contour, "objects": objects}
