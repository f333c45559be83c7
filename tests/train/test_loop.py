"""The loop on a line fit: it learns, resumes exactly, and stops on what is not finite."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.train import checkpointing, loop, optimizers, replay
from surgjax.train import state as train_state
from surgjax.train.accumulation import Accumulation
from surgjax.train.batch_sources import SourcedBatch
from surgjax.train.recipes import Recipe

STAGES = (loop.Stage(6, {"line": 1.0}), loop.Stage(6, {"line": 0.5, "twin": 0.5}))


def _loss(params, batch, key):
    x, y = batch
    error = params["kernel"] * x + params["bias"] - y + 0.01 * jax.random.normal(key, ())
    return jnp.mean(error**2), {"worst": jnp.abs(error).max()}


def _batch(number):
    x = np.random.default_rng(number).uniform(-1, 1, 8).astype(np.float32)
    return SourcedBatch((x, 3 * x + 1), (f"draw {number}",))


def _batches(start):
    return map(_batch, itertools.count(start))


def _state():
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
    params = {"kernel": jnp.zeros(()), "bias": jnp.zeros(())}
    return train_state.init_state(params, optimizer, 0), optimizer


def _fit(folder, stages=STAGES, batches=_batches, evaluate=None, config=None, **options):
    state, optimizer = _state()
    options = {"log_every": 2, "tensorboard": False} | options
    return loop.fit(
        state,
        {"line": _loss, "twin": _loss},
        {"line": batches, "twin": batches},
        stages,
        optimizer,
        lambda step: 0.1,
        folder,
        loop.LoopOptions(**options),
        evaluate,
        config,
    )


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_learns_and_writes_a_line_per_step(tmp_path):
    state = _fit(tmp_path, stages=(loop.Stage(80, {"line": 1.0}),))
    np.testing.assert_allclose(state.params["kernel"], 3.0, atol=0.3)
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 81))
    assert lines[-1]["loss"] < 0.05 < lines[0]["loss"]
    assert lines[0].keys() >= {"kind", "step_ms", "loss", "grad_norm", "worst"}
    assert 0 < float(state.ema_params["kernel"]) < float(state.params["kernel"]) + 0.5


@pytest.mark.parametrize("cut", [3, 6, 9])
def test_resume_equals_one_run(tmp_path, cut):
    whole = _fit(tmp_path / "whole")

    def stops(start):
        for number in itertools.count(start):
            yield _batch(number)
            if len(taken) == cut:
                raise KeyboardInterrupt
            taken.append(number)

    taken = []
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "parts", batches=stops, checkpoint_every=2)
    resumed = _fit(tmp_path / "parts", checkpoint_every=2)
    assert int(resumed.step) == 12
    for name in ("params", "ema_params", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(whole, name), getattr(resumed, name))
    curves = [
        [(line["step"], line["kind"], line["loss"]) for line in _lines(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert curves[0] == curves[1]
    starts = (tmp_path / "parts" / "starts.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in starts] == [0, (cut + 1) // 2 * 2]


def test_a_finished_run_is_not_trained_further(tmp_path):
    first = _fit(tmp_path)
    lines = _lines(tmp_path)
    again = _fit(tmp_path, batches=lambda start: iter(()))
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    assert _lines(tmp_path) == lines


def test_one_program_per_kind_also_after_a_restore(tmp_path, caplog):
    with jax.log_compiles():
        _fit(tmp_path, stages=STAGES[:1], checkpoint_every=3)
        assert caplog.text.count("Finished XLA compilation of jit(step)") == 1
        caplog.clear()
        _fit(tmp_path)
        assert caplog.text.count("Finished XLA compilation of jit(step)") == 2


@pytest.mark.parametrize("log_every", [1, 2, 20])
def test_stops_on_a_loss_that_is_not_finite_and_can_replay_it(tmp_path, log_every):
    def poisoned(start):
        for number in itertools.count(start):
            (x, y), sources = _batch(number)
            yield SourcedBatch((np.where(number == 5, np.nan, x).astype(np.float32), y), sources)

    stages = (loop.Stage(8, {"line": 1.0}),)
    with pytest.raises(FloatingPointError, match="step 5: loss is nan.*draw 5.*step_0000005"):
        _fit(tmp_path, stages, poisoned, checkpoint_every=2, log_every=log_every)
    assert checkpointing.steps_in(tmp_path) == [2, 4]
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2, 3, 4, 5]

    folder = tmp_path / "failures" / "step_0000005"
    about, arrays = replay.load_failure(folder)
    assert about["step"] == 5 and about["kind"] == "line" and about["sources"] == ["draw 5"]
    found = replay.replay(folder, _loss, (arrays["0"], arrays["1"]), _state()[0])
    assert np.isnan(found.loss) and found.bad_params == []
    assert found.bad_gradients == ["bias", "kernel"]
    # The saved state is the one of step 5: a good batch gives the undisturbed run's next loss.
    _fit(tmp_path / "good", stages)
    good = replay.replay(folder, _loss, _batch(5).arrays, _state()[0])
    np.testing.assert_allclose(good.loss, _lines(tmp_path / "good")[5]["loss"], rtol=1e-6)


def test_a_replay_takes_the_micro_batches_and_the_recipe_of_the_run(tmp_path):
    """Each micro-batch has its own random numbers, and frozen leaves have no gradient."""
    recipe, accumulate = Recipe("custom", ("kernel",)), Accumulation(2)
    optimizer = optax.scale(-1.0)

    def fresh():
        params = {"kernel": jnp.zeros(()), "bias": jnp.ones(())}
        return train_state.init_state(params, optimizer, 0, recipe)

    def loss(params, batch, key):
        value, parts = _loss(params, batch, key)
        value = value + jax.random.uniform(key)
        return jnp.where(value > 0, jnp.inf, 0.0) * parts["worst"] + value, {"value": value}

    with pytest.raises(FloatingPointError, match="step 0: loss is inf"):
        loop.fit(
            fresh(), {"line": loss}, {"line": _batches}, STAGES[:1], optimizer, None, tmp_path,
            loop.LoopOptions(tensorboard=False), recipe=recipe, accumulate=accumulate,
        )  # fmt: skip
    folder = tmp_path / "failures" / "step_0000000"
    about, arrays = replay.load_failure(folder)
    batch = (arrays["0"], arrays["1"])
    found = replay.replay(folder, loss, batch, fresh(), recipe, accumulate)
    assert found.metrics["value"] == pytest.approx(float(about["metrics"]["value"]), rel=1e-6)
    assert found.bad_gradients == ["kernel"]
    whole = replay.replay(folder, loss, batch, fresh(), recipe)
    assert whole.metrics["value"] != pytest.approx(found.metrics["value"], rel=1e-4)


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    def loss(params, batch, key):
        return jnp.sqrt(params["kernel"]) * 0.0 + params["bias"], {}

    state, optimizer = _state()
    with pytest.raises(FloatingPointError, match="step 0: grad_norm is nan"):
        loop.fit(
            state, {"line": loss}, {"line": _batches}, STAGES[:1], optimizer, None, tmp_path,
            loop.LoopOptions(tensorboard=False),
        )  # fmt: skip


def test_a_source_that_ends_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'line' batches ended at step 3"):
        _fit(tmp_path, batches=lambda start: itertools.islice(_batches(start), 3))


def test_kinds_without_source_or_loss_are_named_before_anything_runs(tmp_path):
    stages = (loop.Stage(2, {"other": 1.0}),)
    with pytest.raises(ValueError, match=r"loss_fns: nothing for \['other'\]"):
        _fit(tmp_path, stages)
    assert not list(tmp_path.iterdir())


def test_evaluations_are_recorded_with_pictures_and_the_best_step_stays(tmp_path):
    seen = []

    def evaluate(state):
        seen.append(int(state.step))
        picture = np.full((4, 6, 3), 10 * int(state.step), np.uint8)
        return {"score": -abs(int(state.step) - 4), "loss": 1.0}, {"first": picture}

    _fit(tmp_path, evaluate=evaluate, eval_every=2, checkpoint_every=3, best_metric="score")
    assert seen == [2, 4, 6, 8, 10, 12]
    assert checkpointing.steps_in(tmp_path) == [4, 10, 12]
    scores = {line["step"]: line["eval"]["score"] for line in _lines(tmp_path) if "eval" in line}
    assert scores[4] == 0 and scores[12] == -8
    assert (tmp_path / "pictures" / "step_0000004" / "first.png").is_file()


def test_a_failed_evaluation_does_not_cost_the_steps_and_is_made_up_for(tmp_path):
    def refused(state):
        return {"score": 1.0}, {"first": np.zeros((4, 6), np.uint8)}

    with pytest.raises(ValueError, match=r"'first': expected uint8 .* found uint8 \(4, 6\)"):
        _fit(tmp_path, evaluate=refused, eval_every=4)
    assert checkpointing.steps_in(tmp_path) == [4]
    _fit(tmp_path, evaluate=lambda state: ({"score": 2.0}, {}), eval_every=4)
    assert [line["step"] for line in _lines(tmp_path) if "eval" in line] == [4, 8, 12]


def test_config_changes_are_said_on_resume(tmp_path, caplog):
    _fit(tmp_path, STAGES[:1], config={"lr": 1, "model": {"size": 3}})
    _fit(tmp_path, STAGES[:1], config={"lr": 2, "model": {"size": 3}})
    assert "lr: 1 -> 2" in caplog.text and "size" not in caplog.text
    assert json.loads((tmp_path / "config.json").read_text())["lr"] == 2
    start = json.loads((tmp_path / "starts.jsonl").read_text().splitlines()[0])
    assert start["versions"]["jax"] == jax.__version__ and "commit" in start["git"]


def test_decay_reaches_kernels_only_and_the_rate_warms_up():
    options = optimizers.OptimizerOptions(lr=1.0, final_lr=0.1, warmup_steps=10)
    rate = optimizers.learning_rate_schedule(options, 100)
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(100)], [0, 0.5, 1, 0.1], atol=1e-6)
    mask = optimizers.decay_mask({"a": {"kernel": 1, "bias": 2}, "pos_embed": 3})
    assert mask == {"a": {"kernel": True, "bias": False}, "pos_embed": False}
