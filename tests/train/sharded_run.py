"""A few training steps over a mesh, alone or as one of several processes; run by `test_scale`.

  python -m tests.train.sharded_run '{"folder": ..., "layouts": [[data, fsdp], ...], ...}'

Prints one line of JSON: per layout the losses, the gradient norms, digests of the global batches,
and the loss of the step after the last, from the state in memory or from a checkpoint.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from surgjax import train
from surgjax.data import clips
from surgjax.data.mixture import MixtureEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler
from surgjax.models import sam2, variants
from surgjax.train import distributed, loop, sharding
from surgjax.train.checkpointing import Checkpoints
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions

BATCH, OBJECTS = 8, 2


def _small_params() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"stem": (3, 3, 3, 16), "mix": (16, 64), "out": (64, OBJECTS)}
    return {
        name: {"kernel": rng.standard_normal(shape).astype(np.float32) * 0.2}
        for name, shape in shapes.items()
    }


def _small_loss(params, batch, key):
    """A convolution and two matrices on noisy frames: every kind of axis, a draw per pixel."""
    masks = clips.expand_masks(batch.label_maps, OBJECTS)
    frames = batch.frames_u8.reshape(-1, *batch.frames_u8.shape[2:]).astype(jnp.float32) / 255.0
    frames = frames + 0.1 * jax.random.normal(key, frames.shape)
    x = jax.lax.conv_general_dilated(
        frames, params["stem"]["kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    logits = jax.nn.gelu(x @ params["mix"]["kernel"]) @ params["out"]["kernel"]
    truth = jnp.moveaxis(masks.reshape(-1, *masks.shape[2:]), 1, -1)[:, ::2, ::2]
    valid = jnp.repeat(batch.object_valid, masks.shape[1], 0)[:, None, None, :]
    errors = jnp.square(jax.nn.sigmoid(logits) - truth) * valid
    return errors.sum() / jnp.maximum(valid.sum(), 1), {}


def _clip_loss(params, batch, key):
    scenes = promptable.SceneBatch(
        frames=batch.frames_u8,
        masks=clips.expand_masks(batch.label_maps, OBJECTS),
        valid=batch.object_valid,
        frame_index=batch.frame_index,
    )
    model = sam2.Sam2(variants.get_config("debug"))
    return promptable.clip_loss(model, params, scenes, key, PromptOptions(loss_size=32))


LOSSES = {
    "small": (_small_loss, _small_params),
    "clip": (_clip_loss, lambda: sam2.init_params(variants.get_config("debug"), 0)),
}


def _digest(batch) -> str:
    digest = hashlib.sha256()
    for array in jax.tree.leaves(batch):
        digest.update(np.ascontiguousarray(multihost_utils.process_allgather(array, tiled=True)))
    return digest.hexdigest()


def _save(path: str, state: train.TrainState) -> None:
    with Checkpoints(path) as checkpoints:
        checkpoints.save(state)


def _restore(path: str, target: train.TrainState) -> train.TrainState:
    with Checkpoints(path) as checkpoints:
        found = checkpoints.restore(target)
    assert found is not None
    return found


def run(
    folder: str,
    layouts: list[list[int]],
    steps: int,
    loss: str = "small",
    save: str = "",
    restore: str = "",
) -> list[dict[str, Any]]:
    """One result per layout [data, fsdp]; the last state is saved, or one of before restored."""
    loss_fn, init_params = LOSSES[loss]
    size = variants.get_config("debug").image_size if loss == "clip" else 32
    optimizer = train.build_optimizer(train.OptimizerOptions(weight_decay=0.1))
    entries = [MixtureEntry(PreparedSet(folder), "train", ClipSampler(frames=2, objects=OBJECTS))]
    results = []
    for data, fsdp in layouts:
        options = sharding.ShardingOptions(data, fsdp, min_size=64)
        mesh = sharding.make_mesh(options, jax.devices()[: data * fsdp])
        state, places = sharding.create_state(init_params(), optimizer, 1, mesh, options)
        rows = sharding.batch_sharding(mesh, BATCH)
        step = loop.make_step(sharding.shard_loss(loss_fn, places), optimizer, 0.99, places)
        found: dict[str, Any] = {"losses": [], "norms": [], "batches": []}

        def advance(state, start: int, count: int, found=found, step=step, rows=rows):
            with clips.open_clips(
                entries, batch_size=BATCH, size=size, seed=2, start_step=start
            ) as source:
                for _ in range(count):
                    batch = sharding.place_batch(next(source).clips, rows)
                    found["batches"].append(_digest(batch))
                    state, metrics = step(state, batch, np.float32(1e-2))
                    found["losses"].append(float(metrics["loss"]))
                    found["norms"].append(float(metrics["grad_norm"]))
            return state

        state = advance(state, 0, steps)
        if save and [data, fsdp] == layouts[-1]:
            _save(save, state)
        if restore:
            state = _restore(restore, state)
            assert jax.tree.all(jax.tree.map(lambda x, at: x.sharding == at, state, places))
        assert int(state.step) == steps
        advance(state, steps, 1)
        found["pieces"] = sum(not leaf.is_fully_replicated for leaf in jax.tree.leaves(state))
        results.append(found)
    return results


def main(text: str) -> None:
    settings = json.loads(text)
    jax.config.update("jax_num_cpu_devices", settings.pop("devices"))
    distributed.initialize(*settings.pop("processes", ()), timeout_s=120)
    results = Path(settings.pop("results"))  # a file: Gloo prints into lines on stdout
    results.write_text(json.dumps(run(**settings)))
    multihost_utils.sync_global_devices("end")


if __name__ == "__main__":
    main(sys.argv[1])
