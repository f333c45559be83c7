"""Which kind of batch a step takes, and how far its source has come: functions of seed and step.

Path:    config -> [stages] -> batch_sources, loop
Units:   steps count optimizer updates from 0.
Errors:  ValueError for no stage, a stage without steps, or shares that are negative or all zero.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Stage(NamedTuple):
    """A span of steps that draws from the same kinds of batch."""

    steps: int
    shares: Mapping[str, float]  # kind of batch -> share of the steps


def total_steps(stages: Sequence[Stage]) -> int:
    """Steps of all stages; checks them first."""
    if not stages:
        raise ValueError("stages: at least one is needed.")
    for number, stage in enumerate(stages):
        shares = list(stage.shares.values())
        if stage.steps < 1 or not shares or min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(
                f"stages[{number}]: one step or more and shares of 0 or more, not all zero, "
                f"expected; found {stage.steps} steps and shares {dict(stage.shares)}."
            )
    return sum(stage.steps for stage in stages)


def kinds_of(stages: Sequence[Stage]) -> list[str]:
    """Kinds of batch that some stage draws, in order of appearance."""
    drawn = (kind for stage in stages for kind, share in stage.shares.items() if share > 0)
    return list(dict.fromkeys(drawn))


def stage_at(stages: Sequence[Stage], step: int) -> Stage:
    """The stage that a step falls in; the last one also takes what lies beyond."""
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]


def kind_at(stages: Sequence[Stage], step: int, seed: int) -> str:
    """Which kind of batch a step takes: drawn from the shares, the same on every resume."""
    shares = stage_at(stages, step).shares
    if len(shares) == 1:
        return next(iter(shares))
    weights = np.array(list(shares.values()), np.float64)
    draw = np.random.default_rng((seed, step)).random()
    ends = np.cumsum(weights / weights.sum())[:-1]  # without the last: it may round below 1
    return list(shares)[int(np.searchsorted(ends, draw, side="right"))]


def positions_at(stages: Sequence[Stage], step: int, seed: int) -> dict[str, int]:
    """Batches of each kind that the steps before `step` have used; with one kind, `step`."""
    kinds = kinds_of(stages)
    if len(kinds) == 1:
        return {kinds[0]: step}
    used = dict.fromkeys(kinds, 0)
    for done in range(step):
        used[kind_at(stages, done, seed)] += 1
    return used
