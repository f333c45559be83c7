r"""Trains promptable SAM 2 on generated scenes: builds the parts, then calls the loop.

Exit status 0: finished, and WORKDIR/export holds what `experiments.track --checkpoint` takes.
Exit status 75: SIGTERM came, the state is saved; the same command goes on.
A step that is not finite leaves WORKDIR/failures/step_N, which the same command with
`--replay WORKDIR/failures/step_N` computes again.
"""

import functools
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from absl import app, flags, logging
from ml_collections import config_flags

from experiments.promptable_sam2 import model_parts
from experiments.promptable_sam2.evaluation import Evaluation, EvaluationOptions
from surgjax import train
from surgjax.synthetic import build
from surgjax.train import recipes, replay, scene_batches, warm_start
from surgjax.train.accumulation import Accumulation
from surgjax.train.averaged import export_run
from surgjax.train.batch_sources import OpenSource
from surgjax.train.steps import promptable

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints and logs.", required=True)
_DATA = flags.DEFINE_string("data", None, "Folders of shards (a,b); sets train_data.folder.")
_COMPILE_CACHE = flags.DEFINE_string("compile_cache", None, "Folder that keeps compiled steps.")
_REPLAY = flags.DEFINE_string("replay", None, "Folder of a failed step: computes it again.")


def _write_scenes(folder: str) -> str:
    """A few tiny scenes for a debug run, where the config names no shards."""
    build.build(folder, images=4, clips=2, frames=8, size=64, seed=0)
    return folder


def _kinds(config: Any) -> dict[str, scene_batches.BatchOptions]:
    data = config.train_data
    return {k: scene_batches.BatchOptions(**v) for k, v in data.items() if k != "folder"}


def _initial_state(config: Any, optimizer: optax.GradientTransformation) -> train.TrainState:
    params, recipe = model_parts.initial_params(config), recipes.get_recipe(config.recipe)
    logging.info("%s", recipes.summary(params, recipe))
    return train.init_state(jax.tree.map(jnp.asarray, params), optimizer, config.seed, recipe)


def _sources(
    kinds: Mapping[str, scene_batches.BatchOptions], folders: list[str], seed: int
) -> dict[str, OpenSource]:
    @functools.cache  # batches of two sizes share the scenes in memory
    def shards(kind: str) -> scene_batches.ShardFolder:
        return scene_batches.ShardFolder(folders, kind)

    def open_source(options: scene_batches.BatchOptions, seed: int, start: int):
        if options.kind == "shapes":
            return warm_start.shape_batches(shards("image"), options, seed, start=start)
        kind = "clip" if options.kind == "clip" else "image"
        return scene_batches.scene_batches(shards(kind), options, seed, start=start)

    return {
        name: functools.partial(open_source, options, seed + i)
        for i, (name, options) in enumerate(kinds.items())
    }


def run(config: Any, workdir: str) -> train.TrainState:
    """Everything but flag parsing, so that tests and notebooks call the same code."""
    kinds = _kinds(config)
    stages = [train.Stage(stage["steps"], stage["shares"]) for stage in config.stages]
    options = train.OptimizerOptions(**config.optim)
    optimizer = model_parts.optimizer_of(config)
    variant = model_parts.variant_of(config)
    with tempfile.TemporaryDirectory() as scratch:
        folder = config.train_data.folder
        folders = folder.split(",") if folder else [_write_scenes(scratch)]
        state = train.fit(
            state=_initial_state(config, optimizer),
            loss_fns={
                name: model_parts.loss_fn(config, options.kind, options.size)
                for name, options in kinds.items()
            },
            batches=_sources(kinds, folders, config.seed),
            stages=stages,
            optimizer=optimizer,
            learning_rate=train.learning_rate_schedule(options, sum(s.steps for s in stages)),
            workdir=workdir,
            options=train.LoopOptions(seed=config.seed, **config.loop),
            evaluate=Evaluation(
                variant, EvaluationOptions(**config.eval), model_parts.adapters_of(config)
            ),
            config=config,
            recipe=recipes.get_recipe(config.recipe),
            accumulate=Accumulation(config.micro_batches, lambda batch: batch.valid.sum()),
        )
    if jax.process_index() == 0:
        exported = export_run(workdir, variant, adapters=model_parts.adapters_of(config))
        print(f"finished; averaged parameters in {exported}")
    return state


def replay_step(config: Any, folder: str) -> replay.Replayed:
    """Computes a failed step of this config again and prints what is not finite."""
    about, arrays = replay.load_failure(folder)
    kinds = _kinds(config)
    if about["kind"] not in kinds:
        raise ValueError(f"{folder}: kind {about['kind']!r} is not in the config: {sorted(kinds)}.")
    target = _initial_state(config, model_parts.optimizer_of(config))
    batch, kind = promptable.SceneBatch(**arrays), kinds[about["kind"]]
    found = replay.replay(folder, model_parts.loss_fn(config, kind.kind, kind.size), batch, target)
    print(f"step {about['step']}, {about['kind']!r} batch of {about['sources']}")
    print(f"loss {found.loss}, gradient norm {found.grad_norm}, {found.metrics}")
    print(f"gradients that are not finite: {', '.join(found.bad_gradients) or 'none'}")
    print(f"parameters that are not finite: {', '.join(found.bad_params) or 'none'}")
    return found


def main(_):
    if _COMPILE_CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _COMPILE_CACHE.value)
    config = _CONFIG.value
    if _DATA.value:
        config.train_data.folder = _DATA.value
    if _REPLAY.value:
        replay_step(config, _REPLAY.value)
    else:
        run(config, _WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
