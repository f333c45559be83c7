"""How often a method finds an object where there is none: false positives on absent objects.

Path:    masks, targets, or counts -> [update, count -> merge] -> compute -> false-positive rate
Axes:    masks are bool (..., H, W); the leading axes are frames and objects.
Units:   areas in pixels; the rate as a fraction of 1.
Errors:  ValueError for differing shapes, differing `min_area`, or if every object is present.
Source:  ours, for the question of R-SIS (arXiv:2411.12199), which also prompts for absent classes.
Differs: nothing to compare with.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class State:
    """Counts of (frame, object) pairs."""

    min_area: int = 1  # a mask of fewer pixels counts as empty
    absent: int = 0
    false_positives: int = 0
    false_area: int = 0  # pixels of the false positives
    area: int = 0  # pixels of the frames with absent objects, once for each object


def init_state(min_area: int = 1) -> State:
    """Nothing counted yet."""
    return State(min_area)


def update(state: State, masks: np.ndarray, targets: np.ndarray) -> State:
    """The state with more frames and objects."""
    if masks.shape != targets.shape:
        raise ValueError(f"masks {masks.shape} and targets {targets.shape} differ in shape.")
    height, width = masks.shape[-2:]
    found = np.count_nonzero(masks.reshape(-1, height * width), axis=1)
    absent = ~targets.reshape(-1, height * width).any(1)
    false = absent & (found >= state.min_area)
    return merge(
        state,
        State(
            state.min_area,
            int(absent.sum()),
            int(false.sum()),
            int(found[false].sum()),
            int(absent.sum()) * height * width,
        ),
    )


def count(absent: int, false_positives: int) -> State:
    """The state of (frame, object) pairs of which only presence is known, not the areas."""
    return State(absent=absent, false_positives=false_positives)


def merge(first: State, second: State) -> State:
    """The state of the frames and objects of both."""
    if first.min_area != second.min_area:
        raise ValueError(f"min_area {first.min_area} and {second.min_area} cannot be merged.")
    names = ("absent", "false_positives", "false_area", "area")
    return replace(first, **{n: getattr(first, n) + getattr(second, n) for n in names})


def compute(state: State) -> dict[str, Any]:
    """`false_positive_rate`, its counts, and the share of the image that was falsely covered.

    That share, `false_area`, is NaN if no areas were counted.
    """
    if not state.absent:
        raise ValueError("absence: every object is present on every frame.")
    return {
        "false_positive_rate": state.false_positives / state.absent,
        "absent": state.absent,
        "false_positives": state.false_positives,
        "false_area": state.false_area / state.area if state.area else math.nan,
    }
