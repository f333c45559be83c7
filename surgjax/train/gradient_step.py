"""The arithmetic of one update: gradient of what is trained, optimizer, learning rates.

Path:    params, batch, rates -> [gradient_step] -> new params, for the loop's compiled step
Axes:    as the loss function's batch.
Units:   rates: one number, or one per group of `parameter_rules`.
Errors:  those of `accumulation` and `schedules`, while tracing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from surgjax.train import accumulation, recipes, schedules
from surgjax.train.accumulation import Accumulation
from surgjax.train.recipes import Recipe


class GradientStep(NamedTuple):
    """What an update leaves."""

    params: Any  # all of them; leaves that are not trained as they came
    trained: Any  # the subtree that is trained; what the running mean follows
    opt_state: Any
    loss: jax.Array  # []
    metrics: dict[str, jax.Array]
    grad_norm: jax.Array  # [] of the trained leaves, before clipping


def global_norm(tree: Any) -> jax.Array:
    """Euclidean norm over all leaves, in float32."""
    squares = [jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares))


def make_gradient(
    loss_fn: Callable[..., Any],
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> Callable[..., Any]:
    """gradient(params, batch, key) -> ((loss, metrics), gradients of the trained subtree)."""

    def gradient(params: Any, batch: Any, key: jax.Array) -> Any:
        trained, frozen = recipes.split(params, recipe)

        def loss_of_trained(trained: Any, batch: Any, key: jax.Array) -> Any:
            return loss_fn(recipes.overlay(frozen, trained), batch, key)

        compute = accumulation.value_and_grad(loss_of_trained, accumulate or Accumulation())
        return compute(trained, batch, key)

    return gradient


def make_gradient_step(
    loss_fn: Callable[..., Any],
    optimizer: optax.GradientTransformation,
    recipe: Recipe | None = None,
    accumulate: Accumulation | None = None,
) -> Callable[..., GradientStep]:
    """step(params, opt_state, batch, key, rates), to be called while a larger one is traced.

    loss_fn(params, batch, key) -> (loss, metrics). `opt_state` is that of the trained subtree,
    `optimizer.init(recipes.split(params, recipe)[0])`. Without a recipe everything is trained.
    """
    gradient = make_gradient(loss_fn, recipe, accumulate)

    def step(params: Any, opt_state: Any, batch: Any, key: jax.Array, rates: Any) -> GradientStep:
        trained, frozen = recipes.split(params, recipe)
        (loss, metrics), grads = gradient(params, batch, key)
        changes, opt_state = optimizer.update(grads, opt_state, trained)
        trained = optax.apply_updates(trained, schedules.scale_by_rates(changes, rates))
        params = recipes.overlay(frozen, trained) if frozen else trained
        return GradientStep(params, trained, opt_state, loss, metrics, global_norm(grads))

    return step
