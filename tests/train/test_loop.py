"""The loop on a line fit: it learns, resumes exactly, and stops on what is not finite."""

import itertools
import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.train import loop, optimizers
from surgjax.train import state as train_state

STAGES = (loop.Stage(6, {"line": 1.0}), loop.Stage(6, {"line": 0.5, "twin": 0.5}))


def _loss(params, batch, key):
    x, y = batch
    error = params["kernel"] * x + params["bias"] - y
    return jnp.mean(error**2), {"worst": jnp.abs(error).max()}


def _batches():
    x = np.linspace(-1, 1, 8, dtype=np.float32)
    return itertools.repeat((x, 3 * x + 1))


def _fit(folder, stages=STAGES, batches=_batches, **options):
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
    params = {"kernel": jnp.zeros(()), "bias": jnp.zeros(())}
    return loop.fit(
        train_state.init_state(params, optimizer, 0),
        {"line": _loss, "twin": _loss},
        {"line": batches, "twin": batches},
        stages,
        optimizer,
        lambda step: 0.1,
        folder,
        log_every=2,
        **options,
    )


def test_learns_and_logs(tmp_path):
    state = _fit(tmp_path, stages=(loop.Stage(80, {"line": 1.0}),))
    np.testing.assert_allclose(state.params["kernel"], 3.0, atol=0.3)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 80 and lines[-1]["loss"] < 0.05 < lines[0]["loss"]
    assert 0 < float(state.ema_params["kernel"]) < float(state.params["kernel"]) + 0.5


def test_resume_equals_one_run(tmp_path):
    whole = _fit(tmp_path / "whole")
    _fit(tmp_path / "parts", stages=STAGES[:1])
    resumed = _fit(tmp_path / "parts")
    assert int(resumed.step) == 12
    np.testing.assert_array_equal(whole.params["kernel"], resumed.params["kernel"])
    np.testing.assert_array_equal(whole.ema_params["bias"], resumed.ema_params["bias"])


def test_stops_on_a_loss_that_is_not_finite_and_keeps_the_last_checkpoint(tmp_path):
    def poisoned():
        good = list(itertools.islice(_batches(), 4))
        x = np.full(8, np.nan, np.float32)
        return iter([*good, (x, x), *good])

    stages = (loop.Stage(8, {"line": 1.0}),)
    with pytest.raises(FloatingPointError, match="step 4: .* is nan"):
        _fit(tmp_path, stages, poisoned, checkpoint_every=2)
    assert train_state.checkpoints_in(tmp_path)[-1].name == "checkpoint_0000004.msgpack"


def test_a_source_that_ends_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'line' batches ended at step 3"):
        _fit(tmp_path, batches=lambda: itertools.islice(_batches(), 3))


def test_kinds_follow_the_shares_and_do_not_depend_on_the_start():
    stages = (loop.Stage(10, {"a": 1.0}), loop.Stage(1000, {"a": 0.25, "b": 0.75}))
    kinds = [loop.kind_at(stages, step, seed=3) for step in range(1010)]
    assert set(kinds[:10]) == {"a"}
    assert 0.7 < kinds[10:].count("b") / 1000 < 0.8
    assert kinds[500] == loop.kind_at(stages, 500, seed=3)


def test_decay_reaches_kernels_only_and_the_rate_warms_up():
    options = optimizers.OptimizerOptions(lr=1.0, final_lr=0.1, warmup_steps=10)
    rate = optimizers.learning_rate_schedule(options, 100)
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(100)], [0, 0.5, 1, 0.1], atol=1e-6)
    mask = optimizers.decay_mask({"a": {"kernel": 1, "bias": 2}, "pos_embed": 3})
    assert mask == {"a": {"kernel": True, "bias": False}, "pos_embed": False}
