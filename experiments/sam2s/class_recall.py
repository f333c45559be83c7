"""How often every class is named rightly, each class counting the same, and with what interval.

Path:    LongRun -> [balanced] -> report.json, report.md
Axes:    hits and counts [W, V, K]: weights (training seeds), videos, classes of the bank.
Units:   fractions of 1.
Source:  balanced accuracy, the mean of the recalls; interval as `long_tables.differences`.
Differs: frames in sight only. Classes that no object of a draw has do not count in it, so whoever
         always says the same class reaches one over the number of classes that are there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.sam2s.long_scores import from_dict
from surgjax.evaluation.bootstrap import RESAMPLES


def recall_counts(
    contents: Sequence[Sequence[Mapping[str, Any]]], classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Hits and frames in sight [W, V, K] of the rows of every weights [W] and video [V]."""
    shape = (len(contents), len(contents[0]), len(classes))
    hits, counts = np.zeros(shape), np.zeros(shape)
    for w, videos in enumerate(contents):
        for v, content in enumerate(videos):
            for one in content["objects"]:
                rows = from_dict(one)
                if not rows.top_class or rows.category not in classes:
                    continue
                own = classes.index(rows.category)
                seen = np.array(rows.in_target, bool)
                hits[w, v, own] += (seen & (np.array(rows.top_class) == own)).sum()
                counts[w, v, own] += seen.sum()
    return hits, counts


def balanced(
    hits: np.ndarray, counts: np.ndarray, resamples: int = RESAMPLES, level: float = 0.95
) -> dict[str, Any]:
    """The mean recall, its interval (weights and videos drawn together; null with one video), the
    recalls, and what one answer for everything would have, with the interval of the gain."""
    seeds, videos, _ = hits.shape
    rng = np.random.default_rng(0)
    by_seed = rng.multinomial(seeds, [1 / seeds] * seeds, resamples).astype(float)
    by_video = rng.multinomial(videos, [1 / videos] * videos, resamples).astype(float)

    def scores(by_seed: np.ndarray, by_video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hit, count = (
            np.einsum("rw,wvk,rv->rk", by_seed, part, by_video, optimize=True)
            for part in (hits, counts)
        )
        there = count > 0
        some = there.any(1)  # a draw may be of videos without any object of a known class
        hit, count, there = hit[some], count[some], there[some]
        recall = np.divide(hit, count, out=np.zeros(hit.shape), where=there)
        return recall.sum(1) / there.sum(1), 1 / there.sum(1)

    (found,), (constant,) = scores(np.ones((1, seeds)), np.ones((1, videos)))
    drawn, constants = scores(by_seed, by_video)
    edges = [(1 - level) / 2, (1 + level) / 2]
    totals = counts.sum((0, 1))
    known = np.flatnonzero(totals)
    return {
        "balanced": float(found),
        "constant": float(constant),
        "interval": np.quantile(drawn, edges).tolist() if videos > 1 else None,
        "gain": np.quantile(drawn - constants, edges).tolist() if videos > 1 else None,
        "recalls": {int(k): float(hits[..., k].sum() / totals[k]) for k in known},
    }
