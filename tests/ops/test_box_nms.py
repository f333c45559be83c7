"""Suppression of boxes, by hand; tests/parity compares with torchvision's where it is installed."""

import numpy as np
import pytest

from surgjax.ops.box_nms import box_nms

BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [0, 0, 10, 10]])


def test_the_best_of_overlapping_boxes_stays():
    scores = np.array([0.5, 0.9, 0.1, 0.4])
    # IoU of the first two is 50 / 100: no more than the threshold, so both stay.
    assert box_nms(BOXES, scores, 0.5).tolist() == [1, 0, 2]
    assert box_nms(BOXES, scores, 0.49).tolist() == [1, 2]
    assert box_nms(BOXES, scores, 1.0).tolist() == [1, 0, 3, 2]


def test_equal_scores_keep_their_order():
    assert box_nms(BOXES, np.full(4, 0.5), 0.7).tolist() == [0, 1, 2]


def test_a_suppressed_box_suppresses_nothing():
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert box_nms(boxes, np.array([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_boxes_without_area_and_no_boxes():
    assert box_nms(np.zeros((3, 4)), np.array([0.1, 0.3, 0.2]), 0.0).tolist() == [1, 2, 0]
    assert box_nms(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"boxes \(N, 4\) and scores \(N,\) expected, \(4, 4\)"):
        box_nms(BOXES, np.zeros(3), 0.5)
