"""The state of training as one pytree, and its file: written whole or not at all.

Path:    [state] -> loop -> checkpoint file -> [state]
Units:   step counts optimizer updates from 0.
Errors:  ValueError naming the file when a checkpoint cannot be read or belongs to another model.
Differs: msgpack of one process's arrays; sharded training will bring Orbax.
"""

import os
import pathlib
import re
from typing import Any

import flax.serialization
import flax.struct
import jax
import jax.numpy as jnp
import optax

from surgjax.train import recipes

_NAME = re.compile(r"checkpoint_(\d{7})\.msgpack$")


class TrainState(flax.struct.PyTreeNode):
    """Everything a step changes."""

    step: jax.Array  # [] int32
    params: Any
    opt_state: Any
    ema_params: Any  # a running mean of what is trained of them; see recipes.averaged
    key: jax.Array  # [] typed PRNG key; the step folds `step` into it


def init_state(
    params: Any,
    optimizer: optax.GradientTransformation,
    seed: int,
    recipe: recipes.Recipe | None = None,
) -> TrainState:
    """Step 0: the mean of the parameters starts as the parameters.

    Optimizer state and mean are of the leaves that `recipe` trains; by default of all.
    """
    if recipe is not None:
        recipes.check(params, recipe)
    trained, _ = recipes.split(params, recipe)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(trained),
        ema_params=jax.tree.map(jnp.array, trained),
        key=jax.random.key(seed),
    )


def checkpoints_in(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Finished checkpoints, oldest first; files being written have another name."""
    found = [path for path in pathlib.Path(folder).glob("checkpoint_*") if _NAME.search(path.name)]
    return sorted(found)


def save_state(folder: str | os.PathLike, state: TrainState, keep: int = 2) -> pathlib.Path:
    """Writes `checkpoint_<step>.msgpack` under a temporary name, renames it, drops the oldest."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = state.replace(key=jax.random.key_data(state.key))
    data = flax.serialization.to_bytes(jax.device_get(plain))
    path = folder / f"checkpoint_{int(state.step):07d}.msgpack"
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    for old in checkpoints_in(folder)[:-keep]:
        old.unlink()
    return path


def load_state(path: str | os.PathLike, like: TrainState) -> TrainState:
    """Reads a checkpoint into the structure of `like`, checking every shape."""
    plain = like.replace(key=jax.random.key_data(like.key))
    try:
        state = flax.serialization.from_bytes(plain, pathlib.Path(path).read_bytes())
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: not a training checkpoint of this model: {error}") from error
    for (where, want), have in zip(
        jax.tree_util.tree_flatten_with_path(plain)[0], jax.tree.leaves(state), strict=True
    ):
        if jnp.shape(have) != jnp.shape(want):
            raise ValueError(
                f"{path}: {jax.tree_util.keystr(where)} has shape {jnp.shape(have)}, "
                f"expected {jnp.shape(want)}."
            )
    state = jax.tree.map(jnp.asarray, state)
    return state.replace(key=jax.random.wrap_key_data(state.key))
