"""Weights of a run's checkpoint alone, for export or for another run to start from.

Path:    WORKDIR/checkpoints -> [averaged] -> params -> checkpoints.save_params, warm start
Errors:  ValueError naming the folder without a checkpoint, a damaged one, or the folder of another
         model.
Differs: only the item of the weights is read, into NumPy arrays, whatever devices saved it.
"""

import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from surgjax import checkpoints
from surgjax.checkpoints.orbax import own_checkpointer, tree_of
from surgjax.models import sam2, variants
from surgjax.train import auxiliary_head, lora, recipes
from surgjax.train.checkpoint_files import find_damage
from surgjax.train.checkpointing import FOLDER, RANK, quiet_orbax, steps_in

EXPORT_FOLDER = "export"


def best_step(workdir: str | os.PathLike) -> int:
    """The step whose evaluation was best by the run's metric, the later one if equal."""
    ranks = {}
    for step in steps_in(workdir):
        path = pathlib.Path(workdir, FOLDER, str(step), "metrics", "metrics")
        if path.is_file():
            ranks[step] = json.loads(path.read_text())[RANK]
    if not ranks:
        raise ValueError(
            f"{pathlib.Path(workdir, FOLDER)}: no checkpoint with a score; the run needs "
            "evaluations and a best_metric."
        )
    return max(ranks, key=lambda step: (ranks[step], step))


def load_weights(
    workdir: str | os.PathLike, item: str = "ema_params", step: int | None = None
) -> tuple[dict[str, Any], int]:
    """`params` or `ema_params` of a step, by default the newest, as NumPy arrays; and the step."""
    saved = steps_in(workdir)
    if not saved:
        raise ValueError(f"{pathlib.Path(workdir, FOLDER)}: no checkpoint found.")
    step = saved[-1] if step is None else step
    if step not in saved:
        raise ValueError(f"{pathlib.Path(workdir, FOLDER)}: no step {step}, found {saved}.")
    folder = pathlib.Path(os.path.abspath(workdir), FOLDER, str(step))
    if problem := find_damage(folder):
        raise ValueError(f"{folder}: is damaged: {problem}; older steps: {saved[:-1]}.")
    quiet_orbax()
    with own_checkpointer() as checkpointer:
        tree = tree_of(checkpointer.metadata(folder / item))
        target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)
        return checkpointer.restore(folder / item, target), step


def _averaged(
    workdir: str | os.PathLike, step: int | None, adapters: lora.LoraOptions | None
) -> tuple[dict[str, Any], int]:
    """All parameters, the trained ones as their mean; adapters put in."""
    mean, step = load_weights(workdir, step=step)
    params, _ = load_weights(workdir, "params", step)
    params = recipes.overlay(params, mean)
    if (adapters is None) == (lora.NAME in params):
        has = "has" if adapters is None else "has no"
        raise ValueError(
            f"{workdir}: step {step} {has} adapters, against what was asked for. A finished run's "
            f"{EXPORT_FOLDER} folder holds them merged."
        )
    return (params if adapters is None else lora.merge(params, adapters)), step


def averaged_params(
    workdir: str | os.PathLike,
    variant: str,
    keep_head: bool = False,
    step: int | None = None,
    adapters: lora.LoraOptions | None = None,
    version: str = "2.1",
) -> tuple[dict, int]:
    """The running mean of the newest checkpoint, checked against the variant, and its step.

    With keep_head the auxiliary head comes too, if the run had one: a further run needs it, since
    a fresh head would shake the encoder for its first steps. adapters: of a run with LoRA. SAM2S's
    own parameters come where the run had them.
    """
    held, step = _averaged(workdir, step, adapters)
    params = auxiliary_head.without(held)
    config = sam2.with_parts_of(variants.get_config(variant, version), params)
    wanted = sam2.abstract_params(config)
    if jax.tree.map(np.shape, params) != jax.tree.map(lambda leaf: leaf.shape, wanted):
        raise ValueError(
            f"{pathlib.Path(workdir, FOLDER, str(step))}: parameters are not those of "
            f"{variant!r} {version}."
        )
    return (held if keep_head else params), step


def export_run(
    workdir: str | os.PathLike,
    config: variants.Sam2Config,
    output: str | os.PathLike | None = None,
    step: int | None = None,
    adapters: lora.LoraOptions | None = None,
) -> pathlib.Path:
    """Writes the averaged parameters as a folder that `experiments.track --checkpoint` takes.

    output: WORKDIR/export by default; replaced if it is there.
    """
    held, step = _averaged(workdir, step, adapters)
    output = pathlib.Path(workdir, EXPORT_FOLDER) if output is None else pathlib.Path(output)
    source = f"{os.path.basename(os.path.abspath(workdir))}, step {step}, averaged"
    params = auxiliary_head.without(held)
    checkpoints.save_params(output, params, config, source=source, overwrite=output.exists())
    return output
