"""Paired bootstrap: is one run better than another, or only on these objects by luck?

Path:    two reports -> [paired_scores -> paired_difference] -> html_report
Axes:    N pairs, the same objects (or sequences) in both runs.
Units:   as the score.
Errors:  ValueError naming the objects that one run has and the other lacks.
Source:  Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile interval.
Differs: sequences are drawn with all their objects, since objects of one video are no independent
         samples.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

RESAMPLES = 10_000
# Rows of a report that can be paired: the first table that has the measure.
_TABLES = ("per_object", "per_sequence")


def paired_scores(
    first: Mapping[str, Any], second: Mapping[str, Any], measure: str
) -> dict[str, list[tuple[float, float]]]:
    """Sequence -> (first, second) scores of its objects, or of the sequence; {} if not listed.

    A score that one of the runs lacks (NaN, or null in its file) makes no pair.
    """
    for table in _TABLES:
        sides = []
        for report in (first, second):
            rows = [row for row in report.get(table, ()) if measure in row]
            sides.append({(str(r["sequence"]), r.get("object")): r[measure] for r in rows})
        if not any(sides):
            continue
        if odd := sorted(set(sides[0]) ^ set(sides[1]), key=str):
            raise ValueError(f"runs cannot be paired: only one has {table} {odd[:5]}.")
        pairs: dict[str, list[tuple[float, float]]] = {}
        for key in sorted(sides[0], key=str):
            both = sides[0][key], sides[1][key]
            if not any(value is None or math.isnan(value) for value in both):
                pairs.setdefault(key[0], []).append(both)
        return pairs
    return {}


def paired_difference(
    pairs: Mapping[str, list[tuple[float, float]]], seed: int = 0, level: float = 0.95
) -> dict[str, float]:
    """Mean of second - first over all pairs, with its percentile interval `low` .. `high`."""
    if not pairs:
        raise ValueError("no pair to compare.")
    sums = np.array([sum(b - a for a, b in rows) for rows in pairs.values()])
    counts = np.array([len(rows) for rows in pairs.values()])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return {
        "difference": float(sums.sum() / counts.sum()),
        "low": float(low),
        "high": float(high),
        "pairs": int(counts.sum()),
        "sequences": len(sums),
    }
