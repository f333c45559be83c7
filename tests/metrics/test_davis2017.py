import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surgjax import metrics


def _square(height, width, top, left, size):
    mask = np.zeros((height, width), bool)
    mask[top : top + size, left : left + size] = True
    return mask


def _edge_pixels(mask):
    """Boundary pixels by walking over all pixels, as the rule reads."""
    height, width = mask.shape
    pixels = []
    for y in range(height):
        for x in range(width):
            steps = ((0, 1), (1, 0), (1, 1))
            inside = [(y + dy, x + dx) for dy, dx in steps if y + dy < height and x + dx < width]
            if any(mask[n] != mask[y, x] for n in inside):
                pixels.append((y, x))
    return np.array(pixels, float).reshape(-1, 2)


def _brute_force_f(mask, target):
    radius = math.ceil(0.008 * math.hypot(*mask.shape))
    found, wanted = _edge_pixels(mask), _edge_pixels(target)
    if len(found) == 0 or len(wanted) == 0:
        return float(len(found) == len(wanted))
    near = np.linalg.norm(found[:, None] - wanted[None], axis=-1) <= radius
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


# 3 x 3 and 2 x 2 squares on 8 x 8, worked out by hand: (mask, target, J).
J_TABLE = [
    (_square(8, 8, 1, 1, 3), _square(8, 8, 1, 1, 3), 1.0),
    (_square(8, 8, 1, 1, 3), _square(8, 8, 1, 2, 3), 6 / 12),  # two columns of three shared
    (_square(8, 8, 1, 1, 2), _square(8, 8, 2, 2, 2), 1 / 7),
    (_square(8, 8, 0, 0, 2), _square(8, 8, 5, 5, 2), 0.0),
    (np.zeros((8, 8), bool), np.zeros((8, 8), bool), 1.0),
    (np.zeros((8, 8), bool), _square(8, 8, 1, 1, 3), 0.0),
    (_square(8, 8, 1, 1, 3), np.zeros((8, 8), bool), 0.0),
]


@pytest.mark.parametrize(("mask", "target", "expected"), J_TABLE)
def test_region_similarity_by_hand(mask, target, expected):
    assert metrics.region_similarity(mask[None], target[None]) == pytest.approx([expected])


def test_boundary_of_a_square_by_hand():
    # A 2 x 2 square with its corner at (2, 2): the line runs through row 1 and column 1.
    drawn = metrics.boundary_map(_square(6, 6, 2, 2, 2)).astype(int).tolist()
    assert drawn == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_image_border_is_no_boundary():
    assert not metrics.boundary_map(np.ones((5, 7), bool)).any()
    left_half = np.zeros((4, 6), bool)
    left_half[:, :3] = True
    assert np.argwhere(metrics.boundary_map(left_half)).tolist() == [[y, 2] for y in range(4)]
    corner = np.zeros((4, 4), bool)
    corner[3, 3] = True
    assert np.argwhere(metrics.boundary_map(corner)).tolist() == [[2, 2], [2, 3], [3, 2]]


def test_contour_accuracy_tolerates_the_radius_and_no_more():
    # 300 x 400 has a diagonal of 500, so the radius is exactly 4.
    half = np.zeros((300, 400), bool)
    half[:, :200] = True
    for shift, expected in ((0, 1.0), (4, 1.0), (5, 0.0)):
        shifted = np.zeros((300, 400), bool)
        shifted[:, : 200 + shift] = True
        assert metrics.contour_accuracy(shifted[None], half[None]) == pytest.approx([expected])


def test_contour_accuracy_with_precision_and_recall_apart():
    # Target: one vertical edge. Mask: the same edge and another one far away, so P = 1/2, R = 1.
    target = np.zeros((50, 200), bool)
    target[:, :60] = True
    mask = target.copy()
    mask[:, 150:] = True
    assert metrics.contour_accuracy(mask[None], target[None]) == pytest.approx([2 / 3])


@pytest.mark.parametrize(
    ("mask_empty", "target_empty", "expected"),
    [(True, True, 1.0), (True, False, 0.0), (False, True, 0.0)],
)
def test_contour_accuracy_of_empty_masks(mask_empty, target_empty, expected):
    square, empty = _square(20, 20, 5, 5, 6), np.zeros((20, 20), bool)
    mask, target = (empty if mask_empty else square), (empty if target_empty else square)
    assert metrics.contour_accuracy(mask[None], target[None]) == [expected]


_SHAPES = st.tuples(st.integers(2, 14), st.integers(2, 14))


@st.composite
def _pairs(draw):
    shape = draw(_SHAPES)
    density = draw(st.sampled_from([0.02, 0.2, 0.5]))
    noise = hnp.arrays(np.float32, (2, *shape), elements=st.floats(0, 1, width=32))
    return draw(noise) < density


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_pairs())
def test_contour_accuracy_equals_brute_force(pair):
    mask, target = pair
    assert metrics.contour_accuracy(mask[None], target[None]) == pytest.approx(
        [_brute_force_f(mask, target)]
    )


