"""Calibration of soft and hard runs: bins by hand, a run against itself, an overconfident one."""

import numpy as np
import pytest

from experiments.sam2s import calibration_runs as subject
from surgjax.metrics import calibration


def _sums(probs, targets):
    bins, brier, pixels = subject.count(probs, targets)
    return subject.VideoSums(
        np.stack([bins, bins]),
        np.array([brier, brier]),
        np.array([pixels, pixels], float),
        np.array([0.8, 1.0]),
    )


def _run(seed, sharpness):
    """Eight videos of probabilities that are right as often as they say at a sharpness of 1."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(8):
        logits = rng.normal(0, 2, 4000)
        truth = rng.random(4000) < 1 / (1 + np.exp(-logits))
        found.append(_sums(1 / (1 + np.exp(-sharpness * logits)), [truth]))
    return found


def test_counts_equal_the_metric_and_a_sum_by_hand():
    probs = np.array([0.9, 0.2, 0.6])
    bins, brier, pixels = subject.count(probs, [np.array([1, 0, 0], bool)])
    assert pixels == 3 and brier == pytest.approx(0.01 + 0.04 + 0.36)
    state = calibration.update_masks(calibration.init_state(), probs, np.array([1, 0, 0], bool))
    found = subject.measures_of([_sums(probs, [np.array([1, 0, 0], bool)])], np.ones((1, 1)))
    assert found[0, 0] == pytest.approx(calibration.compute(state)["ece"], abs=1e-8)
    assert found[0, 4] == pytest.approx(0.8)


def test_an_overconfident_run_is_worse_and_a_run_equals_itself():
    calm, loud = [_run(seed, 1.0) for seed in range(3)], [_run(seed, 3.0) for seed in range(3)]
    found = subject.compare(calm, loud)
    assert found["ece"]["high"] < 0 and found["brier"]["high"] < 0
    assert max(found["ece"]["per_pair"]) < 0
    same = subject.compare(calm, calm)
    assert all(row["low"] == row["high"] == row["difference"] == 0 for row in same.values())


def test_the_band_lies_on_both_sides_of_the_contour():
    target = np.zeros((64, 64), bool)
    target[:, :32] = True
    band = subject.band_of(target)
    assert band[:, 24:40].all() and not band[:, :23].any() and not band[:, 41:].any()
