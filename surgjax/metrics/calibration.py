"""Expected calibration error: does a confidence of 0.9 mean right nine times in ten?

Path:    mask probabilities, targets -> [update -> merge] -> compute -> ECE
Axes:    any shape, one entry a pixel (or a box, or a frame).
Units:   confidences in 0 .. 1, kept in steps of 2 ** -32 so that sums are whole numbers.
Errors:  ValueError for a confidence outside 0 .. 1, differing shapes, differing bins, no entry.
Source:  Guo et al., "On calibration of modern neural networks", ICML 2017: equal bins (low, high],
         ECE = sum over bins of (entries / all) * |share that is right - mean confidence|.
Differs: nothing; whole numbers make the result independent of the order of batches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_BINS = 15
_UNIT = 2**32


@dataclass(frozen=True)
class State:
    """Whole numbers, one a bin."""

    entries: tuple[int, ...]
    right: tuple[int, ...]
    confidence: tuple[int, ...]  # sums, in steps of 2 ** -32


def init_state(num_bins: int = NUM_BINS) -> State:
    """Empty bins."""
    return State(*((0,) * num_bins for _ in range(3)))


def merge(first: State, second: State) -> State:
    """The state of the entries of both."""
    if len(first.entries) != len(second.entries):
        raise ValueError(f"{len(first.entries)} and {len(second.entries)} bins cannot be merged.")

    def added(name: str) -> tuple[int, ...]:
        pairs = zip(getattr(first, name), getattr(second, name), strict=True)
        return tuple(a + b for a, b in pairs)

    return State(added("entries"), added("right"), added("confidence"))


def update(state: State, confidences: np.ndarray, right: np.ndarray) -> State:
    """The state with more entries: how sure, and whether it was right."""
    if confidences.shape != right.shape:
        raise ValueError(f"confidences {confidences.shape}, right {right.shape}: shapes differ.")
    values, right = confidences.astype(float).ravel(), right.astype(bool).ravel()
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"confidences from 0 to 1 expected, {values.min()} to {values.max()} found."
        )
    bins = len(state.entries)
    edges = np.arange(1, bins) / bins
    place = np.searchsorted(edges, values, side="left")  # a value on an edge goes below it
    steps = np.rint(values * _UNIT).astype(np.int64)
    counts = np.bincount(place, minlength=bins)
    sums = np.zeros(bins, np.int64)
    np.add.at(sums, place, steps)
    good = np.bincount(place[right], minlength=bins)
    return merge(state, State(*(tuple(part.tolist()) for part in (counts, good, sums))))


def update_masks(state: State, mask_probs: np.ndarray, targets: np.ndarray) -> State:
    """Pixels of binary masks: the confidence is that of the more likely side, never below 0.5."""
    chosen = mask_probs >= 0.5
    confidences = np.where(chosen, mask_probs, 1 - mask_probs)
    return update(state, confidences, chosen == targets.astype(bool))


def compute(state: State) -> dict[str, Any]:
    """`ece`, `accuracy`, `confidence`, and `bins` for a reliability diagram."""
    total = sum(state.entries)
    if not total:
        raise ValueError("calibration: no entry was counted.")
    bins, gap = [], 0.0
    for k, (count, right, steps) in enumerate(
        zip(state.entries, state.right, state.confidence, strict=True)
    ):
        if not count:
            continue
        accuracy, confidence = right / count, steps / _UNIT / count
        gap += count / total * abs(accuracy - confidence)
        edges = {"low": k / len(state.entries), "high": (k + 1) / len(state.entries)}
        bins.append(edges | {"entries": count, "accuracy": accuracy, "confidence": confidence})
    return {
        "ece": gap,
        "accuracy": sum(state.right) / total,
        "confidence": sum(state.confidence) / _UNIT / total,
        "bins": bins,
    }
