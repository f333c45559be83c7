"""Paired bootstrap: is one run better than another, or only on these sequences by luck?

Path:    two reports -> [paired_intervals] -> html_report
Axes:    R draws of S sequences, the same for both runs.
Units:   as the score.
Errors:  ValueError naming the runs, and the sequences or objects that one has and the other lacks.
Source:  Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile interval.
Differs: sequences are drawn with all their objects and frames, since those of one video are no
         independent samples; each draw is scored as the protocol scores a data set, so that an
         interval belongs to the difference of the scores, not to one of means over sequences.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from surgjax.evaluation.sequence_sums import SUMS, scores_of

RESAMPLES = 10_000
_CHUNK = 1_000  # draws at a time, which bounds the memory
_DEFINED = 0.95  # share of draws in which a score must have a sample
_CLOSE = 1e-9


class Interval(NamedTuple):
    """Of second - first."""

    low: float
    high: float


def _keys(report: Mapping[str, Any]) -> set[tuple[str, Any]]:
    """What is scored: objects where the report lists them, else sequences."""
    rows = report.get("per_object") or report.get("per_sequence") or ()
    return {(str(row["sequence"]), row.get("object")) for row in rows}


def check_pairs(first: Mapping[str, Any], second: Mapping[str, Any], name: str) -> None:
    """Refuses runs that scored other sequences or objects; `name` is that of the second."""
    if odd := sorted(_keys(first) ^ _keys(second), key=str):
        shown = [f"{sequence}, object {i}" if i is not None else sequence for sequence, i in odd]
        raise ValueError(
            f"--compare {name}: runs cannot be paired: only one of them has {'; '.join(shown[:5])}."
        )


def _rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sums of a report, with NaN where its file has null; by sequence."""
    return [
        {
            "sequence": str(row["sequence"]),
            "values": {n: math.nan if v is None else v for n, v in row["values"].items()},
        }
        for row in sorted(report.get("sums", ()), key=lambda row: str(row["sequence"]))
    ]


def _agree(report: Mapping[str, Any], measure: str, found: np.ndarray) -> bool:
    """Whether the sums of a report give its score."""
    score = report.get(measure)
    return score is not None and abs(found[0] - score) <= _CLOSE * max(1.0, abs(score))


def paired_intervals(
    first: Mapping[str, Any], second: Mapping[str, Any], seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Measure -> interval of second - first.

    A measure is left out where a report has no sums that give its score, where it has no sample in
    some draws, and where there are fewer than two sequences.
    """
    protocol, sides = first["protocol"], (_rows(first), _rows(second))
    count = len(sides[0])
    names = [[row["sequence"] for row in rows] for rows in sides]
    if protocol not in SUMS or count < 2 or names[0] != names[1]:
        return {}
    whole = [scores_of(protocol, rows, np.ones((1, count))) for rows in sides]
    sound = [
        name
        for name in whole[0]
        if all(_agree(r, name, w[name]) for r, w in zip((first, second), whole, strict=True))
    ]
    draws = np.random.default_rng(seed).multinomial(count, [1 / count] * count, RESAMPLES)
    parts = [_differences(protocol, sides, part) for part in np.split(draws, RESAMPLES // _CHUNK)]
    intervals = {}
    for name in sound:
        values = np.concatenate([part[name] for part in parts])
        defined = values[~np.isnan(values)]
        if len(defined) >= _DEFINED * RESAMPLES:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
            intervals[name] = Interval(float(low), float(high))
    return intervals


def _differences(
    protocol: str, sides: Sequence[Sequence[Mapping[str, Any]]], draws: np.ndarray
) -> dict[str, np.ndarray]:
    first, second = (scores_of(protocol, rows, draws) for rows in sides)
    return {name: second[name] - first[name] for name in first.keys() & second.keys()}
