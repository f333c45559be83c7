"""Views stay in the world, move smoothly between cuts, and are invertible."""

import numpy as np

from surgjax.synthetic import PRESETS, camera

SIDE, MARGIN = 200, 70
CONFIG = PRESETS["surgery"]


def _path(seed, frames=300, **changes):
    rng = np.random.default_rng(seed)
    return camera.draw_path(rng, frames, SIDE, MARGIN, CONFIG.replace(**changes))


def test_every_view_is_an_invertible_similarity():
    matrices = _path(0).matrices
    linear = matrices[:, :2, :2]
    scale = np.sqrt(np.linalg.det(linear))
    np.testing.assert_allclose(matrices[:, 2], np.tile((0, 0, 1), (300, 1)))
    rotation = linear / scale[:, None, None]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(2), (300, 1, 1)), atol=1e-9
    )
    assert 0.8 < scale.min() < scale.max() < 1.6


def test_the_border_of_the_world_is_hardly_ever_seen():
    corners = np.array([(0, 0, 1), (SIDE, 0, 1), (SIDE, SIDE, 1), (0, SIDE, 1)], float)
    outside = []
    for seed in range(10):
        world = np.linalg.inv(_path(seed).matrices) @ corners.T
        beyond = (world[:, :2] < -MARGIN) | (world[:, :2] > SIDE + MARGIN)
        outside.append(beyond.any((1, 2)).mean())
    assert np.mean(outside) < 0.05


def test_between_cuts_the_view_moves_in_small_steps_and_at_cuts_it_jumps():
    middle = np.array((SIDE / 2, SIDE / 2, 1))
    steps, jumps = [], []
    for seed in range(6):
        path = _path(seed, p_cut=0.5)
        seen = (np.linalg.inv(path.matrices) @ middle)[:, :2]
        step = np.linalg.norm(np.diff(seen, axis=0), axis=1)
        steps.append(step[~path.cuts[1:]])
        jumps.append(step[path.cuts[1:]])
        assert path.cuts.dtype == bool and not path.cuts[0]
    steps, jumps = np.concatenate(steps), np.concatenate(jumps)
    assert len(jumps) > 10
    assert steps.max() < 0.06 * SIDE < np.median(jumps)


def test_without_views_nothing_is_drawn_for_them():
    plain = PRESETS["wide"]
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    path = camera.draw_path(rng, 20, SIDE, MARGIN, plain)
    np.testing.assert_array_equal(path.matrices, camera.hand_held(other, 20, SIDE, plain))
    assert rng.random() == other.random() and not path.cuts.any()
