"""Identity scores: one name per object for the whole sequence, and how many frames fit it.

Path:    tracks -> [score_sequence] -> update -> merge -> compute -> IDF1, IDP, IDR
Axes:    one number per sequence and count.
Units:   scores in [0, 1]; counts in objects times frames.
Errors:  ValueError if a sequence is scored twice or none was.
Source:  arXiv:1609.01775; the details follow TrackEval 1.3.0, trackeval/metrics/identity.py.
Differs: TrackEval solves an assignment with a stand-in for every track that stays alone; the same
         optimum is the matching of tracks that share the most frames, which is solved here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class SequenceCounts:
    """Counts of one sequence; all add up over sequences."""

    true_positives: int = 0
    false_negatives: int = 0
    false_positives: int = 0

    def __add__(self, other: "SequenceCounts") -> "SequenceCounts":
        return SequenceCounts(
            self.true_positives + other.true_positives,
            self.false_negatives + other.false_negatives,
            self.false_positives + other.false_positives,
        )


State = Mapping[str, SequenceCounts]


def score_sequence(pair: TrackPair, threshold: float = THRESHOLD) -> SequenceCounts:
    """Gives each true track at most one predicted track so that they share the most frames."""
    counted = count_from_zero(pair)
    shared = np.zeros((len(counted.truth_count), len(counted.predicted_count)), int)
    for true, predicted, similarity in zip(
        counted.pair.truth_ids, counted.pair.predicted_ids, counted.pair.similarities, strict=True
    ):
        shared[true[:, None], predicted[None]] += similarity >= threshold
    rows, columns = linear_sum_assignment(shared, maximize=True)
    hits = int(shared[rows, columns].sum())
    return SequenceCounts(
        hits, int(counted.truth_count.sum()) - hits, int(counted.predicted_count.sum()) - hits
    )


def _summary(counts: SequenceCounts) -> dict[str, float]:
    hits, missed, extra = counts.true_positives, counts.false_negatives, counts.false_positives
    return {
        "IDF1": hits / max(1.0, hits + 0.5 * (missed + extra)),
        "IDR": hits / max(1, hits + missed),
        "IDP": hits / max(1, hits + extra),
        "IDTP": float(hits),
        "IDFN": float(missed),
        "IDFP": float(extra),
    }


def compute(state: State) -> dict[str, Any]:
    """IDF1, IDP and IDR from counts added up over sequences, and each sequence's own."""
    sequences = in_order(state)
    total = sum((counts for _, counts in sequences), SequenceCounts())
    return {
        "protocol": "identity",
        **_summary(total),
        "per_sequence": [{"sequence": name, **_summary(counts)} for name, counts in sequences],
    }
