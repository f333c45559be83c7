"""The state of training as one pytree.

Path:    params, optimizer -> [state] -> loop, checkpointing
Units:   step counts optimizer updates from 0.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from surgjax.train import recipes


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