def test_contour_accuracy_equals_brute_force_with_a_wide_disk():
    rng = np.random.default_rng(0)
    for _ in range(5):  # 90 x 160: radius 2
        centre, other = rng.uniform(20, 70, (2, 2))
        y, x = np.mgrid[:90, :160]
        mask = np.hypot(y - centre[0], x - centre[1]) < 15
        target = np.hypot(y - centre[0] - 2, x - centre[1] - 1) < 15
        target |= np.hypot(y - other[0], x - other[1] - 60) < 6
        score = metrics.contour_accuracy(mask[None], target[None])
        assert 0 < score[0] < 1
        assert score == pytest.approx([_brute_force_f(mask, target)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(_pairs())
def test_scores_are_symmetric_bounded_and_one_for_equal_masks(pair):
    mask, target = pair[:1], pair[1:]
    for score in (metrics.region_similarity, metrics.contour_accuracy):
        assert score(mask, target) == pytest.approx(score(target, mask))
        assert 0 <= score(mask, target)[0] <= 1
        assert score(mask, mask) == [1.0]


def _scores(values):
    return metrics.FrameScores(np.array(values, float), np.array(values, float) / 2)


def test_first_and_last_frame_are_dropped():
    result = metrics.compute({("a", 1): _scores([0.0, 1.0, 0.5, 0.0])})
    assert result["J"]["mean"] == pytest.approx(0.75)
    assert result["F"]["mean"] == pytest.approx(0.375)
    assert result["J&F"] == pytest.approx(0.5625)


def test_recall_is_strictly_above_one_half():
    result = metrics.compute({("a", 1): _scores([0, 0.5, 0.51, 0.9, 0.1, 0])})
    assert result["J"]["recall"] == pytest.approx(0.5)


def test_decay_by_hand():
    # Eight frames stay. Quarters over 1..8 end at rounded 2.75, 4.5, 6.25: frames 1-3, ..., 6-8.
    values = [9, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 9]
    result = metrics.compute({("a", 1): _scores(values)})
    assert result["J"]["decay"] == pytest.approx(0.9 - 0.4)


def test_decay_of_a_long_video_uses_real_quarters():
    values = np.r_[0, np.ones(500), np.zeros(500), 0]
    assert metrics.compute({("a", 1): _scores(values)})["J"]["decay"] == pytest.approx(1.0)


def test_objects_count_alike_whatever_their_video():
    state = metrics.init_state()
    state = metrics.update(state, "a", 1, _scores([0, 1.0, 1.0, 0]))
    state = metrics.update(state, "a", 2, _scores([0, 0.4, 0.6, 0]))
    state = metrics.update(state, "b", 1, _scores([0, 0.0, 0]))
    result = metrics.compute(state)
    assert result["J"]["mean"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert [(o["video"], o["id"]) for o in result["objects"]] == [("a", 1), ("a", 2), ("b", 1)]
    assert result["objects"][1]["J&F"] == pytest.approx((0.5 + 0.25) / 2)


def test_merge_equals_one_pass_and_refuses_a_second_score():
    one = metrics.update(metrics.init_state(), "a", 1, _scores([0, 1, 0]))
    two = metrics.update(metrics.init_state(), "b", 1, _scores([0, 0.5, 0]))
    both = metrics.merge(one, two)
    assert metrics.compute(both) == metrics.compute(metrics.merge(two, one))
    assert len(one) == 1  # states are values
    with pytest.raises(ValueError, match=r"Scored twice.*\('a', 1\)"):
        metrics.merge(both, one)


def test_label_maps_give_each_object_its_own_score():
    targets = np.zeros((4, 10, 10), np.uint8)
    targets[:, 2:5, 2:5], targets[:, 6:8, 6:8] = 1, 7
    tracked = np.where(targets == 1, targets, 0)
    scores = metrics.score_label_maps(tracked, targets, [1, 7])
    assert scores[1].region.tolist() == [1] * 4 and scores[1].contour.tolist() == [1] * 4
    assert scores[7].region.tolist() == [0] * 4 and scores[7].contour.tolist() == [0] * 4


def test_refusals():
    with pytest.raises(ValueError, match=r"masks \(3, 4, 4\) and targets \(3, 4, 5\) differ"):
        metrics.score_frames(np.zeros((3, 4, 4), bool), np.zeros((3, 4, 5), bool))
    with pytest.raises(ValueError, match="No object"):
        metrics.compute(metrics.init_state())
    with pytest.raises(ValueError, match="'a' has 2 frames"):
        metrics.compute({("a", 1): _scores([1, 1])})
    with pytest.raises(TypeError, match="argument 'masks'"):
        metrics.region_similarity(np.zeros((3, 4, 4)), np.zeros((3, 4, 4), bool))  # probabilities
