"""Soft labels by hand on small masks, laws of the softening, and where the loss has its minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.losses import ArlOptions, LossWeights, focal_loss, mask_terms, soft_focal_loss, soften
from surgjax.losses.soft_labels import gaussian_weights, soft_focal_terms

RNG = np.random.default_rng(0)


def blob(side=40, low=12, high=27):
    mask = np.zeros((side, side), np.float32)
    mask[low:high, low + 2 : high] = 1
    return mask


def test_a_pixel_of_five_by_five_by_hand():
    # sigma 1/2: weights e^-8, e^-2, 1, e^-2, e^-8 over their sum, 1.2713415
    far, near, here = 0.000263865, 0.106451, 0.786571
    row = np.array([far, near, here, near, far])
    mask = np.zeros((5, 5), np.float32)
    mask[2, 2] = 1
    np.testing.assert_allclose(gaussian_weights(0.5), row, rtol=5e-6)
    np.testing.assert_allclose(soften(jnp.array(mask), 0.5), np.outer(row, row), atol=3e-6)


def test_a_corner_of_five_by_five_by_hand():
    # The corner goes on beyond the border: its own weight and all those of one side fall on it.
    far, near, here = 0.000263865, 0.106451, 0.786571
    row = np.array([here + near + far, near + far, far, 0, 0])
    mask = np.zeros((5, 5), np.float32)
    mask[0, 0] = 1
    np.testing.assert_allclose(soften(jnp.array(mask), 0.5), np.outer(row, row), atol=3e-6)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0, 3.4])
def test_the_mean_is_kept_away_from_borders(sigma):
    mask = blob()
    soft = np.asarray(soften(jnp.array(mask), sigma))
    assert soft.sum() == pytest.approx(mask.sum(), rel=1e-6)
    assert soft.min() >= 0 and soft.max() <= 1
    reach = len(gaussian_weights(sigma)) // 2
    assert reach == np.ceil(3 * sigma)
    assert not soft[: 12 - reach].any() and soft[12 - reach, 20] > 0


def test_an_object_at_the_border_stays_one_there():
    mask = np.zeros((32, 32), np.float32)
    mask[:, :16] = 1
    soft = np.asarray(soften(jnp.array(mask), 2.0))
    np.testing.assert_allclose(soft[:, :10], 1, atol=1e-6)
    assert soft[0, 15] == pytest.approx(soft[16, 15]) and 0.5 < soft[16, 15] < 0.7
    full = np.asarray(soften(jnp.ones((2, 9, 9)), 2.0))  # a kernel wider than the mask
    np.testing.assert_allclose(full, 1, atol=1e-6)


def test_leading_axes_do_not_mix_and_axes_are_treated_alike():
    masks = (RNG.random((2, 3, 20, 31)) > 0.5).astype(np.float32)
    soft = np.asarray(soften(jnp.array(masks), 1.3))
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(soft[i], soften(jnp.array(masks[i]), 1.3), atol=1e-7)
    turned = soften(jnp.array(masks.swapaxes(-1, -2)), 1.3)
    np.testing.assert_allclose(soft.swapaxes(-1, -2), turned, atol=1e-6)


def test_unknown_pixels_have_no_say():
    mask = blob(low=8)
    known = np.ones(mask.shape, bool)
    known[:, 20:] = False
    soft = np.asarray(soften(jnp.array(mask), 2.0, jnp.array(known)))
    changed = mask.copy()
    changed[:, 20:] = 1 - changed[:, 20:]
    np.testing.assert_array_equal(soft, soften(jnp.array(changed), 2.0, jnp.array(known)))
    assert not soft[:, 20:].any()
    np.testing.assert_allclose(soft[18:21, 19], 1, atol=1e-6)  # no edge where the truth ends
    plain = np.asarray(soften(jnp.array(mask), 2.0))
    np.testing.assert_allclose(soft[:, :14], plain[:, :14], atol=1e-6)
    everything = soften(jnp.array(mask), 2.0, jnp.ones(mask.shape, bool))
    np.testing.assert_allclose(everything, plain, atol=1e-6)
    np.testing.assert_array_equal(soften(jnp.array(mask), 0.0, jnp.array(known)), mask * known)


def test_sigma_follows_the_resolution():
    options = ArlOptions(sigma=2.0)
    assert [options.pixels(side) for side in (128, 256, 512, 1024)] == [0.5, 1.0, 2.0, 4.0]
    # The same half-plane at two resolutions: the same softness at the same place of the picture.
    half = {side: np.zeros((side, side), np.float32) for side in (256, 512)}
    for side, mask in half.items():
        mask[:, : side // 2] = 1
    small, large = (
        np.asarray(soften(jnp.array(mask), options.pixels(side)))[side // 2]
        for side, mask in half.items()
    )
    np.testing.assert_allclose(small, large.reshape(256, 2).mean(1), atol=0.02)


@pytest.mark.parametrize("form", ["calibrated", "plain"])
@pytest.mark.parametrize("alpha, gamma", [(0.25, 2), (0.25, 0), (-1.0, 0), (-1.0, 2), (0.6, 1)])
def test_hard_labels_give_the_focal_loss(form, alpha, gamma):
    logits = jnp.array(RNG.normal(0, 4, (3, 12, 12)), jnp.float32)
    labels = jnp.array(RNG.random((3, 12, 12)) > 0.5, jnp.float32)
    assert not (soften(labels, 0.0) != labels).any()

    def both(loss, *more):
        value = lambda x: loss(x, soften(labels, 0.0), alpha, gamma, *more)  # noqa: E731
        return value(logits), jax.grad(lambda x: value(x).sum())(logits)

    ours, want = both(soft_focal_loss, form), both(focal_loss)
    for a, b in zip(ours, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-5)


def test_softening_vanishes_with_sigma():
    logits = jnp.array(RNG.normal(0, 3, (40, 40)), jnp.float32)
    hard = jnp.array(blob())
    want = float(focal_loss(logits, hard))
    away = [abs(float(soft_focal_loss(logits, soften(hard, s))) - want) for s in (1.0, 0.3, 0.1)]
    assert away[0] > 10 * away[1] > 0 and away[2] < 1e-6


LABELS = np.array([0.05, 0.2, 0.5, 0.73, 0.9], np.float32)


@pytest.mark.parametrize("alpha, gamma", [(0.25, 2), (0.25, 0), (-1.0, 2), (0.25, 3)])
def test_the_calibrated_form_has_its_only_minimum_at_the_label(alpha, gamma):
    def loss(x, q):
        return soft_focal_terms(x, q, alpha, gamma)

    slope = jax.vmap(jax.grad(loss))
    labels = jnp.array(LABELS)
    at = jnp.log(labels) - jnp.log1p(-labels)
    np.testing.assert_allclose(slope(at, labels), 0, atol=1e-6)
    for away in (-4.0, -1.0, -0.3, 0.3, 1.0, 4.0):
        assert (np.sign(slope(at + away, labels)) == np.sign(away)).all()


def test_the_plain_form_has_it_elsewhere():
    slope = jax.grad(lambda x: soft_focal_terms(x, jnp.float32(0.73), 0.25, 2, "plain"))
    at = np.log(0.73 / 0.27)
    assert abs(float(slope(jnp.float32(at)))) > 1e-2
    # By hand at p = 1/2, q = 1/2, alpha 1/4, gamma 2: (1/4 + 3/4) / 2 * 1/4 * ln 2
    plain = soft_focal_terms(jnp.float32(0), jnp.float32(0.5), 0.25, 2, "plain")
    assert float(plain) == pytest.approx(np.log(2) / 8)


@pytest.mark.parametrize("form", ["calibrated", "plain"])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
def test_large_logits_stay_finite(form, logit):
    labels = jnp.array([0.0, 0.3, 1.0])
    logits = jnp.full(3, logit)
    value, slope = jax.vmap(jax.value_and_grad(soft_focal_terms), (0, 0, None, None, None))(
        logits, labels, 0.25, 2, form
    )
    assert np.isfinite(value).all() and np.isfinite(slope).all()
    right = 0 if logit < 0 else 2
    assert float(value[right]) == 0 and float(value[1]) > 1


def test_bfloat16_logits_are_counted_in_float32():
    logits = jnp.array(RNG.normal(0, 2, (8, 8)), jnp.bfloat16)
    loss = soft_focal_loss(logits, jnp.full((8, 8), 0.4))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(
        loss, soft_focal_loss(logits.astype(jnp.float32), jnp.full((8, 8), 0.4))
    )


def test_only_the_focal_term_sees_soft_labels():
    logits = jnp.array(RNG.normal(0, 2, (2, 4, 40, 40)), jnp.float32)
    ious = jnp.array(RNG.random((2, 4)), jnp.float32)
    targets = jnp.array(np.stack([blob(), blob(low=3)]))
    hard = mask_terms(logits, ious, targets, LossWeights())
    soft = mask_terms(logits, ious, targets, LossWeights(arl=ArlOptions(20.0)))
    np.testing.assert_array_equal(hard.dice, soft.dice)
    np.testing.assert_array_equal(hard.iou, soft.iou)
    want = soft_focal_loss(logits, soften(targets, 20.0 * 40 / 512)[:, None])
    np.testing.assert_allclose(soft.focal, want, rtol=1e-6)
    assert (np.abs(soft.focal - hard.focal) > 1e-4).all()
    known = jnp.ones((2, 40, 40), bool).at[:, :20].set(False)
    part = mask_terms(logits, ious, targets, LossWeights(arl=ArlOptions(20.0)), known)
    assert (np.asarray(part.focal) != np.asarray(soft.focal)).all()


def test_options_of_a_config_and_refusals():
    weights = LossWeights(arl={"sigma": 2.0, "form": "plain"})  # type: ignore[arg-type]
    assert weights.arl == ArlOptions(2.0, "plain") and hash(weights)
    assert LossWeights().arl.sigma == 0
    with pytest.raises(ValueError, match="loss.arl.sigma: expected 0 or more, found -1"):
        ArlOptions(-1.0)
    with pytest.raises(ValueError, match="loss.arl.form: expected one of .'calibrated', 'plain'"):
        ArlOptions(2.0, "soft")
    with pytest.raises(ValueError, match="sigma: expected 0 or more, found -1"):
        soften(jnp.zeros((4, 4)), -1.0)
    with pytest.raises(ValueError, match="form: expected one of"):
        soft_focal_terms(jnp.zeros(1), jnp.zeros(1), 0.25, 2, "soft")
    with pytest.raises(ValueError, match="differ in height or width"):
        soft_focal_loss(jnp.zeros((2, 4, 4)), jnp.zeros((2, 1, 4)))
    with pytest.raises(ValueError, match="differ in shape"):
        soften(jnp.zeros((2, 4, 4)), 1.0, jnp.ones((4, 4), bool))
