"""Trains promptable SAM 2 on generated scenes: builds the parts, then calls the loop."""

import dataclasses
import functools
import pathlib
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags
from ml_collections import config_flags

from surgjax import train
from surgjax.losses import LossWeights
from surgjax.models import sam2, variants
from surgjax.synthetic import build
from surgjax.train import auxiliary_head, scene_batches, warm_start
from surgjax.train.averaged import averaged_params
from surgjax.train.loop import LossFn
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions

_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints and logs.", required=True)
_DATA = flags.DEFINE_string("data", None, "Folders of shards (a,b); sets train_data.folder.")
_COMPILE_CACHE = flags.DEFINE_string("compile_cache", None, "Folder that keeps compiled steps.")

_LOSSES = {
    "shapes": promptable.image_loss,
    "dense": promptable.dense_loss,
    "image": promptable.image_loss,
    "clip": promptable.clip_loss,
}


def _loss_fn(config: Any, options: scene_batches.BatchOptions) -> LossFn:
    variant = variants.get_config(config.model.variant, image_size=options.size)
    # Of the image encoder: the rate at which blocks are dropped, and whether they are recomputed.
    extra = {
        name: config.model[name] for name in ("drop_path_rate", "remat") if name in config.model
    }
    variant = variant.replace(**extra)
    model = sam2.Sam2(variant, jnp.dtype(config.dtype))
    prompts = PromptOptions(
        **config.prompts, loss_size=options.size // 2, weights=LossWeights(**config.loss)
    )
    if options.kind == "shapes":  # they have no classes
        prompts = dataclasses.replace(prompts, auxiliary_weight=0.0)
    loss = _LOSSES[options.kind]
    return lambda params, batch, key: loss(model, params, batch, key, prompts)


def _write_scenes(folder: str) -> str:
    """A few tiny scenes for a debug run, where the config names no shards."""
    build.build(folder, images=4, clips=2, frames=8, size=64, seed=0)
    return folder


def _initial_params(config: Any) -> dict:
    variant = variants.get_config(config.model.variant)
    if config.init.run:  # the mean of an earlier run
        params, _ = averaged_params(config.init.run, config.model.variant, keep_head=True)
    else:
        params = sam2.init_params(variant, config.seed)
    if config.init.tie_attention:
        params = warm_start.tie_attention(params)
    if config.init.localise_memory:
        params = warm_start.localise_memory(params)
    if config.prompts.auxiliary_weight and auxiliary_head.NAME not in params:
        head = auxiliary_head.init_params(variant.hidden_dim, config.seed)
        params = {**params, auxiliary_head.NAME: head}
    return params


def run(config: Any, workdir: str) -> train.TrainState:
    """Everything but flag parsing, so that tests and notebooks call the same code."""
    data = config.train_data
    kinds = {
        name: scene_batches.BatchOptions(**options)
        for name, options in data.items()
        if name != "folder"
    }
    stages = [train.Stage(stage["steps"], stage["shares"]) for stage in config.stages]
    total = sum(stage.steps for stage in stages)
    options = train.OptimizerOptions(**config.optim)
    optimizer = train.build_optimizer(options)
    params = _initial_params(config)
    state = train.init_state(jax.tree.map(jnp.asarray, params), optimizer, config.seed)
    pathlib.Path(workdir).mkdir(parents=True, exist_ok=True)
    (pathlib.Path(workdir) / "config.json").write_text(config.to_json_best_effort(indent=2))
    with tempfile.TemporaryDirectory() as scratch:
        folders = data.folder.split(",") if data.folder else [_write_scenes(scratch)]

        @functools.cache  # batches of two sizes share the scenes in memory
        def shards(kind: str) -> scene_batches.ShardFolder:
            return scene_batches.ShardFolder(folders, kind)

        def open_source(options: scene_batches.BatchOptions, seed: int):
            if options.kind == "shapes":
                return warm_start.shape_batches(shards("image"), options, seed)
            kind = "clip" if options.kind == "clip" else "image"
            return scene_batches.scene_batches(shards(kind), options, seed)

        batches = {
            name: functools.partial(open_source, options, config.seed + i)
            for i, (name, options) in enumerate(kinds.items())
        }
        return train.fit(
            state=state,
            loss_fns={name: _loss_fn(config, options) for name, options in kinds.items()},
            batches=batches,
            stages=stages,
            optimizer=optimizer,
            learning_rate=train.learning_rate_schedule(options, total),
            workdir=workdir,
            seed=config.seed,
            ema_decay=config.ema_decay,
            log_every=config.log_every,
            checkpoint_every=config.checkpoint_every,
        )


def main(_):
    if _COMPILE_CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _COMPILE_CACHE.value)
    config = _CONFIG.value
    if _DATA.value:
        config.train_data.folder = _DATA.value
    run(config, _WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
