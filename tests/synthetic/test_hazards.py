"""Hazards over time: smoke rises and thins, films are wiped, exposure follows with a lag."""

import numpy as np
import pytest

from surgjax.synthetic import SceneConfig, hazards

SIDE, FRAMES = 96, 60


def _thickness(plume, t):
    """[S, S]: how much of a black picture the smoke covers."""
    black = np.zeros((SIDE, SIDE, 3), np.float32)
    return plume(black, t)[..., 0] / 0.74


def test_by_default_nothing_is_drawn_and_nothing_is_done():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    none = hazards.Hazards(rng, FRAMES, SIDE, SceneConfig())
    assert rng.bit_generator.state == before
    image = np.random.default_rng(1).random((SIDE, SIDE, 3), np.float32) * 3
    assert none.before_sensor(image, 7) is image


def test_smoke_comes_and_thins_out():
    thinned = 0
    for seed in range(12):
        plume = hazards.Plume(np.random.default_rng(seed), 160, SIDE)
        amount = [_thickness(plume, t).mean() for t in range(0, 160, 4)]
        peak = int(np.argmax(amount))
        assert amount[peak] > 0.01
        thinned += amount[-1] < 0.6 * amount[peak]
    assert thinned >= 10


def test_smoke_rises():
    """A billow seen now is found higher in the column a moment later."""
    plume = hazards.Plume(np.random.default_rng(3), FRAMES, SIDE)
    n = plume.small
    first, later = (int(plume.start + plume.speed * t) % (2 * n) for t in (0, 10))
    step = (later - first) % (2 * n)
    assert 0 < step < n
    now, then = plume.billows[first : first + n], plume.billows[later : later + n]
    np.testing.assert_array_equal(now[step:], then[: n - step])  # the same rows, higher up


@pytest.mark.parametrize("kind", ("blood", "fog"))
def test_films_grow_and_are_wiped(kind):
    grown = wiped = 0
    for seed in range(20):
        film = hazards.Film(np.random.default_rng(seed), FRAMES, SIDE, kind)
        assert film.amount.min() >= 0 and film.amount.max() <= 0.9
        grown += (np.diff(film.amount) > 0).any()
        wiped += film.amount.max() > 0 and film.amount[-1] == 0
    assert grown >= 8 and wiped >= 4


def test_a_clean_lens_lets_the_picture_through_untouched():
    film = hazards.Film(np.random.default_rng(0), FRAMES, SIDE, "fog")
    film.amount[:] = 0
    image = np.random.default_rng(1).random((SIDE, SIDE, 3), np.float32)
    assert film(image, 5) is image


def test_exposure_settles_and_dips_when_something_bright_comes_in():
    exposure = hazards.AutoExposure(np.random.default_rng(0))
    dark = np.full((SIDE, SIDE, 3), 0.3, np.float32)
    bright = dark.copy()
    bright[:, :48] = 0.95
    for t in range(80):
        seen = exposure(dark, t)
    settled = exposure.gain
    assert float(seen.mean()) == pytest.approx(exposure.target, rel=0.03)
    first = exposure(bright, 80)
    assert first[0, 90, 0] < seen[0, 90, 0]  # the tissue darkens at once, but not all the way
    for t in range(81, 160):
        last = exposure(bright, t)
    assert exposure.gain is not None and settled is not None
    assert exposure.gain < 0.8 * settled
    assert last[0, 90, 0] < first[0, 90, 0]


def test_focus_is_lost_only_for_a_while():
    for seed in range(10):
        focus = hazards.Focus(np.random.default_rng(seed), 120, 256)
        assert (focus.radius >= 0).all() and focus.radius.max() <= 4.5
        assert (np.abs(np.diff(focus.radius)) < 1.2).all()
        assert (focus.radius < 0.5).any()
