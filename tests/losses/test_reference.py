"""Values and gradients of the original loss class, from stored files; no torch is needed."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.losses import LossWeights, mask_terms, prompted_mask_loss

pytestmark = pytest.mark.golden
FILE = Path(__file__).resolve().parents[1] / "golden" / "sam2_training.npz"
PARTS = {"focal": "mask", "dice": "dice", "iou": "iou", "object_score": "class"}
STEPS = (3, 1)  # of the two frames

OURS = {
    "sam2": LossWeights(),
    "chosen_iou": LossWeights(all_ious=False),
    "squared_iou": LossWeights(squared_iou=True),
    "focal_score": LossWeights(object_score_alpha=0.3, object_score_gamma=2),
    "cross_entropy": LossWeights(2.0, 2.0, 0.5, 0.25, focal_alpha=-1.0, focal_gamma=0),
    "blanked": LossWeights(),  # of masks that are emptied where the object score is negative
}


@functools.cache
def golden():
    with np.load(FILE) as file:
        return dict(file)


def _inputs():
    prefix = "input/"
    return {
        key.removeprefix(prefix): value for key, value in golden().items() if key.startswith(prefix)
    }


def _loss(leaves, targets, setting):
    """Sum over frames and steps, divided by the number of objects."""
    weights = OURS[setting]
    total, parts = jnp.zeros(()), dict.fromkeys(PARTS, 0.0)
    for t, steps in enumerate(STEPS):
        target = jnp.asarray(targets[t])
        for s in range(steps):
            logits = leaves[f"logits/{t}/{s}"]
            scores = leaves[f"scores/{t}/{s}"][:, 0]
            if setting == "blanked":
                logits = jnp.where(scores.reshape(-1, 1, 1, 1) > 0, logits, -1024.0)
            terms = mask_terms(logits, leaves[f"ious/{t}/{s}"], target.astype(jnp.float32), weights)
            loss, one = prompted_mask_loss(
                terms,
                scores,
                target.any((-2, -1)),
                jnp.ones(logits.shape[:2], bool),
                jnp.ones(logits.shape[0]),
                weights,
            )
            total = total + loss
            parts = {name: parts[name] + one[name] for name in parts}
    count = targets.shape[1]
    return total / count, {name: value / count for name, value in parts.items()}


@pytest.mark.parametrize("setting", OURS)
def test_losses_and_gradients_are_those_of_the_original(setting):
    inputs = _inputs()
    targets = inputs.pop("targets")
    (total, parts), grads = jax.jit(
        jax.value_and_grad(lambda leaves: _loss(leaves, targets, setting), has_aux=True)
    )(inputs)
    np.testing.assert_allclose(total, golden()[f"loss/{setting}/core_loss"], rtol=1e-5)
    for ours, theirs in PARTS.items():
        want = golden()[f"loss/{setting}/loss_{theirs}"]
        np.testing.assert_allclose(parts[ours], want, rtol=1e-5, err_msg=ours)
    for key, gradient in grads.items():
        want = golden()[f"gradient/{setting}/{key}"]
        limit = 1e-5 * np.abs(want).max()
        np.testing.assert_allclose(gradient, want, rtol=1e-4, atol=limit, err_msg=key)


def test_the_stored_cases_hold_what_they_are_for():
    inputs = _inputs()
    targets = inputs["targets"]
    assert (~targets.any((-2, -1))).sum() == 2  # an absent object in each frame
    gone = golden()["gradient/sam2/logits/1/0"][2]
    assert not gone.any() and golden()["gradient/sam2/scores/1/0"][2].any()
    chosen = np.abs(golden()["gradient/sam2/logits/0/0"]).sum((-2, -1)) > 0
    assert (chosen.sum(-1) <= 1).all() and len(set(chosen.argmax(-1))) > 1
    assert (golden()["gradient/sam2/ious/0/0"][0] != 0).all()
    assert (golden()["gradient/chosen_iou/ious/0/0"][0] != 0).sum() == 1
    said_absent = inputs["scores/0/0"][:, 0] <= 0
    blanked = golden()["gradient/blanked/logits/0/0"]
    assert said_absent.any() and not blanked[said_absent].any() and blanked[~said_absent].any()
