"""Attention forms agree with each other and with the formula."""

import jax.numpy as jnp
import numpy as np

from surgjax.layers import attention, position_encoding


def inputs(q=6, k=1024, heads=2, c=8):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal((2, n, heads, c)), jnp.float32) for n in (q, k, k)]


def test_dense_is_the_formula():
    q, k, v = (np.asarray(x) for x in inputs(k=5))
    scores = np.einsum("bqhc,bkhc->bhqk", q, k) / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    want = np.einsum("bhqk,bkhc->bqhc", weights, v)
    np.testing.assert_allclose(attention.dense_attention(q, k, v), want, atol=1e-5)


def test_tiled_equals_dense():
    q, k, v = inputs()
    want = attention.dense_attention(q, k, v)
    np.testing.assert_allclose(attention.tiled_attention(q, k, v), want, atol=1e-5)


def test_masked_keys_do_not_count():
    q, k, v = inputs(k=6)
    mask = jnp.arange(6)[None] < jnp.array([[4], [6]])
    got = attention.dense_attention(q, k, v, mask)
    want = attention.dense_attention(q[:1], k[:1, :4], v[:1, :4])
    np.testing.assert_allclose(got[:1], want, atol=1e-6)


def test_an_empty_softmax_is_zero():
    carry = attention.empty_softmax((3,), 2)
    np.testing.assert_array_equal(attention.finish_softmax(carry), 0)
    q, k, v = jnp.ones((3, 4)), jnp.ones((5, 4)), jnp.ones((5, 2))
    carry = attention.online_softmax(carry, q, k, v, 1.0, jnp.zeros(5, bool))
    np.testing.assert_array_equal(attention.finish_softmax(carry), 0)


def test_rotation_depends_on_the_offset_alone():
    """q at p and k at p + delta give the same product wherever p lies (on one axis)."""
    table = jnp.asarray(position_encoding.axial_rope_table(8, 16))
    rng = np.random.default_rng(1)
    q = jnp.broadcast_to(jnp.asarray(rng.standard_normal(16), jnp.float32)[None], (64, 16))
    k = jnp.broadcast_to(jnp.asarray(rng.standard_normal(16), jnp.float32)[None], (64, 16))
    q, k = position_encoding.rotate(q, table), position_encoding.rotate(k, table)
    products = np.asarray(q @ k.T).reshape(8, 8, 8, 8)  # y, x of q, then of k
    np.testing.assert_allclose(products[2, 1, 4, 6], products[3, 2, 5, 7], rtol=1e-4)
    assert abs(products[2, 1, 4, 6] - products[2, 1, 5, 6]) > 1e-3


def test_sine_table_by_hand():
    table = position_encoding.sine_2d(4, 4, 8)
    first = 2 * np.pi / (4 + 1e-6)
    np.testing.assert_allclose(table[0, 0, 0], np.sin(first), atol=1e-6)
    np.testing.assert_allclose(table[0, 0, 1], np.cos(first), atol=1e-6)
    np.testing.assert_allclose(table[2, 0, 0], np.sin(3 * first), atol=1e-6)  # y comes first
    np.testing.assert_allclose(table[0, 2, 4], np.sin(3 * first), atol=1e-6)
