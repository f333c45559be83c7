"""Higher order tracking accuracy: how well objects are found, and how well they keep their names.

Path:    tracks -> [score_sequence] -> update -> merge -> compute -> HOTA, DetA, AssA
Axes:    A = 19 thresholds on the similarity, 0.05 to 0.95.
Units:   all scores in [0, 1]; counts in objects times frames.
Errors:  ValueError if a sequence is scored twice or none was.
Source:  arXiv:2009.07736; the details follow TrackEval 1.3.0, trackeval/metrics/hota.py.
Differs: nothing known; tests/metrics/test_trackeval.py holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from surgjax.metrics.by_name import in_order, init_state, merge, update
from surgjax.metrics.tracks import CountedPair, TrackPair, count_from_zero

__all__ = [
    "ALPHAS",
    "SCORES",
    "SequenceCounts",
    "State",
    "compute",
    "init_state",
    "merge",
    "per_alpha",
    "score_sequence",
    "update",
]

ALPHAS = np.arange(0.05, 0.99, 0.05)
_EPSILON = np.finfo(float).eps
SCORES = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "OWTA")


@dataclass(frozen=True)
class SequenceCounts:
    """What one sequence adds to the sums, each [A]; association and similarity per match summed."""

    true_positives: np.ndarray
    false_negatives: np.ndarray
    false_positives: np.ndarray
    association: np.ndarray
    association_recall: np.ndarray
    association_precision: np.ndarray
    similarity: np.ndarray

    def __add__(self, other: "SequenceCounts") -> "SequenceCounts":
        mine, theirs = vars(self), vars(other)
        return SequenceCounts(**{name: mine[name] + theirs[name] for name in mine})


State = Mapping[str, SequenceCounts]


def _alignment(counted: CountedPair) -> np.ndarray:
    """[truths, predictions]: how much two tracks overlap over the whole sequence, 0..1."""
    shared = np.zeros((len(counted.truth_count), len(counted.predicted_count)))
    pair = counted.pair
    for true, predicted, similarity in zip(
        pair.truth_ids, pair.predicted_ids, pair.similarities, strict=True
    ):
        claimed = similarity.sum(0)[None] + similarity.sum(1)[:, None] - similarity
        real = claimed > _EPSILON
        share = np.where(real, similarity / np.where(real, claimed, 1.0), 0.0)
        shared[true[:, None], predicted[None]] += share
    return shared / (counted.truth_count[:, None] + counted.predicted_count[None] - shared)


def score_sequence(pair: TrackPair) -> SequenceCounts:
    """Matches every frame once, by overlap of the whole tracks times similarity of the frame."""
    counted = count_from_zero(pair)
    truths, predictions = counted.truth_count, counted.predicted_count
    zeros = np.zeros(len(ALPHAS))
    if truths.sum() == 0 or predictions.sum() == 0:
        missed, extra = zeros + truths.sum(), zeros + predictions.sum()
        return SequenceCounts(zeros, missed, extra, zeros, zeros, zeros, zeros)
    alignment = _alignment(counted)
    matches = np.zeros((len(ALPHAS), len(truths), len(predictions)))
    similar = zeros.copy()
    for true, predicted, similarity in zip(
        counted.pair.truth_ids, counted.pair.predicted_ids, counted.pair.similarities, strict=True
    ):
        weight = alignment[true[:, None], predicted[None]] * similarity
        rows, columns = linear_sum_assignment(weight, maximize=True)
        found = similarity[rows, columns]
        counts = found >= ALPHAS[:, None] - _EPSILON  # [A, matched pairs]
        matches[:, true[rows], predicted[columns]] += counts
        similar += (counts * found).sum(1)
    both = truths[:, None] + predictions[None]
    hits = matches.sum((1, 2))
    return SequenceCounts(
        true_positives=hits,
        false_negatives=truths.sum() - hits,
        false_positives=predictions.sum() - hits,
        association=(matches**2 / np.maximum(1, both - matches)).sum((1, 2)),
        association_recall=(matches**2 / truths[:, None]).sum((1, 2)),
        association_precision=(matches**2 / predictions[None]).sum((1, 2)),
        similarity=similar,
    )


def per_alpha(counts: SequenceCounts) -> dict[str, np.ndarray]:
    """The scores at every threshold, [A]; also of stacks of counts, [*, A]."""
    hits = counts.true_positives
    some = np.maximum(1, hits)
    scores = {
        "DetA": hits / np.maximum(1, hits + counts.false_negatives + counts.false_positives),
        "DetRe": hits / np.maximum(1, hits + counts.false_negatives),
        "DetPr": hits / np.maximum(1, hits + counts.false_positives),
        "AssA": counts.association / some,
        "AssRe": counts.association_recall / some,
        "AssPr": counts.association_precision / some,
        # Nothing matched: nothing is misplaced either.
        "LocA": np.maximum(1e-10, counts.similarity) / np.maximum(1e-10, hits),
    }
    scores["HOTA"] = np.sqrt(scores["DetA"] * scores["AssA"])
    scores["OWTA"] = np.sqrt(scores["DetRe"] * scores["AssA"])
    return scores


def _summary(counts: SequenceCounts) -> dict[str, Any]:
    scores = per_alpha(counts)
    first = {"HOTA(0)": float(scores["HOTA"][0]), "LocA(0)": float(scores["LocA"][0])}
    return {
        **{name: float(scores[name].mean()) for name in SCORES},
        **first,
        "HOTALocA(0)": first["HOTA(0)"] * first["LocA(0)"],
        "HOTA_TP": float(counts.true_positives.mean()),
        "HOTA_FN": float(counts.false_negatives.mean()),
        "HOTA_FP": float(counts.false_positives.mean()),
        "per_alpha": {
            "alpha": ALPHAS.tolist(),
            **{name: scores[name].tolist() for name in SCORES},
        },
    }


def compute(state: State) -> dict[str, Any]:
    """HOTA and its parts, means over the thresholds, for all sequences together and for each.

    Sequences are pooled, not averaged: detections are added up, and association is a mean over all
    matches. `HOTA(0)` and `LocA(0)` are those of the lowest threshold; `per_alpha` has the curves.
    """
    sequences = in_order(state)
    total = sequences[0][1]
    for _, counts in sequences[1:]:
        total = total + counts
    return {
        "protocol": "hota",
        **_summary(total),
        "per_sequence": [{"sequence": name, **_summary(counts)} for name, counts in sequences],
    }
