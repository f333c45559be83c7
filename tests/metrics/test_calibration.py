"""Calibration error and false positives by hand; sums that do not depend on batches."""

import numpy as np
import pytest

from surgjax.metrics import absence, calibration


def test_two_bins_by_hand():
    # Bin (0, 0.5]: confidence 0.25 and 0.5, one of two right: |0.5 - 0.375| = 0.125.
    # Bin (0.5, 1]: confidence 0.75, 1, 1, all right: |1 - 11/12| = 1/12.
    confidences = np.array([0.25, 0.5, 0.75, 1.0, 1.0])
    right = np.array([True, False, True, True, True])
    state = calibration.update(calibration.init_state(2), confidences, right)
    result = calibration.compute(state)
    assert result["ece"] == pytest.approx(2 / 5 * 0.125 + 3 / 5 / 12)
    assert result["accuracy"] == 0.8 and result["confidence"] == pytest.approx(0.7)
    assert [(b["entries"], b["accuracy"]) for b in result["bins"]] == [(2, 0.5), (3, 1.0)]


def test_a_sure_and_right_mask_is_calibrated_and_a_sure_and_wrong_one_is_not():
    target = np.arange(12).reshape(3, 4) % 2 == 0
    for probs, wanted in ((target, 0.0), (~target, 1.0)):
        state = calibration.update_masks(calibration.init_state(), probs.astype(float), target)
        assert calibration.compute(state)["ece"] == wanted
    # Never above 0.6 although always right: 0.4 too modest.
    modest = np.where(target, 0.6, 0.4)
    state = calibration.update_masks(calibration.init_state(), modest, target)
    assert calibration.compute(state)["ece"] == pytest.approx(0.4)


def test_batches_in_any_order_give_the_same_bits():
    rng = np.random.default_rng(0)
    values, right = rng.random(5000, np.float32), rng.random(5000) < 0.5
    whole = calibration.update(calibration.init_state(), values, right)
    parts = calibration.init_state()
    for piece in np.array_split(rng.permutation(5000), 7):
        part = calibration.update(calibration.init_state(), values[piece], right[piece])
        parts = calibration.merge(part, parts)
    assert parts == whole


def test_calibration_refusals():
    state = calibration.init_state()
    with pytest.raises(ValueError, match=r"0 to 1 expected, -0.5 to 2.0"):
        calibration.update(state, np.array([2.0, -0.5]), np.array([True, False]))
    with pytest.raises(ValueError, match="0 to 1 expected"):
        calibration.update(state, np.array([np.nan]), np.array([True]))
    with pytest.raises(ValueError, match="shapes differ"):
        calibration.update(state, np.ones(2), np.ones(3, bool))
    with pytest.raises(ValueError, match="15 and 10 bins"):
        calibration.merge(state, calibration.init_state(10))
    with pytest.raises(ValueError, match="no entry"):
        calibration.compute(state)


def test_false_positives_by_hand():
    # Two frames of three objects, 4 pixels each: objects 1 and 2 are absent on frame 0, object 2 on
    # frame 1; found are 3, 1 and 0 of their pixels.
    masks, targets = np.zeros((2, 3, 2, 2), bool), np.zeros((2, 3, 2, 2), bool)
    targets[:, 0], targets[1, 1] = True, True
    masks[0, 1, 0], masks[0, 1, 1, 0], masks[0, 2, 0, 0] = True, True, True
    state = absence.update(absence.init_state(), masks, targets)
    result = absence.compute(state)
    assert (result["absent"], result["false_positives"]) == (3, 2)
    assert result["false_positive_rate"] == pytest.approx(2 / 3)
    assert result["false_area"] == pytest.approx(4 / 12)
    larger = absence.update(absence.init_state(min_area=2), masks, targets)
    assert absence.compute(larger)["false_positives"] == 1
    frames = [absence.update(absence.init_state(), masks[t], targets[t]) for t in (0, 1)]
    assert absence.merge(*frames) == absence.merge(*frames[::-1]) == state


def test_absence_refusals():
    state = absence.init_state()
    with pytest.raises(ValueError, match="every object is present"):
        absence.compute(absence.update(state, np.ones((1, 2, 2), bool), np.ones((1, 2, 2), bool)))
    with pytest.raises(ValueError, match="differ in shape"):
        absence.update(state, np.ones((1, 2, 2), bool), np.ones((2, 2, 2), bool))
    with pytest.raises(ValueError, match="min_area 1 and 5"):
        absence.merge(state, absence.init_state(5))
