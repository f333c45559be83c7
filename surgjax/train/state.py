"""The state of training as one pytree.

Path:    params, optimizer -> [state] -> loop, checkpointing
Units:   step counts optimizer updates from 0.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


class TrainState(flax.struct.PyTreeNode):
    """Everything a step changes."""

    step: jax.Array  # [] int32
    params: Any
    opt_state: Any
    ema_params: Any  # a running mean of params, what is evaluated and exported
    key: jax.Array  # [] typed PRNG key; the step folds `step` into it


def init_state(params: Any, optimizer: optax.GradientTransformation, seed: int) -> TrainState:
    """Step 0: the mean of the parameters starts as the parameters."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        ema_params=jax.tree.map(jnp.array, params),
        key=jax.random.key(seed),
    )
