"""Micro-batches: the loss and gradient of the big batch, keys, weights, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.train import accumulation, loop, optimizers
from surgjax.train import state as train_state
from surgjax.train.accumulation import Accumulation


def _params():
    rng = np.random.default_rng(0)
    return {
        "encoder": {"kernel": jnp.asarray(rng.normal(0, 1, (5, 7)), jnp.float32)},
        "decoder": {"kernel": jnp.asarray(rng.normal(0, 1, (7, 3)), jnp.float32)},
    }


def _batch(rows=12, valid=None):
    rng = np.random.default_rng(1)
    valid = np.ones((rows, 2), bool) if valid is None else valid
    return {"x": rng.normal(0, 1, (rows, 2, 5)).astype(np.float32), "valid": valid}


def _loss(params, batch, key):
    """Per object, as the losses of the train steps; the key plays no part."""
    del key
    y = jnp.tanh(batch["x"] @ params["encoder"]["kernel"]) @ params["decoder"]["kernel"]
    each = jnp.square(y).sum(-1) * batch["valid"]
    loss = each.sum() / jnp.maximum(batch["valid"].sum(), 1)
    return loss, {"half": loss / 2}


def _objects(batch):
    return batch["valid"].sum()


@pytest.mark.parametrize("micro_batches", [1, 2, 3, 12])
def test_equal_to_the_big_batch(micro_batches):
    rng = np.random.default_rng(2)
    batch = _batch(valid=rng.random((12, 2)) < 0.6)
    batch["valid"][3] = False  # a micro-batch of nothing, when each has one row
    key = jax.random.key(0)
    (loss, metrics), grads = jax.value_and_grad(_loss, has_aux=True)(_params(), batch, key)
    whole = accumulation.value_and_grad(_loss, Accumulation(micro_batches, _objects))
    (found, found_metrics), found_grads = jax.jit(whole)(_params(), batch, key)
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    np.testing.assert_allclose(found_metrics["half"], metrics["half"], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found_grads, grads
    )


def test_without_weights_micro_batches_count_the_same():
    valid = np.ones((4, 2), bool)
    valid[::2] = [True, False]
    batch, key = _batch(4, valid), jax.random.key(0)
    halves = accumulation.split_batch(batch, 2)
    want = np.mean(
        [_loss(_params(), jax.tree.map(lambda x, i=i: x[i], halves), key)[0] for i in range(2)]
    )
    found, _ = accumulation.value_and_grad(_loss, Accumulation(2))(_params(), batch, key)
    np.testing.assert_allclose(found[0], want, rtol=1e-6)


def test_rows_are_dealt_out_in_turn():
    parts = accumulation.split_batch({"n": jnp.arange(6)}, 2)
    np.testing.assert_array_equal(parts["n"], [[0, 2, 4], [1, 3, 5]])


def test_micro_batches_draw_apart_and_the_same_each_time():
    def loss(params, batch, key):
        return jax.random.normal(key) * params.sum() * batch.mean(), {
            "draw": jax.random.normal(key)
        }

    run = jax.jit(accumulation.value_and_grad(loss, Accumulation(2)))
    first = run(jnp.ones(3), jnp.ones(4), jax.random.key(5))
    again = run(jnp.ones(3), jnp.ones(4), jax.random.key(5))
    np.testing.assert_array_equal(first[1], again[1])
    keys = jax.random.split(jax.random.key(5), 2)
    draws = [float(jax.random.normal(key)) for key in keys]
    assert draws[0] != draws[1]
    np.testing.assert_allclose(first[0][1]["draw"], np.mean(draws), rtol=1e-6)


def test_updates_of_the_loop_are_those_of_the_big_batch():
    optimizer = optimizers.build_optimizer(optimizers.OptimizerOptions(clip_norm=0.1))
    ends = []
    for accumulate in (None, Accumulation(4, _objects)):
        step = loop.make_step(_loss, optimizer, 0.9, accumulate=accumulate)
        state = train_state.init_state(_params(), optimizer, 0)
        for seed in range(3):
            batch = _batch(valid=np.random.default_rng(seed).random((12, 2)) < 0.7)
            state, metrics = step(state, batch, np.float32(0.01))
        assert int(state.step) == 3
        ends.append((state.params, metrics))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *ends)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match=r"micro_batches 5 does not divide .* \(12, 2, 5\)"):
        accumulation.split_batch({"x": np.zeros((12, 2, 5))}, 5)
    with pytest.raises(ValueError, match="expected 1 or more, found 0"):
        Accumulation(0)
