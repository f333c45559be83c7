"""Similarities of memories against values by hand and against the reference's formula in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.memory.similarity import KINDS, similarity


def by_numpy(a, b, kind):
    """As in ReSurgSAM2 and Surgical-SAM-2, on maps [D, h, w]."""
    side = round(len(a) ** 0.5)
    a, b = (np.float64(x).T.reshape(-1, side, side) for x in (a, b))
    if kind == "flatten":
        a, b = a.reshape(-1), b.reshape(-1)
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    axis = {"token": 0, "width": -1}[kind]
    norms = np.linalg.norm(a, axis=axis) * np.linalg.norm(b, axis=axis)
    return ((a * b).sum(axis) / norms).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_as_the_references_compute_them(kind):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 16, 3)).astype(np.float32)
    got = similarity(jnp.asarray(a), jnp.asarray(b), kind)
    np.testing.assert_allclose(got, by_numpy(a, b, kind), rtol=1e-5)


# Of a memory with itself: 1, a one for each of 4 tokens, a one for each of 2 channels x 2 rows.
@pytest.mark.parametrize(("kind", "most"), [("flatten", 1), ("token", 4), ("width", 4)])
def test_most_alike_is_the_memory_itself(kind, most):
    a = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)), jnp.bfloat16)
    np.testing.assert_allclose(similarity(a, a, kind), most, rtol=1e-5)
    np.testing.assert_allclose(similarity(a, -a, kind), -most, rtol=1e-5)


def test_the_kinds_differ():
    """One column of the image is turned round: a quarter of the tokens, half of each row."""
    a = jnp.ones((4, 2))
    b = a.at[0].set(-1.0)  # the pixel in row 0, column 0
    assert [float(similarity(a, b, kind)) for kind in KINDS] == pytest.approx([0.5, 2.0, 2.0])
    b = a.at[:, 0].set(0.0)  # a channel is gone
    got = [float(similarity(a, b, kind)) for kind in KINDS]
    assert got == pytest.approx([2**-0.5, 4 * 2**-0.5, 2.0])


def test_an_empty_memory_is_like_nothing():
    for kind in KINDS:
        assert float(similarity(jnp.zeros((4, 2)), jnp.ones((4, 2)), kind)) == 0


def test_leading_axes_broadcast():
    a = jnp.ones((3, 4, 2))
    assert similarity(a, jnp.ones((1, 4, 2)), "token").shape == (3,)


def test_refusals():
    with pytest.raises(ValueError, match="expected one of flatten, token, width"):
        similarity(jnp.ones((4, 2)), jnp.ones((4, 2)), "cosine")
    with pytest.raises(ValueError, match="3 tokens are no square"):
        similarity(jnp.ones((3, 2)), jnp.ones((3, 2)), "width")
