"""The training loop: take a batch, run the compiled step, write a line, keep a checkpoint.

Path:    batches -> [loop] -> metrics.jsonl, checkpoint files, final state
Units:   steps count optimizer updates from 0; seconds are wall time of this process.
Errors:  FloatingPointError naming step and value when a loss or a gradient is not finite (the last
         checkpoint stays as it was); ValueError when a batch source ends early.
Differs: short on purpose; sharding, Grain and evaluators come with the issue on training.
"""

import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import logging

from surgjax.train import state as train_state
from surgjax.train.accumulation import Accumulation
from surgjax.train.gradient_step import make_gradient_step
from surgjax.train.recipes import Recipe
from surgjax.train.state import TrainState

LossFn = Callable[[Any, Any, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]


class Stage(NamedTuple):
    """A span of steps that draws from the same kinds of batch."""

    steps: int
    shares: Mapping[str, float]  # kind of batch -> share of the steps


def make_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """One compiled update. The mean warms up with the step, so that it never lags at the start."""
    gradient_step = make_gradient_step(loss_fn, optimizer, recipe, accumulate)

    def step(state: TrainState, batch: Any, rate: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.step)
        done = gradient_step(state.params, state.opt_state, batch, key, rate)
        count = state.step.astype(np.float32)
        decay = jax.numpy.minimum(ema_decay, (1.0 + count) / (10.0 + count))
        ema = jax.tree.map(lambda m, p: m + (1.0 - decay) * (p - m), state.ema_params, done.trained)
        metrics = done.metrics | {"loss": done.loss, "grad_norm": done.grad_norm}
        return TrainState(state.step + 1, done.params, done.opt_state, ema, state.key), metrics

    return jax.jit(step, donate_argnums=0)


def stage_at(stages: Sequence[Stage], step: int) -> Stage:
    """The stage that a step falls in; the last one also takes what lies beyond."""
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]


def kind_at(stages: Sequence[Stage], step: int, seed: int) -> str:
    """Which kind of batch a step takes: drawn from the shares, the same on every resume."""
    shares = stage_at(stages, step).shares
    weights = np.array(list(shares.values()), np.float64)
    draw = np.random.default_rng((seed, step)).random()
    return list(shares)[int(np.searchsorted(np.cumsum(weights / weights.sum()), draw))]


def _check_finite(step: int, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"step {step}: {name} is {value}; training stopped, the last checkpoint is kept."
            )


def fit(
    state: TrainState,
    loss_fns: Mapping[str, LossFn],
    batches: Mapping[str, Callable[[], Iterator[Any]]],
    stages: Sequence[Stage],
    optimizer: optax.GradientTransformation,
    learning_rate: Callable[[int], Any],
    workdir: str | os.PathLike,
    seed: int = 0,
    ema_decay: float = 0.999,
    log_every: int = 20,
    checkpoint_every: int = 500,
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> TrainState:
    """Trains up to the stages' total; goes on from the newest checkpoint in `workdir`, if any.

    Updates of `optimizer` are multiplied by `learning_rate(step)`, one number or one per group of
    `parameter_rules`. `recipe` is the one that `state` was made with.
    `loss_fns` and `batches` have one entry per kind of batch. A source is opened at the first step
    that needs it.
    """
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    saved = train_state.checkpoints_in(folder)
    if saved:
        state = train_state.load_state(saved[-1], state)
        logging.info("resuming from %s", saved[-1])
    total = sum(stage.steps for stage in stages)
    step_fns = {
        kind: make_step(fn, optimizer, ema_decay, recipe=recipe, accumulate=accumulate)
        for kind, fn in loss_fns.items()
    }
    sources: dict[str, Iterator[Any]] = {}
    begin, start = int(state.step), time.monotonic()
    waiting: list[tuple[int, str, dict[str, jax.Array]]] = []
    busy: dict[str, list[float]] = {}
    with open(folder / "metrics.jsonl", "a") as log:
        for step in range(begin, total):
            kind = kind_at(stages, step, seed)
            if kind not in sources:
                sources[kind] = batches[kind]()
            batch = next(sources[kind], None)
            if batch is None:
                raise ValueError(f"the source of {kind!r} batches ended at step {step}.")
            tick = time.monotonic()
            rates = jax.tree.map(np.float32, learning_rate(step))
            state, metrics = step_fns[kind](state, batch, rates)
            jax.block_until_ready(metrics)  # one host, one device: nothing to overlap but data
            busy.setdefault(kind, []).append(time.monotonic() - tick)
            waiting.append((step, kind, metrics))
            is_last = step + 1 == total
            is_kept = is_last or (step + 1) % checkpoint_every == 0
            if is_kept or (step + 1) % log_every == 0:
                for done, _, values in waiting:
                    _check_finite(done, {name: float(value) for name, value in values.items()})
                _report(log, waiting, busy, start, begin, total)
                waiting, busy = [], {}
            if is_kept:  # only after the check: a checkpoint is finite
                train_state.save_state(folder, state)
    return state


def _report(log, waiting, busy, start: float, begin: int, total: int) -> None:
    """One JSON line per kind of batch, and one readable line with the time left."""
    last = waiting[-1][0]
    seconds = time.monotonic() - start
    remaining = seconds / (last + 1 - begin) * (total - last - 1)
    for kind, times in busy.items():
        rows = [values for _, name, values in waiting if name == kind]
        means = {key: float(np.mean([float(row[key]) for row in rows])) for key in rows[0]}
        line = {"step": last + 1, "kind": kind, "seconds": round(seconds, 1)} | {
            "step_ms": round(1000 * float(np.median(times)), 1),
            **{key: round(value, 5) for key, value in means.items()},
        }
        log.write(json.dumps(line) + "\n")
        shown = " ".join(f"{key}={value:.3f}" for key, value in means.items())
        logging.info(
            "step %d/%d %s %.0f ms %s | %.0f min left",
            last + 1, total, kind, line["step_ms"], shown, remaining / 60,
        )  # fmt: skip
    log.flush()
