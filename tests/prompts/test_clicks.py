"""Clicks and boxes by hand; distributions by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.prompts import clicks
from tests.prompts.error_regions import random_masks


def _mask(rows, columns, side=8):
    mask = np.zeros((side, side), bool)
    mask[rows, columns] = True
    return mask


def test_tight_box_and_empty_mask():
    masks = jnp.stack([jnp.array(_mask(slice(2, 5), slice(1, 7))), jnp.zeros((8, 8), bool)])
    np.testing.assert_array_equal(clicks.boxes_from_masks(masks), [[1, 2, 6, 4], [0, 0, 0, 0]])


def test_box_noise_stays_within_a_tenth_and_inside():
    boxes = jnp.tile(jnp.array([[0.0, 10.0, 50.0, 63.0]]), (500, 1))
    noisy = np.array(clicks.add_box_noise(jax.random.key(0), boxes, 64, 64))
    assert noisy.min() >= 0 and noisy.max() <= 63
    moved = np.abs(noisy - np.array(boxes)).max(0)
    assert moved[0] <= 5.0 and 4.5 < moved[2] <= 5.0 and 4.8 < moved[1] <= 5.3
    wide = jnp.array([[100.0, 100.0, 900.0, 900.0]])
    far = clicks.add_box_noise(jax.random.key(1), jnp.tile(wide, (500, 1)), 1000, 1000)
    assert np.abs(np.array(far) - np.array(wide)).max() <= 20.0


def test_sampled_pixels_are_uniform_over_the_mask():
    mask = jnp.array(_mask([0, 3, 3, 7], [5, 1, 2, 7]))
    points = clicks.sample_pixel(jax.random.key(0), jnp.tile(mask, (4000, 1, 1)))
    found, counts = np.unique(np.array(points), axis=0, return_counts=True)
    np.testing.assert_array_equal(found, [[1, 3], [2, 3], [5, 0], [7, 7]])
    assert counts.min() > 850 and counts.max() < 1150  # 1000 each, deviation about 27


def test_correction_falls_on_an_error_with_the_right_label():
    target = _mask(slice(0, 4), slice(0, 4))
    prediction = _mask(slice(2, 6), slice(0, 4))
    keys = jax.random.split(jax.random.key(0), 50)
    seen = set()
    for key in keys:
        point, label = clicks.sample_correction(key, jnp.array(prediction), jnp.array(target))
        column, row = np.array(point, int)
        assert target[row, column] != prediction[row, column]
        assert int(label) == int(target[row, column])
        seen.add(int(label))
    assert seen == {0, 1}


def test_no_error_gives_a_negative_click_on_the_background():
    mask = jnp.array(_mask(slice(0, 7), slice(0, 8)))
    point, label = clicks.sample_correction(jax.random.key(3), mask, mask)
    assert int(label) == 0 and int(point[1]) == 7


def test_first_click_is_positive_on_the_target():
    masks = jnp.stack([jnp.array(_mask([4], [6])), jnp.zeros((8, 8), bool)])
    point, label = clicks.first_click(jax.random.key(0), masks)
    np.testing.assert_array_equal(point[0], [6, 4])
    np.testing.assert_array_equal(label, [1, 0])


def test_center_click_takes_the_larger_error():
    target = _mask(slice(0, 5), slice(0, 5))
    point, label = clicks.center_click(None, target)
    np.testing.assert_array_equal(point, [2, 2])
    assert label == 1
    prediction = target | _mask(slice(1, 8), slice(5, 8))  # surplus 3 wide, nothing missed
    point, label = clicks.center_click(prediction, target)
    assert label == 0 and 5 <= point[0] < 8


TIES = {  # prediction, target -> click and label; * missed, + surplus, # right
    "two equally deep pixels, one row: the left one": ("..*.*..", (2, 0), 1),
    "equally deep regions: the surplus": ("*...+..", (4, 0), 0),
    "the deeper region wins": ("..++.\n..++.\n.....\n***..\n***..\n***..", (1, 4), 1),
    "of rows, the upper": (".*.\n...\n*..", (1, 0), 1),
    "an even block: its upper left": ("****\n****\n****\n****", (1, 1), 1),
    "nothing wrong": ("##.", (0, 0), 0),
    "the border of the image counts": ("**...\n**...\n.....", (0, 0), 1),
    "everything missed": ("***\n***\n***", (1, 1), 1),
}


@pytest.mark.parametrize("name", sorted(TIES))
def test_ties_of_the_center_click(name):
    picture, point, label = TIES[name]
    letters = np.array([list(line) for line in picture.split("\n")])
    target, prediction = np.isin(letters, ["*", "#"]), np.isin(letters, ["+", "#"])
    found, found_label = clicks.center_click(prediction, target)
    assert (tuple(found), found_label) == (point, label)
    found, found_label = clicks.center_correction(jnp.array(prediction), jnp.array(target))
    assert (tuple(np.array(found)), int(found_label)) == (point, label)


def test_center_correction_is_center_click_on_any_masks():
    target, prediction = random_masks(0, 60, 64, 48), random_masks(1, 60, 64, 48)
    prediction[:3], target[3:6] = False, False
    prediction[6:9] = target[6:9]  # nothing wrong
    target[9], prediction[9] = True, False
    points, labels = jax.jit(clicks.center_correction)(jnp.array(prediction), jnp.array(target))
    expected = [clicks.center_click(p, t) for p, t in zip(prediction, target, strict=True)]
    np.testing.assert_array_equal(points, np.stack([point for point, _ in expected]))
    np.testing.assert_array_equal(labels, [label for _, label in expected])
    assert set(np.array(labels)) == {0, 1}


@pytest.mark.slow
def test_center_correction_at_the_size_of_the_model():
    target, prediction = random_masks(2, 3, 1024, 1024), random_masks(3, 3, 1024, 1024)
    target[0], prediction[0] = True, False
    points, labels = jax.jit(clicks.center_correction)(jnp.array(prediction), jnp.array(target))
    for row in range(3):
        point, label = clicks.center_click(prediction[row], target[row])
        assert (tuple(np.array(points[row])), int(labels[row])) == (tuple(point), label)


def test_center_correction_runs_under_a_gradient():
    target = jnp.array(random_masks(4, 2, 16, 16))

    def loss(logits):
        points_xy, labels = clicks.center_correction(logits > 0, target)
        return (logits**2).sum() + points_xy.sum() + labels.sum()

    logits = jnp.ones((2, 16, 16))
    np.testing.assert_array_equal(jax.grad(loss)(logits), 2 * logits)


def test_a_click_of_one_object_knows_nothing_of_the_others():
    """With the place of the row fixed, other rows' masks change nothing; so objects may be
    permuted without a change in the law, and a deterministic click moves with its object."""
    target, prediction = random_masks(5, 6, 20, 24), random_masks(6, 6, 20, 24)
    other = target.copy()
    other[1:] = random_masks(7, 5, 20, 24)
    key = jax.random.key(8)
    for probability in (0.0, 0.5):
        one, other_one = (
            jax.jit(clicks.sample_correction)(key, jnp.array(prediction), jnp.array(t), probability)
            for t in (target, other)
        )
        np.testing.assert_array_equal(one[0][0], other_one[0][0])
        assert int(one[1][0]) == int(other_one[1][0])
    order = np.array([3, 1, 5, 0, 2, 4])
    points, labels = clicks.center_correction(jnp.array(prediction), jnp.array(target))
    moved = clicks.center_correction(jnp.array(prediction[order]), jnp.array(target[order]))
    np.testing.assert_array_equal(moved[0], points[order])
    np.testing.assert_array_equal(moved[1], labels[order])


def test_clicks_of_a_permuted_batch_have_the_same_law():
    """Each of two objects gets each of its pixels as often in either place."""
    two = np.stack([_mask([0, 3, 7], [5, 1, 7]), _mask([1, 2], [1, 2])])
    for order in ([0, 1], [1, 0]):
        keys = jax.random.split(jax.random.key(9), 3000)
        masks = jnp.tile(jnp.array(two[order]), (3000, 1, 1, 1))
        points = np.array(jax.vmap(clicks.first_click)(keys, masks)[0])
        for place, size in zip(range(2), np.array([3, 2])[order], strict=True):
            counts = np.unique(points[:, place], axis=0, return_counts=True)[1]
            expected = 3000 / size
            assert len(counts) == size
            assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi2, 2 degrees, p = 0.001


def test_errors_share_the_clicks_by_their_area():
    """Uniform over the union of missed and surplus pixels, not over the two kinds."""
    target, prediction = _mask(slice(0, 1), slice(0, 6)), _mask(slice(4, 5), slice(0, 2))
    rows = (4000, 1, 1)
    points, labels = clicks.sample_correction(
        jax.random.key(2), jnp.tile(jnp.array(prediction), rows), jnp.tile(jnp.array(target), rows)
    )
    counts = np.unique(np.array(points), axis=0, return_counts=True)[1]
    assert len(counts) == 8 and ((counts - 500) ** 2 / 500).sum() < 24.3  # 7 degrees, p = 0.001
    assert abs(float(labels.mean()) - 0.75) < 0.025


def test_a_share_of_corrections_ignores_the_prediction():
    target = _mask(slice(0, 4), slice(0, 4))
    prediction = target & ~_mask([0], [0])  # one pixel is missed
    rows = (4000, 1, 1)
    points, labels = clicks.sample_correction(
        jax.random.key(3),
        jnp.tile(jnp.array(prediction), rows),
        jnp.tile(jnp.array(target), rows),
        0.1,
    )
    assert (np.array(labels) == 1).all()
    elsewhere = (np.array(points) != 0).any(-1).mean()
    assert abs(elsewhere - 0.1 * 15 / 16) < 0.015


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="differ"):
        clicks.center_correction(jnp.zeros((4, 4), bool), jnp.zeros((4, 5), bool))
    with pytest.raises(ValueError, match="differ"):
        clicks.sample_correction(
            jax.random.key(0), jnp.zeros((4, 4), bool), jnp.zeros((4, 5), bool)
        )
    with pytest.raises(ValueError, match="differ"):
        clicks.center_click(np.zeros((4, 5), bool), np.zeros((4, 4), bool))


@pytest.mark.parametrize("click", ["uniform", "center"])
def test_no_click_falls_where_the_truth_is_unknown(click):
    """Half of a wrong region is unknown; with nothing wrong in sight a click is on background."""
    target = jnp.zeros((200, 8, 8), bool).at[:, 1:3, 1:3].set(True)
    prediction = target.at[:, 4:8, 4:8].set(True)
    known = jnp.ones_like(target).at[:, :, 6:].set(False)

    def place(prediction):
        if click == "center":
            return clicks.center_correction(prediction, target, known)
        return clicks.sample_correction(jax.random.key(0), prediction, target, known=known)

    points, labels = place(prediction)
    assert (np.array(labels) == 0).all()
    x, y = np.array(points).T
    assert (x >= 4).all() and (x < 6).all() and (y >= 4).all()
    points, labels = place(target | ~known)
    if click == "uniform":
        x, y = np.array(points).T.astype(int)
        assert (x < 6).all() and not np.array(target)[0][y, x].any() and len(set(x)) > 4
    assert (np.array(labels) == 0).all()


def test_a_first_click_on_an_absent_object_is_on_known_background():
    known = jnp.zeros((100, 8, 8), bool).at[:, 2, 3:5].set(True)
    points, labels = clicks.first_click(jax.random.key(0), jnp.zeros_like(known), known)
    assert set(map(tuple, np.array(points).astype(int).tolist())) == {(3, 2), (4, 2)}
    assert (np.array(labels) == 0).all()
