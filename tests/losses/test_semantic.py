"""Contrastive loss of semantic vectors: limits, rows without a class, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.layers.semantic_head import class_logits
from surgjax.losses import NO_CLASS, semantic_terms

BANK = np.linalg.qr(np.random.default_rng(0).standard_normal((512, 5)))[0].T.astype(np.float32)


def terms(vectors, classes, weights=None, temperature=0.07):
    weights = jnp.ones(len(classes)) if weights is None else jnp.asarray(weights, jnp.float32)
    logits = class_logits(jnp.asarray(vectors), BANK, jnp.array([temperature]))
    return semantic_terms(logits, jnp.asarray(classes, jnp.int32), weights)


def test_perfect_alignment_has_next_to_no_loss():
    at = {t: float(terms(BANK, range(5), temperature=t).loss) / 5 for t in (1.0, 0.07, 0.01)}
    assert at[1.0] == pytest.approx(np.log(1 + 4 * np.exp(-1)), rel=1e-5)
    assert at[0.07] < 1e-5 and at[0.01] <= at[0.07] < at[1.0]
    assert float(terms(BANK, range(5)).correct) == 5


def test_a_vector_between_all_texts_is_a_guess():
    middle = BANK.sum(0, keepdims=True) / np.sqrt(5)
    assert float(terms(middle, [3]).loss) == pytest.approx(np.log(5), rel=1e-5)


def test_means_are_over_visible_objects_with_a_class():
    vectors = BANK[[0, 1, 2, 3]]
    found = terms(vectors, [0, 0, NO_CLASS, 3], weights=[1, 1, 1, 0])
    assert float(found.count) == 2 and float(found.correct) == 1
    wrong = float(terms(vectors[1:2], [0]).loss)
    assert float(found.mean(found.loss)) == pytest.approx(wrong / 2, rel=1e-4)
    nothing = terms(vectors, [NO_CLASS] * 4)
    assert float(nothing.mean(nothing.loss)) == 0.0


def test_rows_without_a_class_have_no_gradient_at_all():
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((4, 512)).astype(np.float32) * 30  # logits in the thousands

    def loss(vectors, temperature):
        logits = class_logits(vectors, BANK, temperature)
        found = semantic_terms(logits, jnp.array([2, NO_CLASS, 99, 4]), jnp.array([1.0, 1, 1, 0]))
        return found.mean(found.loss)

    by_vector, by_temperature = jax.grad(loss, (0, 1))(jnp.asarray(vectors), jnp.array([0.07]))
    assert np.abs(by_vector[0]).max() > 0
    np.testing.assert_array_equal(by_vector[1:], 0.0)
    only = jax.grad(lambda t: loss(jnp.asarray(vectors).at[1:].set(0.0), t))(jnp.array([0.07]))
    np.testing.assert_allclose(by_temperature, only, rtol=1e-5)


def test_offsets_of_the_shares_make_equal_logits_the_answer_to_unequal_shares():
    """Nine rows of class 0 and one of class 1, all scored alike: nothing pulls, once it is told."""
    classes = jnp.array([0] * 9 + [1])

    def loss(bias, offsets):
        logits = jnp.broadcast_to(bias[None], (10, 2))
        return semantic_terms(logits, classes, jnp.ones(10), offsets).loss / 10

    told = jnp.log(jnp.array([0.9, 0.1]))
    np.testing.assert_allclose(jax.grad(loss)(jnp.zeros(2), told), 0.0, atol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(jnp.zeros(2), None), [-0.4, 0.4], atol=1e-6)
    assert float(loss(jnp.zeros(2), told)) == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))
    # What is counted as right is the answer without them, as at inference.
    rare = jnp.tile(jnp.array([[0.0, 0.1]]), (10, 1))
    assert float(semantic_terms(rare, classes, jnp.ones(10), told).correct) == 1
    with pytest.raises(ValueError, match="expected one for each of 2 texts"):
        loss(jnp.zeros(2), jnp.zeros(3))


@pytest.mark.parametrize(
    "logits,classes,weights,message",
    [
        ((3, 5), 2, 3, "do not fit"),
        ((3, 5), 3, 1, "do not fit"),
        ((3, 1), 3, 3, "bank of one text"),
    ],
)
def test_refusals(logits, classes, weights, message):
    with pytest.raises(ValueError, match=message):
        semantic_terms(jnp.zeros(logits), jnp.zeros(classes, jnp.int32), jnp.ones(weights))
