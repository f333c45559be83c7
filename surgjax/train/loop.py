"""The training loop: take a batch, run the compiled step, record it, evaluate, keep checkpoints.

Path:    batches -> [loop] -> metrics.jsonl, pictures, checkpoints, final state
Units:   steps count optimizer updates from 0; seconds are wall time of this process.
Errors:  FloatingPointError naming step, value and batch when a loss or a gradient is not finite,
         with both kept for `replay`; Preempted (exit status 75) after SIGTERM, once the state is
         saved; ValueError for options, sources or checkpoints that do not fit.
Differs: a step's loss is looked at while the next step runs, so the device does not wait for the
         host; see `update` for why nothing is lost by that. Data order and randomness are functions
         of seed and step, so an interrupted run goes on as if nothing had happened.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import logging

from surgjax.train.accumulation import Accumulation
from surgjax.train.batch_sources import BatchSources, OpenSource
from surgjax.train.checkpointing import Checkpoints
from surgjax.train.distributed import wait_for_all
from surgjax.train.preemption import Preempted, PreemptionNotice
from surgjax.train.progress import Progress
from surgjax.train.recipes import Recipe
from surgjax.train.recording import Recorder
from surgjax.train.replay import save_failure
from surgjax.train.run_record import record_start
from surgjax.train.stages import Stage, kind_at, kinds_of, total_steps
from surgjax.train.state import TrainState
from surgjax.train.update import LossFn, make_step, mesh_shardings

__all__ = ["Evaluate", "LoopOptions", "LossFn", "Stage", "fit", "kind_at", "make_step"]

# A state to scores, and pictures uint8 [H, W, 3] by name. Every process calls it.
Evaluate = Callable[[TrainState], tuple[Mapping[str, float], Mapping[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How often the loop does what. Steps count updates done."""

    seed: int = 0  # of the kinds of batch that steps draw
    ema_decay: float = 0.999
    log_every: int = 20
    checkpoint_every: int = 500
    eval_every: int = 0  # 0: only at the end; each evaluation is followed by a checkpoint
    keep_latest: int = 2
    keep_best: int = 1  # beside the latest, by
    best_metric: str | None = None  # one of the evaluation's scores; None: no best one
    best_mode: str = "max"  # or "min"
    tensorboard: bool = True  # if tensorboardX is installed

    def __post_init__(self):
        for name, least in (("log_every", 1), ("checkpoint_every", 1), ("eval_every", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, found {getattr(self, name)}.")


class _Running(NamedTuple):
    """A step that was handed to the device and not looked at yet."""

    step: int
    kind: str
    start: float | None  # None: with compilation, so its time says nothing
    metrics: dict[str, jax.Array]
    batch: Any
    sources: tuple[Any, ...]


def _rate_at(learning_rate: Callable[[int], Any] | None, step: int) -> Any:
    """The rates on the CPU: on the accelerator it would wait in line behind the running step."""
    if learning_rate is None:  # the optimizer has a schedule of its own
        return np.float32(1.0)
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS may leave the CPU out
        return jax.tree.map(np.float32, learning_rate(step))
    with jax.default_device(cpu):
        return jax.tree.map(np.float32, learning_rate(step))


class _Run:
    """One process's part of a run, from the restored state on."""

    def __init__(
        self,
        state: TrainState,
        step_fns: Mapping[str, jax.stages.Wrapped],
        stages: Sequence[Stage],
        sources: BatchSources,
        learning_rate: Callable[[int], Any] | None,
        evaluate: Evaluate | None,
        workdir: pathlib.Path,
        options: LoopOptions,
        checkpoints: Checkpoints,
        recorder: Recorder,
    ):
        self.state, self.begin = state, int(state.step)
        self._step_fns, self._stages, self._sources = step_fns, stages, sources
        self._learning_rate, self._evaluate_fn = learning_rate, evaluate
        self._workdir, self._options = workdir, options
        self._checkpoints, self._recorder = checkpoints, recorder
        self._total = total_steps(stages)
        self._progress = Progress(self.begin, self._total)
        self._running: _Running | None = None
        self._compiled: dict[str, jax.stages.Compiled] = {}
        self._settled = time.monotonic()

    def train(self, notice: PreemptionNotice) -> None:
        """All steps that are left."""
        begin = self.begin
        if begin and self._is_eval_due(begin) and not self._recorder.is_evaluated(begin):
            self._evaluate(begin)  # preemption came before it; its checkpoint stays without scores
        for step in range(begin, self._total):
            self._advance(step)
            self._after(step + 1, notice.is_due(step + 1))
        self._recorder.flush()

    def _advance(self, step: int) -> None:
        """Hands a step to the device, then looks at the one before it."""
        kind = kind_at(self._stages, step, self._options.seed)
        batch, sources = self._sources.take(kind, step)
        arguments = (batch, _rate_at(self._learning_rate, step), np.int32(step))
        start: float | None = time.monotonic()
        if kind not in self._compiled:
            self._settle()  # its time shall not include compilation
            with self._progress.aside(f"compiling the step for {kind!r} batches"):
                lowered = self._step_fns[kind].lower(self.state, *arguments)
                self._compiled[kind] = lowered.compile()
                wait_for_all(f"compiled for {kind!r}, step {step}")  # then the first collective
            start = None  # nor what the first call takes beside the step
        self.state, metrics = self._compiled[kind](self.state, *arguments)
        if start is None:
            jax.block_until_ready(metrics)
        self._settle()
        self._running = _Running(step, kind, start, metrics, batch, sources)

    def _settle(self) -> None:
        """Waits for the running step and records it; stops the run if it is not finite."""
        done, self._running = self._running, None
        if done is None:
            return
        metrics = {name: float(value) for name, value in jax.device_get(done.metrics).items()}
        now = time.monotonic()
        seconds = None if done.start is None else now - max(done.start, self._settled)
        self._settled = now
        for name in ("loss", "grad_norm"):
            if not math.isfinite(metrics[name]):
                self._fail(done, metrics, name)
        self._recorder.step(done.step + 1, done.kind, seconds, metrics)
        self._progress.step(done.kind, seconds, metrics)

    def _fail(self, done: _Running, metrics: dict[str, float], name: str) -> None:
        self._recorder.flush()
        self._checkpoints.wait()
        folder = save_failure(
            self._workdir, self.state, done.kind, done.batch, done.sources, metrics
        )
        made_of = f" of {', '.join(map(str, done.sources))}" if done.sources else ""
        raise FloatingPointError(
            f"step {done.step}: {name} is {metrics[name]}; training stopped, the last checkpoint "
            f"is kept. The {done.kind!r} batch{made_of} and the state before it are in {folder}."
        )

    def _is_eval_due(self, done: int) -> bool:
        every = self._options.eval_every
        is_due = done == self._total or (every > 0 and done % every == 0)
        return self._evaluate_fn is not None and is_due

    def _after(self, done: int, is_preempted: bool) -> None:
        """What follows an update: a line, an evaluation, a checkpoint, the end."""
        is_evaluated = self._is_eval_due(done) and not is_preempted  # no time for it
        is_regular = done % self._options.checkpoint_every == 0 or done == self._total
        is_saved = is_evaluated or is_regular or is_preempted
        if is_saved or done % self._options.log_every == 0:
            self._settle()  # so a checkpoint is finite, and has its steps on record
            for kind, means in self._progress.report(done).items():
                self._recorder.means(done, kind, means)
        scores = None
        try:
            if is_evaluated:
                scores = self._evaluate(done)
        finally:  # a failed evaluation does not cost the steps before it
            if is_saved:
                self._recorder.flush()
                self._checkpoints.save(self.state, scores)
        if is_preempted:
            self._checkpoints.wait()
            logging.warning("SIGTERM: saved at step %d; start again to go on.", done)
            raise Preempted(done)

    def _evaluate(self, done: int) -> Mapping[str, float]:
        assert self._evaluate_fn is not None
        with self._progress.aside(f"evaluating step {done}"):
            scores, pictures = self._evaluate_fn(self.state)
        scores = {name: float(value) for name, value in scores.items()}
        self._recorder.evaluation(done, scores, pictures)
        self._progress.evaluation(done, scores)
        return scores


def fit(
    state: TrainState,
    loss_fns: Mapping[str, LossFn],
    batches: Mapping[str, OpenSource],
    stages: Sequence[Stage],
    optimizer: optax.GradientTransformation,
    learning_rate: Callable[[int], Any] | None,
    workdir: str | os.PathLike,
    options: LoopOptions | None = None,
    evaluate: Evaluate | None = None,
    config: Any = None,
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> TrainState:
    """Trains up to the stages' total; goes on from the newest checkpoint in `workdir`, if any.

    state: at step 0, with the shardings that a restored one gets too.
    loss_fns, batches: one entry per kind of batch. `batches[kind](position)` opens the source at
        its batch number `position`, at the first step that needs it; items as in `batch_sources`.
    learning_rate: multiplies the optimizer's updates, one number or one per group of
        `parameter_rules`; None for an optimizer that holds its own schedule.
    evaluate: scores and pictures, every `eval_every` steps and at the end.
    config: what the run was configured with, kept beside it.
    recipe: the one that `state` was made with.
    """
    options = options or LoopOptions()
    total, folder = total_steps(stages), pathlib.Path(os.path.abspath(workdir))
    missing = [kind for kind in kinds_of(stages) if kind not in loss_fns]
    if missing:
        raise ValueError(f"loss_fns: nothing for {missing}, found {sorted(loss_fns)}.")
    with contextlib.ExitStack() as stack:
        notice = stack.enter_context(PreemptionNotice())
        kept = (options.keep_latest, options.keep_best, options.best_metric, options.best_mode)
        checkpoints = stack.enter_context(Checkpoints(folder, *kept))
        restored = checkpoints.restore(state)
        state = state if restored is None else restored
        begin = int(state.step)
        if jax.process_index() == 0:
            logging.info("%s: from step %d to %d", folder, begin, total)
        record_start(folder, config, begin)
        sources = BatchSources(batches, stages, begin, options.seed)
        stack.callback(sources.close)
        recorder = Recorder(folder, begin, options.tensorboard)
        stack.callback(recorder.close)
        shardings = mesh_shardings(state)
        step_fns = {
            kind: make_step(fn, optimizer, options.ema_decay, shardings, recipe, accumulate)
            for kind, fn in loss_fns.items()
        }
        run = _Run(
            state, step_fns, stages, sources, learning_rate, evaluate, folder, options,
            checkpoints, recorder,
        )  # fmt: skip
        run.train(notice)
        return run.state
