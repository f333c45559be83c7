"""A step that is not finite: its batch and state are kept, and can be computed again.

Path:    loop -> [replay] -> WORKDIR/failures/step_0001234 -> [replay] -> Replayed
Axes:    arrays of the global batch, as the step took them.
Units:   step counts updates done before the failing one.
Errors:  ValueError naming the folder or the kind of batch that is not there.
Differs: the state is the one that the failing update began with, not the last checkpoint, so a
         replay gives the same numbers at once.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from surgjax.checkpoints.atomic import atomic_file
from surgjax.train.accumulation import Accumulation
from surgjax.train.checkpointing import Checkpoints
from surgjax.train.gradient_step import global_norm, make_gradient
from surgjax.train.parameter_rules import named_leaves
from surgjax.train.recipes import Recipe
from surgjax.train.state import TrainState
from surgjax.train.update import LossFn

FOLDER = "failures"
BATCH, ABOUT = "batch.npz", "about.json"


class Replayed(NamedTuple):
    """What the failing step computes."""

    loss: float
    metrics: dict[str, float]
    grad_norm: float
    bad_gradients: list[str]  # trained parameters whose gradient is not finite
    bad_params: list[str]  # parameters that are not finite themselves


def _whole(array: Any) -> np.ndarray:
    """All rows, though other processes hold some of them."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)


def _all_sources(sources: tuple[Any, ...]) -> list[Any]:
    """Sources of the rows of every process, in process order."""

    def plain(source: Any) -> Any:
        is_record = dataclasses.is_dataclass(source)
        return dataclasses.asdict(source) if is_record else source  # pyright: ignore[reportArgumentType]

    text = json.dumps([plain(source) for source in sources], default=str).encode()
    if jax.process_count() == 1:
        return json.loads(text)
    lengths = multihost_utils.process_allgather(np.array(len(text)))
    room = np.zeros(int(np.max(lengths)), np.uint8)
    room[: len(text)] = np.frombuffer(text, np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(room))
    texts = [bytes(row[:n]) for row, n in zip(rows, np.ravel(lengths), strict=True)]
    return [source for each in texts for source in json.loads(each)]


def save_failure(
    workdir: str | os.PathLike,
    state: TrainState,
    kind: str,
    batch: Any,
    sources: tuple[Any, ...],
    metrics: Mapping[str, float],
) -> pathlib.Path:
    """Writes batch, sources, metrics and the state before the step; every process calls it."""
    step = int(state.step)
    folder = pathlib.Path(os.path.abspath(workdir), FOLDER, f"step_{step:07d}")
    arrays: dict[str, Any] = {name: _whole(leaf) for name, leaf in named_leaves(batch).items()}
    about = {"step": step, "kind": kind, "sources": _all_sources(sources)}
    about["metrics"] = {name: str(value) for name, value in metrics.items()}
    if jax.process_index() == 0:
        with atomic_file(folder / BATCH) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        with atomic_file(folder / ABOUT) as temporary:
            temporary.write_text(json.dumps(about, indent=1) + "\n")
    with Checkpoints(folder) as checkpoints:
        if step not in checkpoints.steps():  # it failed here before
            checkpoints.save(state)
    return folder


def load_failure(folder: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What about.json says (step, kind, sources, metrics), and the batch's arrays by name."""
    folder = pathlib.Path(folder)
    for name in (ABOUT, BATCH):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: no {name}; expected a folder under WORKDIR/{FOLDER}.")
    about = json.loads((folder / ABOUT).read_text())
    with np.load(folder / BATCH) as arrays:
        return about, {name: arrays[name] for name in arrays.files}


def replay(
    folder: str | os.PathLike,
    loss_fn: LossFn,
    batch: Any,
    target: TrainState,
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> Replayed:
    """Computes loss and gradients of the failing step anew, and says where they are not finite.

    batch: the arrays of `load_failure` in the pytree that `loss_fn` takes.
    target: a state of the run's shapes, as for `Checkpoints.restore`.
    recipe, accumulate: the run's own; other micro-batches would draw other prompts.
    """
    with Checkpoints(folder) as checkpoints:
        state = checkpoints.restore(target)
    if state is None:
        raise ValueError(f"{folder}: no state found.")
    key = jax.random.fold_in(state.key, state.step)
    compute = jax.jit(make_gradient(loss_fn, recipe, accumulate))
    (loss, metrics), grads = compute(state.params, batch, key)
    return Replayed(
        float(loss),
        {name: float(value) for name, value in metrics.items()},
        float(global_norm(grads)),
        _not_finite(grads),
        _not_finite(state.params),
    )


def _not_finite(tree: Any) -> list[str]:
    named = named_leaves(tree)
    return [name for name, leaf in named.items() if not bool(jax.numpy.isfinite(leaf).all())]
