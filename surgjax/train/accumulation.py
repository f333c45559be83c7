"""The gradient of a large batch from several small ones, one after the other.

Path:    batch -> [accumulation] -> loss, metrics, gradients -> updates
Axes:    every array of a batch has the batch axis B first; a micro-batch has B / n rows.
Errors:  ValueError, while tracing, naming B where the micro-batches do not divide it.
Differs: optax.MultiSteps spreads an update over several steps of the loop; here a step stays one
         update, so schedules, checkpoints and the running mean count the same steps. Rows i, i + n,
         ... form micro-batch i, so that a batch that is spread over devices stays where it is.
         Each micro-batch draws its own prompts. Metrics are averaged with the weights of the loss.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Weigh = Callable[[Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class Accumulation:
    """How many micro-batches make a batch, and what each of them counts.

    weigh: micro-batch -> what its loss was divided by (the number of objects, for losses per
    object), so that the whole equals the loss of the big batch. None: all count the same.
    """

    micro_batches: int = 1
    weigh: Weigh | None = None

    def __post_init__(self):
        if self.micro_batches < 1:
            raise ValueError(f"micro_batches: expected 1 or more, found {self.micro_batches}.")


def split_batch(batch: Any, micro_batches: int) -> Any:
    """[B, ...] to [n, B / n, ...] for every array; micro-batch i has rows i, i + n, ..."""

    def leaf(x: Any) -> jax.Array:
        if not x.ndim or x.shape[0] % micro_batches:
            raise ValueError(
                f"micro_batches {micro_batches} does not divide the batch axis of an array "
                f"of shape {x.shape}."
            )
        rows = jnp.reshape(x, (x.shape[0] // micro_batches, micro_batches, *x.shape[1:]))
        return jnp.swapaxes(rows, 0, 1)

    return jax.tree.map(leaf, batch)


def value_and_grad(loss_fn: Callable[..., Any], accumulation: Accumulation) -> Callable[..., Any]:
    """As jax.value_and_grad(loss_fn, has_aux=True) for loss_fn(params, batch, key)."""
    whole = jax.value_and_grad(loss_fn, has_aux=True)
    count, weigh = accumulation.micro_batches, accumulation.weigh
    if count == 1:
        return whole

    def run(params: Any, batch: Any, key: jax.Array) -> Any:
        parts = split_batch(batch, count)
        weights = jnp.ones(count) if weigh is None else jax.vmap(weigh)(parts).astype(jnp.float32)
        total = weights.sum()
        shares = weights / jnp.where(total > 0, total, 1.0)  # a batch of nothing has no gradient

        def add(sums: Any, part: Any) -> tuple[Any, Any]:
            micro_batch, micro_key, share = part
            (loss, metrics), grads = whole(params, micro_batch, micro_key)
            sums = jax.tree.map(lambda total, grad: total + share * grad, sums, grads)
            return sums, jax.tree.map(lambda value: share * value, (loss, metrics))

        zeros = jax.tree.map(jnp.zeros_like, params)
        keys = jax.random.split(key, count)
        grads, values = jax.lax.scan(add, zeros, (parts, keys, shares))
        return jax.tree.map(lambda value: value.sum(0), values), grads

    return run
