"""First prompts and clicks in the slots of the prompt encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.prompts import simulated_prompts

SIDE = 64
initial_prompts = jax.jit(simulated_prompts.initial_prompts, static_argnums=(2, 4))


def _masks(rows):
    return jnp.zeros((rows, SIDE, SIDE), bool).at[:, 16:48, 10:50].set(True)


def test_prompts_are_a_box_or_one_click():
    masks = _masks(100).at[50:, 20:30, 60:].set(True).at[50:, :, :50].set(False)
    is_box = np.arange(100) % 3 == 0
    prompts = initial_prompts(jax.random.key(0), masks, 3, jnp.array(is_box), 1.0)
    np.testing.assert_array_equal(prompts.valid, np.stack([is_box >= 0, is_box, is_box < 0], 1))
    np.testing.assert_array_equal(prompts.labels[is_box, :2], [[2, 3]] * is_box.sum())
    np.testing.assert_array_equal(prompts.labels[~is_box, 0], 1)
    np.testing.assert_array_equal(prompts.points_xy[0, :2], [[10, 16], [49, 47]])
    np.testing.assert_array_equal(prompts.points_xy[99, :2], [[60, 20], [63, 29]])
    np.testing.assert_array_equal(simulated_prompts.is_multimask(prompts), ~is_box)
    for row in np.nonzero(~is_box)[0]:
        x, y = np.array(prompts.points_xy[row, 0], int)
        assert masks[row, y, x]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_share_of_the_boxes_is_exact(share, expected):
    prompts = initial_prompts(jax.random.key(1), _masks(200), 2, jnp.ones(200, bool), share)
    exact = (np.array(prompts.points_xy) == [[10, 16], [49, 47]]).all((1, 2))
    assert abs(exact.mean() - expected) < 0.1 * (0 < share < 1) + 1e-9


def test_an_absent_object_gets_a_negative_click():
    prompts = initial_prompts(
        jax.random.key(2), jnp.zeros((40, SIDE, SIDE), bool), 2, jnp.zeros(40, bool), 0.0
    )
    np.testing.assert_array_equal(prompts.labels[:, 0], 0)
    assert len(np.unique(np.array(prompts.points_xy[:, 0]), axis=0)) > 35  # anywhere


def test_candidates_are_asked_for_up_to_one_click():
    prompts = simulated_prompts.no_prompts(2, 4)
    assert prompts.labels.min() == prompts.labels.max() == -1 and not prompts.valid.any()
    np.testing.assert_array_equal(simulated_prompts.is_multimask(prompts), [True, True])
    points, labels = jnp.array([[3.0, 4.0], [5.0, 6.0]]), jnp.array([1, 0])
    once = simulated_prompts.add_click(prompts, 2, points, labels)
    np.testing.assert_array_equal(simulated_prompts.is_multimask(once), [True, True])
    twice = simulated_prompts.add_click(once, 3, points + 1, labels)
    np.testing.assert_array_equal(simulated_prompts.is_multimask(twice), [False, False])
    np.testing.assert_array_equal(twice.points_xy[:, 2:], [[[3, 4], [4, 5]], [[5, 6], [6, 7]]])
    np.testing.assert_array_equal(twice.labels, [[-1, -1, 1, 1], [-1, -1, 0, 0]])
    np.testing.assert_array_equal(twice.valid, [[False, False, True, True]] * 2)
