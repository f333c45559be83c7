"""Temporal consistency: static and shifted scenes by hand, contours against a slow walk."""

import math

import cv2
import numpy as np
import pytest

from surgjax.metrics import contours, optical_flow, temporal


def _label_map(size=40, top=10, left=12, height=8, width=8, label=1):
    label_map = np.zeros((size, size), np.uint8)
    label_map[top : top + height, left : left + width] = label
    return label_map


def _state(*pairs, video="a"):
    return temporal.update(temporal.init_state(), video, dict(enumerate(pairs)))


def test_a_static_video_is_perfect():
    label_map = _label_map()
    result = temporal.compute(_state(temporal.score_pair(label_map, label_map)))
    assert result["IoU_T"] == 1 and result["CD_T"] == 0


def test_a_shift_by_one_pixel_by_hand():
    # An 8 x 8 square one column to the right: 56 of 72 pixels shared. Its contour has 8 points on
    # each side, half a pixel out, and the first one again: x = 11.5 and 19.5, y = 9.5 and 17.5.
    scores = temporal.score_pair(_label_map(), _label_map(left=13))
    assert scores[1].iou == pytest.approx(56 / 72)
    assert scores[0].iou == pytest.approx((1600 - 72) / (1600 - 56))
    # On the upper and lower side 7 of 8 points lie on the other contour; the rest is counted out.
    points = contours.contour_points(_label_map()), contours.contour_points(_label_map(left=13))
    assert [len(p) for p in points] == [33, 33]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    wanted = (apart.min(0).mean() + apart.min(1).mean()) / 2
    assert scores[1].other == pytest.approx(wanted, abs=1e-12)
    assert 0 < wanted < 1


def test_half_planes_that_move_are_as_far_apart_as_they_moved():
    # Straight edges from border to border: open contours, no point twice.
    first, second = np.zeros((2, 20, 30), bool)
    first[:, :10], second[:, :13] = True, True
    assert len(contours.contour_points(first)) == 20
    assert contours.contour_distance(first, second) == 3.0


def _crossings(mask):
    """Middles between every two neighbours that differ."""
    height, width = mask.shape
    across = {(y, x + 0.5) for y in range(height) for x in range(width - 1)
              if mask[y, x] != mask[y, x + 1]}  # fmt: skip
    down = {(y + 0.5, x) for y in range(height - 1) for x in range(width)
            if mask[y, x] != mask[y + 1, x]}  # fmt: skip
    return across | down


def test_contour_points_are_the_crossings_and_one_more_for_each_closed_contour():
    rng = np.random.default_rng(0)
    for shape in ((2, 2), (5, 9), (14, 11)):
        for density in (0.1, 0.5, 0.8):
            mask = np.pad(rng.random(shape) < density, 1)  # nothing touches the border: all closed
            points = [tuple(p) for p in contours.contour_points(mask).tolist()]
            assert set(points) == _crossings(mask)
            # One closed line around each 4-connected part, and around each hole; holes are
            # 8-connected, since diagonal neighbours of the inside stay apart.
            parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
            holes = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=8)[0] - 2
            assert len(points) - len(set(points)) == parts + holes


def test_contour_distance_equals_brute_force():
    rng = np.random.default_rng(1)
    for _ in range(30):
        shape = tuple(rng.integers(3, 30, 2))
        masks = rng.random((2, *shape)) < rng.choice([0.01, 0.1, 0.5])
        if not all(m.any() and not m.all() for m in masks):
            continue
        first, second = (contours.contour_points(m) for m in masks)
        apart = np.linalg.norm(first[:, None] - second[None], axis=-1)
        wanted = (apart.min(0).mean() + apart.min(1).mean()) / 2
        assert contours.contour_distance(*masks) == pytest.approx(wanted, abs=1e-12)


def test_distances_across_the_whole_map_are_exact():
    first, second = np.zeros((2, 299, 299), bool)
    first[0, 0], second[298, 298] = True, True
    apart = contours.contour_distance(first, second)
    corner = contours.contour_points(second)
    brute = np.linalg.norm(contours.contour_points(first)[:, None] - corner[None], axis=-1)
    assert apart == pytest.approx((brute.min(0).mean() + brute.min(1).mean()) / 2, abs=1e-9)


