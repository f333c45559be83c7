"""The comparison of single-background arms: what they may see, and how they are scored."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.single_bg import arms
from surgjax.synthetic.build import HELD_OUT

ROOT = Path(__file__).resolve().parents[2]


def test_arms_see_the_same_frames_and_nothing_of_the_held_out_ones():
    background, groups = arms.seed_frames(0)
    assert len(groups) == arms.TOOLS and all(len(g) == arms.BASE_IMAGES for g in groups)
    assert all(int(c.name.split()[1]) < HELD_OUT for g in groups for c in g)
    images, masks = arms.training_set("frames", 0, 10)
    assert len(images) == arms.TOOLS * arms.BASE_IMAGES + 1
    assert not masks[-1].any() and masks[:-1].any((1, 2)).all()
    for arm in ("one", "two", "three", "three+augmix"):
        images, masks = arms.training_set(arm, 0, 6)
        assert images.shape == (6, arms.SIZE, arms.SIZE, 3) and masks.any((1, 2)).all()
    shuffled = arms.training_set("shuffled", 0, 6)
    np.testing.assert_array_equal(shuffled[0], images)
    np.testing.assert_array_equal(shuffled[1][1:], masks[:-1])
    again = arms.training_set("three", 0, 6)
    np.testing.assert_array_equal(again[0], images)  # augmix works on batches, not on the set


def test_the_picture_of_the_readme_is_what_its_command_draws():
    with Image.open(ROOT / "docs" / "single_background.png") as picture:
        kept = np.asarray(picture.convert("RGB")).astype(int)
    drawn = arms.sheet(seed=1)
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < 6  # kept with 256 colours


def test_a_score_by_hand():
    class Net:
        def apply(self, params, images):
            return np.where(np.asarray(images)[..., :1] > 0, 1.0, -1.0)

    images, masks = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), bool)
    images[0, :2], images[1, :, :2] = 255, 255  # found: top half, left half
    masks[0, :2, :2], masks[1, :, :2] = True, True
    np.testing.assert_allclose(arms.score(Net(), None, (images, masks)), [0.5, 1.0])


def test_interval_of_a_known_spread():
    values = np.random.default_rng(0).normal(0.3, 0.1, (3, 400))
    low, high = arms.interval(values)
    assert low < 0.3 < high and 0.008 < high - low < 0.06
    assert arms.interval(np.full((3, 10), 0.7)) == (pytest.approx(0.7), pytest.approx(0.7))


@pytest.mark.slow
def test_generated_data_teaches_more_than_no_training():
    found = arms.compare(seeds=[0], steps=150, images=200, held=30, arms=("three",))
    net = arms.UNet(widths=(12, 24, 48, 96))
    params = net.init(jax.random.key(0), jnp.zeros((1, arms.SIZE, arms.SIZE, 3)))
    untrained = arms.score(net, params, arms.held_out(30))
    assert found["three"].mean() > untrained.mean() + 0.1
