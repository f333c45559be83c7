"""Values by hand, and the formulas in torch where it is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.losses import dice_loss, focal_loss, iou_loss, object_score_loss


def test_focal_loss_by_hand():
    # p = 0.5 everywhere: BCE = ln 2, (1 - p_t)^2 = 1/4, alpha_t = 1/4 on one pixel, 3/4 on three.
    targets = jnp.array([[1.0, 0.0], [0.0, 0.0]])
    want = np.log(2) / 4 * (0.25 + 3 * 0.75) / 4
    np.testing.assert_allclose(focal_loss(jnp.zeros((2, 2)), targets), want, rtol=1e-6)


def test_alpha_off_and_gamma_0_is_cross_entropy():
    logits, targets = jnp.array([[2.0, -1.0]]), jnp.array([[1.0, 1.0]])
    want = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0))) / 2
    np.testing.assert_allclose(focal_loss(logits, targets, -1.0, 0), want, rtol=1e-6)


def test_dice_loss_by_hand():
    # sure and right on one pixel, sure and wrong on another: 1 - (2 + 1) / (2 + 1 + 1)
    logits = jnp.array([[100.0, 100.0], [-100.0, -100.0]])
    targets = jnp.array([[1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(dice_loss(logits, targets), 0.25, rtol=1e-6)


def test_iou_loss_by_hand_and_without_gradient_through_the_mask():
    logits = jnp.array([[3.0, 2.0], [-1.0, -1.0]])
    targets = jnp.array([[1.0, 0.0], [1.0, 0.0]])  # overlap 1, union 3
    loss = iou_loss(jnp.array(0.8), logits, targets)
    np.testing.assert_allclose(loss, 0.8 - 1 / 3, rtol=1e-6)
    slope = jax.grad(lambda x: iou_loss(jnp.array(0.8), x, targets))(logits)
    assert not np.any(slope)


def test_iou_of_two_empty_masks_is_finite():
    assert float(iou_loss(jnp.array(0.0), -jnp.ones((2, 2)), jnp.zeros((2, 2)))) == 0.0


def test_object_score_loss_by_hand_and_for_large_scores():
    np.testing.assert_allclose(object_score_loss(jnp.zeros(2), jnp.array([0.0, 1.0])), np.log(2))
    np.testing.assert_allclose(
        object_score_loss(jnp.array([200.0, 200.0]), jnp.array([1.0, 0.0])), [0.0, 200.0]
    )


def test_wrong_size_is_refused():
    with pytest.raises(ValueError, match="differ in height or width"):
        focal_loss(jnp.zeros((3, 4, 4)), jnp.zeros((3, 1, 4)))


def test_against_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (3, 5, 7)).astype(np.float32)
    targets = (rng.random((3, 5, 7)) < 0.4).astype(np.float32)
    x, t = torch.tensor(logits, requires_grad=True), torch.tensor(targets)
    probs = x.sigmoid()
    p_t = probs * t + (1 - probs) * (1 - t)
    alpha_t = 0.25 * t + 0.75 * (1 - t)
    bce = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    focal = (alpha_t * bce * (1 - p_t) ** 2).mean((1, 2))
    flat = probs.flatten(1)
    dice = 1 - (2 * (flat * t.flatten(1)).sum(1) + 1) / (flat.sum(1) + t.flatten(1).sum(1) + 1)
    (focal.sum() + dice.sum()).backward()

    def ours(y):
        return focal_loss(y, jnp.asarray(targets)).sum() + dice_loss(y, jnp.asarray(targets)).sum()

    np.testing.assert_allclose(focal_loss(logits, targets), focal.detach(), rtol=2e-5)
    np.testing.assert_allclose(dice_loss(logits, targets), dice.detach(), rtol=2e-5)
    np.testing.assert_allclose(jax.grad(ours)(jnp.asarray(logits)), x.grad, atol=1e-6)