def test_a_label_on_one_frame_only_has_iou_zero_and_no_distance():
    scores = temporal.score_pair(_label_map(), np.zeros((40, 40), np.uint8))
    assert scores[1].iou == 0 and math.isnan(scores[1].other)
    assert math.isnan(scores[0].other)  # the background fills the second frame: no contour
    full = np.ones((40, 40), np.uint8)
    result = temporal.compute(_state(temporal.score_pair(full, full)))
    assert result["IoU_T"] == 1 and math.isnan(result["CD_T"])


def test_means_run_over_pairs_of_all_videos_then_over_labels():
    def pair(**scores):
        return {int(k[1:]): temporal.PairScores(*v) for k, v in scores.items()}

    nan = math.nan
    state = temporal.merge(
        _state(pair(l0=(1.0, 2.0), l1=(0.5, nan)), pair(l0=(0.8, 4.0)), video="a"),
        _state(pair(l0=(0.6, 0.0), l1=(0.1, 7.0)), video="b"),
    )
    result = temporal.compute(state)
    assert result["IoU_T"] == pytest.approx((0.8 + 0.3) / 2)
    assert result["CD_T"] == pytest.approx((2.0 + 7.0) / 2)
    assert [row["pairs"] for row in result["per_label"]] == [3, 2]
    assert result["per_sequence"][0] == {
        "sequence": "a", "IoU_T": pytest.approx(0.7), "CD_T": pytest.approx(3.0),
    }  # fmt: skip
    with pytest.raises(ValueError, match="Scored twice"):
        temporal.merge(state, state)
    with pytest.raises(ValueError, match="no pair"):
        temporal.compute(temporal.init_state())


def test_zero_flow_is_the_plain_iou():
    first, second = _label_map(), _label_map(left=14)
    flow = np.zeros((24, 32, 2), np.float32)
    for mode in optical_flow.MODES:
        scores = optical_flow.score_pair(first, second, flow, mode)
        assert {k: s.iou for k, s in scores.items()} == {
            k: s.iou for k, s in temporal.score_pair(first, second).items()
        }
        assert scores[1].other == pytest.approx(2 * 48 / 128)  # Dice


def test_the_right_flow_makes_a_moving_scene_consistent_in_corrected_mode_only():
    # The square moves by (dx, dy) = (4, -2). The way back, on a grid half as large, is (-2, 1).
    first, second = _label_map(), _label_map(top=8, left=16)
    backward = np.full((20, 20, 2), (-2.0, 1.0))
    scores = optical_flow.score_pair(first, second, backward)
    assert scores[0].iou == scores[1].iou == 1
    # SASVi adds the forward flow where it samples: the square moves the wrong way, twice as far.
    forward = np.full((40, 40, 2), (4.0, -2.0))
    warped = optical_flow.warp(first, forward, "literal")
    assert (warped == _label_map(top=12, left=8)).all()
    assert optical_flow.score_pair(first, second, forward, "literal")[1].iou == 0
    # ... and a smaller grid is not scaled in literal mode.
    small = np.full((20, 20, 2), (4.0, -2.0))
    assert (optical_flow.warp(first, small, "literal") == warped).all()


def test_literal_cuts_off_and_corrected_rounds():
    row = np.arange(8, dtype=np.uint8)[None].repeat(2, 0)
    flow = np.full((2, 8, 2), (0.75, 0.0))
    assert optical_flow.warp(row, flow, "literal")[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert optical_flow.warp(row, flow)[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 7]


def test_flow_refusals():
    first = _label_map()
    for flow, message in (
        (np.zeros((40, 40, 3), np.float32), r"\(height, width, 2\) expected, float32 \(40, 40, 3"),
        (np.zeros((40, 40, 2), np.int32), "floats"),
        (np.full((40, 40, 2), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            optical_flow.score_pair(first, first, flow)
    with pytest.raises(ValueError, match="mode: one of corrected, literal"):
        optical_flow.warp(first, np.zeros((4, 4, 2)), "backwards")
