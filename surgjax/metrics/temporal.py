"""Temporal consistency of predicted label maps, without ground truth: IoU_T and CD_T.

Path:    label maps -> resize_labels -> [score_pair -> update -> merge] -> compute -> IoU_T, CD_T
Axes:    label maps are uint8 (H, W); a pair is a frame and the next one of its video.
Units:   IoU_T as a fraction of 1, CD_T in pixels of the resized maps (299 x 299).
Errors:  ValueError if a pair differs in shape, comes twice, or there is no pair.
Source:  SASVi, eval_scripts/eval_vid_T.py. For every label in either frame of a pair, background
         included: IoU of the two masks, 0 if one lacks it; contour distance, left out if one has
         no contour. Mean over all pairs of all videos for each label, then over labels.
Differs: SASVi's distances come from a matrix product and are off by about 1e-6 pixels.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from surgjax.metrics.by_name import join, merge
from surgjax.metrics.contours import contour_distance
from surgjax.metrics.label_maps import labels_of
from surgjax.metrics.means import mean

__all__ = [
    "SIDE", "PairScores", "State", "by_sequence", "compute", "init_state", "join", "macro",
    "merge", "resize_labels", "score_pair", "update",
]  # fmt: skip

SIDE = 299


class PairScores(NamedTuple):
    """One label on one pair of frames."""

    iou: float
    other: float  # here the contour distance (NaN: none); the Dice of `optical_flow`


# The state of a running evaluation: (video, first frame of the pair) -> label -> scores.
State = Mapping[tuple[str, int], Mapping[int, PairScores]]


def resize_labels(label_map: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Nearest neighbour to (side, side), with the pixels that PyTorch's `nearest` takes."""
    rows, columns = (
        np.minimum(np.floor(np.arange(side, dtype=np.float32) * np.float32(size / side)), size - 1)
        for size in label_map.shape
    )
    return label_map[np.ix_(rows.astype(int), columns.astype(int))]


def score_pair(label_map: np.ndarray, following: np.ndarray) -> dict[int, PairScores]:
    """Every label of either map; both already at the size to score."""
    if label_map.shape != following.shape:
        raise ValueError(f"pair of label maps: {label_map.shape} and {following.shape} differ.")
    scores = {}
    for label in sorted(labels_of(label_map) | labels_of(following)):
        mask, other = label_map == label, following == label
        iou = np.count_nonzero(mask & other) / np.count_nonzero(mask | other)
        scores[label] = PairScores(iou, contour_distance(mask, other))
    return scores


def init_state() -> State:
    """The state before any pair was scored."""
    return {}


def update(state: State, video: str, pairs: Mapping[int, Mapping[int, PairScores]]) -> State:
    """The state with more pairs of a video, by their first frame."""
    return merge(state, {(video, frame): scores for frame, scores in pairs.items()})


def _known_mean(values: Iterable[float]) -> float:
    return mean(value for value in values if not math.isnan(value))


def macro(state: State, names: tuple[str, str]) -> dict[str, Any]:
    """Mean over the pairs for each label, then over labels; the two scores under `names`."""
    if not state:
        raise ValueError("no pair of frames was scored.")
    values: dict[int, list[PairScores]] = {}
    for _, pair in sorted(state.items()):
        for label, scores in pair.items():
            values.setdefault(label, []).append(scores)
    per_label = [
        {"label": label, "pairs": len(rows)}
        | {name: _known_mean(row[k] for row in rows) for k, name in enumerate(names)}
        for label, rows in sorted(values.items())
    ]
    means = {name: _known_mean(row[name] for row in per_label) for name in names}
    return means | {"per_label": per_label}


def by_sequence(state: State, names: tuple[str, str]) -> list[dict[str, Any]]:
    """`macro` of each video alone, without its labels."""
    videos: dict[str, dict[tuple[str, int], Mapping[int, PairScores]]] = {}
    for key, pair in state.items():
        videos.setdefault(key[0], {})[key] = pair
    rows = []
    for video, part in sorted(videos.items()):
        result = macro(part, names)
        rows.append({"sequence": video} | {name: result[name] for name in names})
    return rows


def compute(state: State) -> dict[str, Any]:
    """IoU_T and CD_T (NaN if no pair had contours), `per_label` and `per_sequence`."""
    names = ("IoU_T", "CD_T")
    return macro(state, names) | {"per_sequence": by_sequence(state, names)}
