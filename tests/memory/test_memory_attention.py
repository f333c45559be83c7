"""Memory attention: the tiled form, padding and order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.models.sam2 import Sam2
from surgjax.structs import MemoryRead
from surgjax.testing import debug_config, lively_params

CONFIG = debug_config()
PARAMS = lively_params(CONFIG)
MODEL = Sam2(CONFIG)


def make_read(rng, slots, count, pointers, valid):
    n, width, d = CONFIG.grid**2, CONFIG.memory_dim, CONFIG.hidden_dim
    return MemoryRead(
        features=jnp.asarray(rng.standard_normal((1, slots, n, width)), jnp.float32),
        time_index=jnp.arange(slots)[None] % 7,
        count=jnp.array([count]),
        pointers=jnp.asarray(rng.standard_normal((1, pointers, d)), jnp.float32),
        pointer_distance=jnp.arange(pointers, dtype=jnp.float32)[None],
        pointer_valid=(jnp.arange(pointers) < valid)[None],
        pointer_span=jnp.float32(15),
    )


@jax.jit
def dense(s16, read):
    return MODEL.apply({"params": PARAMS}, s16, read, tiled=False, method="condition")


@jax.jit
def tiled(s16, read):
    return MODEL.apply({"params": PARAMS}, s16, read, tiled=True, method="condition")


@pytest.fixture(scope="module")
def s16():
    shape = (1, CONFIG.grid, CONFIG.grid, CONFIG.hidden_dim)
    return jnp.asarray(np.random.default_rng(3).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("count,valid", [(1, 0), (3, 2), (5, 4)])
def test_tiled_equals_dense(s16, count, valid):
    read = make_read(np.random.default_rng(0), 5, count, 4, valid)
    np.testing.assert_allclose(tiled(s16, read), dense(s16, read), atol=2e-5)


def test_padding_changes_nothing(s16):
    """Slots and pointers beyond the valid ones may hold anything."""
    full = make_read(np.random.default_rng(0), 5, 2, 4, 3)
    noisy = full.replace(
        features=full.features.at[:, 2:].set(1e3), pointers=full.pointers.at[:, 3:].set(-1e3)
    )
    np.testing.assert_array_equal(tiled(s16, full), tiled(s16, noisy))
    np.testing.assert_array_equal(dense(s16, full), dense(s16, noisy))
    short = jax.tree.map(lambda x: x, full).replace(
        features=full.features[:, :2],
        time_index=full.time_index[:, :2],
        pointers=full.pointers[:, :3],
        pointer_distance=full.pointer_distance[:, :3],
        pointer_valid=full.pointer_valid[:, :3],
    )
    np.testing.assert_allclose(dense(s16, full), dense(s16, short), atol=2e-5)


def test_a_memory_more_changes_the_answer(s16):
    read = make_read(np.random.default_rng(0), 5, 3, 4, 3)
    fewer = read.replace(count=jnp.array([2]))
    assert jnp.abs(dense(s16, read) - dense(s16, fewer)).max() > 1e-3


def test_order_of_frames_does_not_matter(s16):
    read = make_read(np.random.default_rng(0), 5, 5, 4, 4)
    order = jnp.array([3, 0, 4, 2, 1])
    turned = read.replace(features=read.features[:, order], time_index=read.time_index[:, order])
    np.testing.assert_allclose(tiled(s16, read), tiled(s16, turned), atol=2e-5)
