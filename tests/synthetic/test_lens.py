"""Lens effects: nothing at 0, worse with severity, same generator same picture, refusals."""

import numpy as np
import pytest

from surgjax.synthetic import generate_image, lens
from surgjax.synthetic.config import PRESETS

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def frame():
    return generate_image(4, 96, PRESETS["clear"]).frames_u8[0]


def _series(name, frame, seed=3):
    return [lens.EFFECTS[name](frame, level, np.random.default_rng(seed)) for level in LEVELS]


@pytest.mark.parametrize("name", lens.EFFECTS)
def test_severity_zero_is_the_frame_itself_and_a_copy(name, frame):
    for given in (frame, (frame / 255).astype(np.float32), frame / 255.0):
        found = lens.EFFECTS[name](given, 0.0, np.random.default_rng(0))
        assert found.dtype == given.dtype and found is not given
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("name", lens.EFFECTS)
@pytest.mark.parametrize("seed", (0, 1, 2))
def test_the_frame_is_changed_more_and_more(name, seed, frame):
    before = frame.astype(float)
    changed = [np.abs(found - before).mean() for found in _series(name, frame, seed)]
    assert changed[0] == 0
    assert all(np.diff(changed) > 0), changed
    assert changed[-1] > 4


@pytest.mark.parametrize("name", lens.EFFECTS)
def test_same_generator_same_picture_and_another_one_another(name, frame):
    once, again = _series(name, frame)[2], _series(name, frame)[2]
    np.testing.assert_array_equal(once, again)
    assert (once != _series(name, frame, 11)[2]).any()


@pytest.mark.parametrize("name", lens.EFFECTS)
def test_what_is_drawn_does_not_depend_on_severity(name, frame):
    states = []
    for level in LEVELS:
        rng = np.random.default_rng(5)
        lens.EFFECTS[name](frame, level, rng)
        states.append(rng.bit_generator.state["state"]["state"])
    assert len(set(states)) == 1


def test_floating_and_byte_frames_get_the_same_picture(frame):
    for name, effect in lens.EFFECTS.items():
        byte = effect(frame, 0.6, np.random.default_rng(1))
        floating = effect(frame.astype(np.float32) / 255, 0.6, np.random.default_rng(1))
        assert floating.min() >= 0 and floating.max() <= 1
        assert np.abs(byte / 255 - floating).max() <= 0.5 / 255 + 1e-6, name


def test_each_effect_does_what_its_name_says(frame):
    def worst(name):
        return lens.EFFECTS[name](frame, 1.0, np.random.default_rng(2)).astype(float)

    plain = frame.astype(float)
    assert worst("low_light").mean() < 0.35 * plain.mean()
    assert worst("glare").mean() > 1.1 * plain.mean()
    assert (worst("glare") == 255).all(-1).mean() > (plain == 255).all(-1).mean()
    assert worst("smoke").std() < 0.9 * plain.std()
    redness = [(p[..., 0] - p[..., 1]).sum() / p.sum() for p in (plain, worst("blood"))]
    assert redness[1] > redness[0]
    for name in ("fog", "defocus"):
        slope = [np.abs(np.diff(p, axis=1)).mean() for p in (plain, worst(name))]
        assert slope[1] < 0.6 * slope[0], name


def test_fog_comes_from_the_rim():
    even = np.full((96, 96, 3), 40, np.uint8)
    even[::4] = 120
    change = np.zeros((96, 96))
    for seed in range(8):
        found = lens.fog(even, 0.35, np.random.default_rng(seed))
        change += np.abs(found.astype(float) - even).mean(-1)
    rim = np.ones((96, 96), bool)
    rim[16:-16, 16:-16] = False
    assert change[rim].mean() > 2 * change[36:60, 36:60].mean()


def test_a_disc_blur_keeps_light_and_spreads_it_evenly():
    dot = np.zeros((21, 21, 3), np.float32)
    dot[10, 10] = 1
    assert lens.blur_disc(dot, 0.4) is dot
    spread = lens.blur_disc(dot, 4.0)
    assert spread.sum() == pytest.approx(3.0, abs=1e-4)
    assert spread[10, 10, 0] == pytest.approx(spread[10, 13, 0])
    assert spread[10, 16, 0] == 0


@pytest.mark.parametrize("severity", (-0.1, 1.1, float("nan")))
def test_impossible_severities_are_refused(severity, frame):
    with pytest.raises(ValueError, match="severity: expected 0..1"):
        lens.smoke(frame, severity, np.random.default_rng(0))


@pytest.mark.parametrize(
    "bad, words", [(np.zeros((4, 4), np.uint8), "H, W, 3"), (np.zeros((4, 4, 3), int), "uint8 or")]
)
def test_what_is_no_frame_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        lens.fog(bad, 0.5, np.random.default_rng(0))
