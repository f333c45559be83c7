"""Checkpoints of a run through Orbax: written in the background, checked before they are read.

Path:    TrainState -> [checkpointing] -> WORKDIR/checkpoints/STEP -> TrainState, or params alone
Axes:    leaves keep their shapes; their shardings are those of the target that restore is given.
Units:   a step counts updates done.
Errors:  ValueError naming the folder: written by an earlier version, no usable checkpoint among
         several, a metric that decides the best one is missing, or leaves that do not fit.
Source:  orbax-checkpoint 0.12, CheckpointManager (v0).
Differs: `params`, `ema_params` and `rest` (step, optimizer, key) are items of their own, so weights
         load alone. A damaged or half-written step is left out with a message, and moved to
         WORKDIR/checkpoints_damaged once an older one has been read.
"""

import logging as std_logging
import math
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy

from surgjax.checkpoints.orbax import tree_of
from surgjax.train.checkpoint_files import find_damage, write_list
from surgjax.train.state import TrainState

FOLDER, DAMAGED = "checkpoints", "checkpoints_damaged"
ITEMS = ("params", "ema_params", "rest")
RANK = "_rank"  # of a checkpoint's metrics: higher is better
# What it warns of and we mean: a step without an evaluation, an item read alone.
_EXPECTED = ("Requested `tracked_metric`", "Metadata file does not exist")
_MODES = {"max": 1.0, "min": -1.0}


def _is_wanted(record: std_logging.LogRecord) -> bool:
    """Drops the dozens of lines Orbax logs per save; its real warnings and errors stay."""
    is_orbax = "/orbax/" in record.pathname.replace("\\", "/")
    is_noise = record.levelno < std_logging.WARNING or str(record.msg).startswith(_EXPECTED)
    return not (is_orbax and is_noise)


def quiet_orbax() -> None:
    """Keeps Orbax's running commentary out of the log, whichever thread it comes from."""
    std_logging.getLogger("absl").addFilter(_is_wanted)  # a second time does nothing


def _plain(state: TrainState) -> dict[str, Any]:
    """The items as trees of ordinary arrays; a typed key is saved as its data."""
    rest = {
        "step": state.step,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
    }
    return {"params": state.params, "ema_params": state.ema_params, "rest": rest}


