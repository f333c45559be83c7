"""Curves in time keep their bounds, start and end where they must, and do not jump."""

import numpy as np

from surgjax.synthetic import motion
from surgjax.synthetic.instruments import similarity


def test_keyed_curve_keeps_its_bounds_and_moves_in_small_steps():
    rng = np.random.default_rng(0)
    curve = motion.keyed_curve(rng, 60, (-1.0, 2.0), (1.0, 3.0), every=10)
    assert curve.shape == (60, 2)
    assert (curve >= (-1, 2)).all() and (curve <= (1, 3)).all()
    assert np.abs(np.diff(curve, axis=0)).max() <= 1.5 / 10 * 2  # S-curve: 1.5 x mean speed
    assert np.ptp(curve[:, 0]) > 0.3


def test_absence_starts_and_ends_in_place_and_is_complete_between():
    for seed in range(30):
        away = motion.absence(np.random.default_rng(seed), 16)
        assert away[-1] == 0 or away[0] == 0
        assert away.max() == 1
        assert (away >= 0).all()


def test_similarity_turns_about_the_joint():
    matrix = similarity((2.0, 1.0), np.array([[10.0, 20.0]]), np.array([np.pi / 2]), 2.0)[0]
    np.testing.assert_allclose(matrix @ (2, 1, 1), (10, 20, 1), atol=1e-9)
    # One pixel along +x of the sprite is two pixels down the frame (y points down).
    np.testing.assert_allclose(matrix @ (3, 1, 1), (10, 22, 1), atol=1e-9)
