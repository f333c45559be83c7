"""Which candidate counts, what vanishes for absent objects, and the weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.losses import LossWeights, MaskTerms, mask_terms, prompted_mask_loss

WEIGHTS = LossWeights()  # 20, 1, 1, 1


def _terms():
    # candidate 1 has the least focal, candidate 2 the least 20 focal + dice
    return MaskTerms(
        focal=jnp.array([[0.00, 0.10, 0.11, 0.20]]),
        dice=jnp.array([[0.10, 0.90, 0.20, 0.10]]),
        iou=jnp.array([[0.50, 0.10, 0.20, 0.60]]),
    )


def _loss(is_candidate, present=True, weight=1.0, score=0.0):
    return prompted_mask_loss(
        _terms(),
        jnp.array([score]),
        jnp.array([present]),
        jnp.array([is_candidate]),
        jnp.array([weight]),
        WEIGHTS,
    )


def test_best_candidate_by_weighted_sum_and_iou_over_all():
    total, parts = _loss([False, True, True, True])
    np.testing.assert_allclose(parts["focal"], 0.11, rtol=1e-6)
    np.testing.assert_allclose(parts["dice"], 0.2, rtol=1e-6)
    np.testing.assert_allclose(parts["iou"], 0.3, rtol=1e-6)
    np.testing.assert_allclose(total, 20 * 0.11 + 0.2 + 0.3 + np.log(2), rtol=1e-6)


def test_single_mask_rows_see_mask_0_only():
    total, parts = _loss([True, False, False, False])
    np.testing.assert_allclose(parts["iou"], 0.5)
    np.testing.assert_allclose(total, 0.1 + 0.5 + np.log(2), rtol=1e-6)


def test_absent_object_only_pays_for_its_score():
    total, parts = _loss([False, True, True, True], present=False, score=2.0)
    assert float(parts["focal"] + parts["dice"] + parts["iou"]) == 0.0
    np.testing.assert_allclose(total, np.log1p(np.exp(2.0)), rtol=1e-6)


def test_padding_row_pays_nothing():
    total, _ = _loss([False, True, True, True], weight=0.0, score=5.0)
    assert float(total) == 0.0


def test_terms_have_one_value_per_candidate():
    logits = jnp.stack([jnp.full((2, 4, 4), -9.0), jnp.full((2, 4, 4), 9.0)], 1)
    targets = jnp.stack([jnp.ones((4, 4)), jnp.zeros((4, 4))])
    terms = mask_terms(logits, jnp.ones((2, 2)), targets, WEIGHTS)
    assert terms.focal.shape == (2, 2)
    assert terms.focal[0, 0] > terms.focal[0, 1] and terms.focal[1, 0] < terms.focal[1, 1]
    np.testing.assert_allclose(terms.iou, [[1.0, 0.0], [1.0, 1.0]])


def test_rows_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="must agree in their rows"):
        mask_terms(jnp.zeros((2, 4, 8, 8)), jnp.zeros((2, 3)), jnp.zeros((2, 8, 8)), WEIGHTS)