def _abstract(state: TrainState) -> dict[str, Any]:
    """Shapes, types and shardings to restore into, from arrays or from ShapeDtypeStructs."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def leaf(x: Any, like: Any = None) -> jax.ShapeDtypeStruct:
        sharding = getattr(x if like is None else like, "sharding", None) or here
        return jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=sharding)

    data = leaf(jax.eval_shape(jax.random.key_data, state.key), like=state.key)
    rest = {"step": state.step, "opt_state": state.opt_state}
    trees = {"params": state.params, "ema_params": state.ema_params, "rest": rest}
    trees = jax.tree.map(leaf, trees)
    trees["rest"]["key"] = data
    return trees


def _leaves(tree: Any) -> dict[str, str]:
    """Type and shape of each leaf by its path; containers may be tuples here and lists there."""
    flat = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))[0]
    names = ("name", "key", "idx")

    def text(entry: Any) -> str:
        return next(str(getattr(entry, name)) for name in names if hasattr(entry, name))

    return {"/".join(map(text, path)): f"{x.dtype}{list(x.shape)}" for path, x in flat}


def _check_fit(folder: pathlib.Path, found: Any, wanted: Any) -> None:
    """Refuses another model or optimizer before anything is read."""
    found, wanted = _leaves(found), _leaves(wanted)
    problems = [f"{name}: missing" for name in wanted if name not in found]
    problems += [f"{name}: not expected" for name in found if name not in wanted]
    problems += [
        f"{name}: found {found[name]}, expected {wanted[name]}"
        for name in wanted
        if name in found and found[name] != wanted[name]
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (" ..." if len(problems) > 5 else "")
        raise ValueError(
            f"{folder}: is of another model or optimizer ({len(problems)} leaves differ): {shown}."
        )


def steps_in(workdir: str | os.PathLike) -> list[int]:
    """Steps of committed checkpoints, oldest first; a step being written has another name."""
    folder = pathlib.Path(workdir, FOLDER)
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir())


class Checkpoints:
    """The checkpoints of one run. Every process of it makes one; close it, or use a `with`."""

    def __init__(
        self,
        workdir: str | os.PathLike,
        keep_latest: int = 2,
        keep_best: int = 1,
        best_metric: str | None = None,
        best_mode: str = "max",
    ):
        """best_metric: of an evaluation; the `keep_best` steps with its best values stay."""
        if best_mode not in _MODES:
            raise ValueError(f"best_mode {best_mode!r}: expected one of {sorted(_MODES)}.")
        if keep_latest < 1:
            raise ValueError(f"keep_latest must be 1 or more, found {keep_latest}.")
        self._workdir = pathlib.Path(os.path.abspath(workdir))  # Orbax refuses relative paths
        self._folder = self._workdir / FOLDER
        if next(self._workdir.glob("checkpoint_*.msgpack"), None) is not None:
            raise ValueError(
                f"{self._workdir}: holds checkpoint_*.msgpack of an earlier version, which cannot "
                "be continued; give another --workdir."
            )
        self._best_metric, self._sign = best_metric, _MODES[best_mode]
        self._saving: int | None = None
        quiet_orbax()
        for path in sorted(self._folder.glob("*.orbax-checkpoint-tmp*")):
            step = path.name.split(".")[0]
            logging.warning("%s: step %s was not saved to the end; left out.", self._folder, step)
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=self._options(keep_latest, keep_best),
            item_handlers={name: ocp.StandardCheckpointHandler() for name in ITEMS},
        )

    def _options(self, latest: int, best: int) -> ocp.CheckpointManagerOptions:
        policies: list[preservation_policy.PreservationPolicy]
        policies = [preservation_policy.LatestN(latest)]
        if self._best_metric is not None and best:
            policies.append(
                preservation_policy.BestN(
                    get_metric_fn=lambda metrics: metrics[RANK],
                    n=best,
                    keep_checkpoints_without_metrics=False,  # True would keep each of them for ever
                )
            )
        return ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
            best_fn=lambda metrics: metrics[RANK],  # without it no metrics are written
            cleanup_tmp_directories=True,
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._list_files),
        )

    def _list_files(self) -> None:
        """Orbax calls this when all is written, just before the folder gets its final name."""
        if jax.process_index() == 0:
            for folder in self._folder.glob(f"{self._saving}*"):
                if folder.name.split(".")[0] == str(self._saving):
                    write_list(folder)

    def save(self, state: TrainState, metrics: Mapping[str, float] | None = None) -> None:
        """Starts to write; returns once the arrays are copied off the device. Waits for the last.

        metrics: of an evaluation of this state, if there was one.
        """
        step = int(state.step)
        self.wait()
        unknown = metrics is not None and self._best_metric not in (None, *metrics)
        ranked = self._ranked(metrics) if metrics is not None and not unknown else None
        self._saving = step
        items = {name: ocp.args.StandardSave(tree) for name, tree in _plain(state).items()}
        self._manager.save(step, args=ocp.args.Composite(**items), metrics=ranked, force=True)
        if unknown:
            self.wait()  # the state itself is good, and stays
            raise ValueError(
                f"best_metric {self._best_metric!r} is not among those of the evaluation: "
                f"{sorted(metrics or ())}."
            )

    def _ranked(self, metrics: Mapping[str, float]) -> dict[str, float] | None:
        if self._best_metric is None:
            return None
        value = self._sign * float(metrics[self._best_metric])
        rank = -sys.float_info.max if math.isnan(value) else value  # JSON has no infinity
        return {RANK: rank} | {name: float(v) for name, v in metrics.items()}

    def steps(self) -> list[int]:
        """Steps that are kept, the one being written among them; oldest first."""
        return sorted(self._manager.all_steps())

    def wait(self) -> None:
        """Until the step being written is committed; raises what went wrong with it."""
        self._manager.wait_until_finished()

    def restore(self, target: TrainState) -> TrainState | None:
        """The newest undamaged state in the shapes and shardings of `target`; None at the start."""
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            problem = self._damage_of(step)
            if not problem:
                state = self._read(step, target)
                self._set_aside(damaged)
                return state
            logging.warning("%s: %s; left out.", self._folder / str(step), problem)
            damaged.append(step)
        if damaged:
            raise ValueError(
                f"{self._folder}: each checkpoint is damaged (steps {sorted(damaged)}); move the "
                "folder away to start from step 0."
            )
        return None

    def _damage_of(self, step: int) -> str:
        """Process 0 looks; all of them hear the answer, so that they agree on a step."""
        problem = find_damage(self._folder / str(step)) if jax.process_index() == 0 else ""
        if jax.process_count() > 1:
            is_bad = multihost_utils.broadcast_one_to_all(np.array(bool(problem)))
            problem = (problem or "found damaged by process 0") if bool(is_bad) else ""
        return problem

    def _read(self, step: int, target: TrainState) -> TrainState:
        wanted = _abstract(target)
        found = self._manager.item_metadata(step)
        trees = {name: tree_of(found[name]) for name in ITEMS}
        _check_fit(self._folder / str(step), trees, wanted)
        args = {name: ocp.args.StandardRestore(tree) for name, tree in wanted.items()}
        items = self._manager.restore(step, args=ocp.args.Composite(**args))
        rest = items["rest"]
        key = jax.random.wrap_key_data(rest["key"], impl=jax.random.key_impl(target.key))
        return TrainState(
            rest["step"], items["params"], rest["opt_state"], items["ema_params"], key
        )

    def _set_aside(self, steps: list[int]) -> None:
        """Makes room for the same steps to be saved anew."""
        if not steps:
            return
        if jax.process_index() == 0:
            for step in steps:
                new = self._workdir / DAMAGED / str(step)
                while new.exists():
                    new = new.with_name(new.name + "_again")
                new.parent.mkdir(exist_ok=True)
                os.rename(self._folder / str(step), new)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoints set aside")
        self._manager.reload()

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self.close()
