"""One optimizer update as a compiled function; one that is not finite changes nothing.

Path:    loss_fn, optimizer -> [update] -> loop
Units:   rates multiply the update of an optimizer with rate 1, see `schedules.scale_by_rates`.
Errors:  none; the loop reads `loss` and `grad_norm` and stops on what is not finite.
Differs: where loss or gradient is not finite, every leaf of the state stays as it was, and so it
         does in the steps after it. The loop may so look at a step's loss while the next one is
         running, and still holds the state that the failure came from.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from surgjax.train.accumulation import Accumulation
from surgjax.train.gradient_step import make_gradient_step
from surgjax.train.recipes import Recipe
from surgjax.train.state import TrainState

LossFn = Callable[[Any, Any, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]


def make_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    shardings: Any = None,
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> jax.stages.Wrapped:
    """A compiled `step(state, batch, rate, index=None) -> (state, metrics)`; state is donated.

    The mean warms up with the step, so that it never lags at the start.
    index: the step that the caller means; a state at another one is handed back unchanged.
    shardings: a TrainState of shardings that the new state keeps; by default XLA chooses.
    recipe: the one that the state was made with.
    """
    gradient_step = make_gradient_step(loss_fn, optimizer, recipe, accumulate)

    def step(
        state: TrainState, batch: Any, rate: Any, index: Any = None
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.step)
        done = gradient_step(state.params, state.opt_state, batch, key, rate)
        count = state.step.astype(jnp.float32)
        decay = jnp.minimum(ema_decay, (1.0 + count) / (10.0 + count))
        ema = jax.tree.map(
            lambda m, p: (m + (1.0 - decay) * (p - m)).astype(m.dtype),
            state.ema_params,
            done.trained,
        )
        is_good = jnp.isfinite(done.loss) & jnp.isfinite(done.grad_norm)
        if index is not None:
            is_good &= state.step == index

        def keep(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda n, o: jnp.where(is_good, n, o), new, old)

        new = TrainState(
            step=keep(state.step + 1, state.step),
            params=keep(done.params, state.params),
            opt_state=keep(done.opt_state, state.opt_state),
            ema_params=keep(ema, state.ema_params),
            key=state.key,
        )
        return new, done.metrics | {"loss": done.loss, "grad_norm": done.grad_norm}

    out = None if shardings is None else (shardings, None)
    return jax.jit(step, donate_argnums=0, out_shardings=out)


def mesh_shardings(state: TrainState) -> TrainState | None:
    """Where the leaves lie, for `make_step`, if they lie on a mesh; None on a single device."""
    leaves = jax.tree.leaves(state)
    named = [
        isinstance(getattr(leaf, "sharding", None), jax.sharding.NamedSharding) for leaf in leaves
    ]
    return jax.tree.map(lambda leaf: leaf.sharding, state) if named and all(named) else None
