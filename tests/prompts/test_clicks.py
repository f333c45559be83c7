"""Clicks and boxes by hand; distributions by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.prompts import clicks


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


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="differ"):
        clicks.sample_correction(
            jax.random.key(0), jnp.zeros((4, 4), bool), jnp.zeros((4, 5), bool)
        )
    with pytest.raises(ValueError, match="differ"):
        clicks.center_click(np.zeros((4, 5), bool), np.zeros((4, 4), bool))
