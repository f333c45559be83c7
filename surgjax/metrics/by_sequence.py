"""The running state of scores that are worked out sequence by sequence: a name to its counts.

Path:    score_sequence -> [update, merge] -> compute
Axes:    any; what is kept per sequence is the business of the metric.
Units:   none.
Errors:  ValueError if a sequence is scored twice.
Source:  ours.
Differs: sums are only taken by `compute`, in the order of the names, so a score is the same to the
         last bit however the sequences were spread over batches and processes.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")


def init_state() -> Mapping[str, Any]:
    """The state before any sequence was scored."""
    return {}


def update(state: Mapping[str, _T], sequence: str, counts: _T) -> Mapping[str, _T]:
    """The state with one more sequence; the state given stays as it is."""
    return merge(state, {sequence: counts})


def merge(first: Mapping[str, _T], second: Mapping[str, _T]) -> Mapping[str, _T]:
    """The state of two evaluations over different sequences."""
    if twice := sorted(set(first) & set(second)):
        raise ValueError(f"Scored twice (sequence): {twice}.")
    return {**first, **second}


def in_order(state: Mapping[str, _T]) -> list[tuple[str, _T]]:
    """(name, counts) of every sequence by name; at least one."""
    if not state:
        raise ValueError("No sequence was scored.")
    return sorted(state.items(), key=lambda item: item[0])
