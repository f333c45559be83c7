"""CLEAR tracking scores: misses, false alarms and swapped names at one threshold.

Path:    tracks -> [score_sequence] -> update -> merge -> compute -> MOTA, MOTP, IDSW
Axes:    one number per sequence and count.
Units:   scores are fractions of 1; MOTA, MODA and sMOTA can be negative; MOTP is the mean
         similarity of the matches (1 is best), not a distance.
Errors:  ValueError if a sequence is scored twice or none was.
Source:  Bernardin and Stiefelhagen 2008, doi:10.1155/2008/246309; the details follow TrackEval
         1.3.0, trackeval/metrics/clear.py.
Differs: TrackEval leaves the frames of a sequence without truth or without prediction out of
         FP_per_frame while it counts their false alarms; here every frame counts, and
         `compute(..., frames="trackeval")` does as TrackEval does. For one sequence without truth
         TrackEval leaves MOTA, MODA, sMOTA and others at 0 and says MLR 1, unlike its own sum over
         that one sequence; here they are what the sum says.
         Copied as it stands: a frame without truth or prediction does not break off the matches of
         the frame before.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from surgjax.metrics.by_name import in_order, init_state, merge, update
from surgjax.metrics.tracks import TrackPair, count_from_zero

__all__ = [
    "SequenceCounts",
    "State",
    "THRESHOLD",
    "compute",
    "init_state",
    "merge",
    "score_sequence",
    "update",
]

THRESHOLD = 0.5
_KEEP = 1000.0  # a match that goes on outweighs any similarity
_EPSILON = np.finfo(float).eps
_NOBODY = -1


@dataclass(frozen=True)
class SequenceCounts:
    """Counts of one sequence; all add up over sequences."""

    true_positives: int = 0
    false_negatives: int = 0
    false_positives: int = 0
    switches: int = 0
    fragments: int = 0
    mostly_tracked: int = 0
    partly_tracked: int = 0
    mostly_lost: int = 0
    frames: int = 0
    frames_with_both: int = 0  # `frames`, or 0 where the sequence has no truth or no prediction
    similarity: float = 0.0  # of all matches

    def __add__(self, other: "SequenceCounts") -> "SequenceCounts":
        names = [field.name for field in fields(self)]
        return SequenceCounts(*[getattr(self, n) + getattr(other, n) for n in names])


State = Mapping[str, SequenceCounts]


def _match(similarity: np.ndarray, goes_on: np.ndarray, threshold: float):
    """Rows and columns of the best matching that keeps as many old matches as it can."""
    weight = np.where(similarity >= threshold - _EPSILON, _KEEP * goes_on + similarity, 0.0)
    rows, columns = linear_sum_assignment(weight, maximize=True)
    real = weight[rows, columns] > _EPSILON
    return rows[real], columns[real]


def score_sequence(pair: TrackPair, threshold: float = THRESHOLD) -> SequenceCounts:
    """Matches frame by frame; a pair needs at least `threshold` similarity."""
    counted = count_from_zero(pair)
    truths = len(counted.truth_count)
    if truths == 0 or len(counted.predicted_count) == 0:
        return SequenceCounts(
            false_negatives=int(counted.truth_count.sum()),
            false_positives=int(counted.predicted_count.sum()),
            mostly_lost=truths,
            frames=len(pair),
        )
    last_name = np.full(truths, _NOBODY)  # of the last match, however long ago
    name_before = np.full(truths, _NOBODY)  # of the frame before only
    matched, begun = np.zeros(truths, int), np.zeros(truths, int)
    switches, similar = 0, 0.0
    for true, predicted, similarity in zip(
        counted.pair.truth_ids, counted.pair.predicted_ids, counted.pair.similarities, strict=True
    ):
        if len(true) == 0 or len(predicted) == 0:
            continue
        goes_on = predicted[None] == name_before[true][:, None]
        rows, columns = _match(similarity, goes_on, threshold)
        mine, names = true[rows], predicted[columns]
        switches += int(((last_name[mine] != _NOBODY) & (last_name[mine] != names)).sum())
        similar += float(similarity[rows, columns].sum())
        matched[mine] += 1
        last_name[mine] = names
        now = np.full(truths, _NOBODY)
        now[mine] = names
        begun += (name_before == _NOBODY) & (now != _NOBODY)
        name_before = now
    ratio = matched / counted.truth_count
    tracked, at_least_partly = int((ratio > 0.8).sum()), int((ratio >= 0.2).sum())
    hits = int(matched.sum())
    return SequenceCounts(
        true_positives=hits,
        false_negatives=int(counted.truth_count.sum()) - hits,
        false_positives=int(counted.predicted_count.sum()) - hits,
        switches=switches,
        fragments=int(np.maximum(begun - 1, 0).sum()),
        mostly_tracked=tracked,
        partly_tracked=at_least_partly - tracked,
        mostly_lost=truths - at_least_partly,
        frames=len(pair),
        frames_with_both=len(pair),
        similarity=similar,
    )


def _summary(c: SequenceCounts, frames: str) -> dict[str, float]:
    truths = max(1, c.true_positives + c.false_negatives)
    tracks = max(1, c.mostly_tracked + c.partly_tracked + c.mostly_lost)
    errors = 0.5 * (c.false_negatives + c.false_positives)
    right = c.true_positives - c.false_positives
    counted_frames = c.frames if frames == "all" else c.frames_with_both
    return {
        "MOTA": (right - c.switches) / truths,
        "MOTP": c.similarity / max(1, c.true_positives),
        "MODA": right / truths,
        "sMOTA": (c.similarity - c.false_positives - c.switches) / truths,
        "MOTAL": (right - (math.log10(c.switches) if c.switches else 0.0)) / truths,
        "CLR_Re": c.true_positives / truths,
        "CLR_Pr": c.true_positives / max(1, c.true_positives + c.false_positives),
        "CLR_F1": c.true_positives / max(1.0, c.true_positives + errors),
        "FP_per_frame": c.false_positives / max(1, counted_frames),
        "MTR": c.mostly_tracked / tracks,
        "PTR": c.partly_tracked / tracks,
        "MLR": c.mostly_lost / tracks,
        "CLR_TP": float(c.true_positives),
        "CLR_FN": float(c.false_negatives),
        "CLR_FP": float(c.false_positives),
        "IDSW": float(c.switches),
        "Frag": float(c.fragments),
        "MT": float(c.mostly_tracked),
        "PT": float(c.partly_tracked),
        "ML": float(c.mostly_lost),
        "CLR_Frames": float(counted_frames),
    }


def compute(state: State, frames: str = "all") -> dict[str, Any]:
    """MOTA and its relatives from counts added up over sequences, and each sequence's own.

    `frames` says which frames FP_per_frame divides by: "all", or "trackeval" (see the head).
    """
    if frames not in ("all", "trackeval"):
        raise ValueError(f"frames: expected all or trackeval, found {frames!r}.")
    sequences = in_order(state)
    total = sum((counts for _, counts in sequences), SequenceCounts())
    return {
        "protocol": "clear",
        **_summary(total, frames),
        "per_sequence": [
            {"sequence": name, **_summary(counts, frames)} for name, counts in sequences
        ],
    }
