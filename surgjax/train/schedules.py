"""Learning rates over the steps, and how they reach the updates of each group of parameters.

Path:    OptimizerOptions -> [schedules] -> rates of a step -> updates
Units:   steps count optimizer updates from 0. `where` of the reference is step / total_steps.
Errors:  ValueError for a path that belongs to no group; KeyError for a group without a rate.
Source:  SAM 2's fine-tuning: half a cosine from the first to the last rate, no warm-up; one for
         the image encoder, one for the rest.
Differs: rates are numbers that enter the compiled step, so that another schedule compiles nothing
         anew; `hold` makes an optimizer that keeps its own schedule, for other loops.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from surgjax.train import parameter_rules

Rates = Any  # one number, or {group of parameter_rules: number}


def warmup_cosine(peak: float, final: float, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Linear from 0 to `peak`, then half a cosine that would reach `final` at `total_steps`."""
    total = max(total_steps, 2)
    warmup = min(warmup_steps, max(total_steps - 1, 1))
    if warmup:
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, total, final)
    alpha = final / peak if peak else 0.0
    return optax.cosine_decay_schedule(peak, total, alpha)


def scale_by_rates(updates: Any, rates: Rates) -> Any:
    """Updates for a rate of 1 times the rate of their group; one number is every group's."""

    def scale(name: str, update: jax.Array) -> jax.Array:
        rate = rates[parameter_rules.group_of(name)] if isinstance(rates, Mapping) else rates
        return (rate * update).astype(update.dtype)

    return parameter_rules.map_named(scale, updates)


class HeldSchedule(NamedTuple):
    """The count of updates, which a schedule that is held by the optimizer goes by."""

    step: jax.Array  # [] int32


def hold(
    optimizer: optax.GradientTransformation, schedule: Callable[[Any], Rates]
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose updates are final: those of `optimizer` times its own schedule."""

    def init(params: Any) -> HeldSchedule:
        del params
        return HeldSchedule(jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        del params, extra
        return scale_by_rates(updates, schedule(state.step)), HeldSchedule(state.step + 1)

    return optax.chain(optimizer, optax.GradientTransformationExtraArgs(init, update))
