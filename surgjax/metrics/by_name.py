"""The running state of scores worked out one sequence or image at a time: its name to its counts.

Path:    score_sequence, score_image -> [update, merge] -> compute
Axes:    any; what is kept per name is the business of the metric.
Units:   none.
Errors:  ValueError if a name is scored twice or none was.
Source:  ours.
Differs: sums are only taken by `compute`, in the order of the names, so a score is the same to the
         last bit however the parts were spread over batches and processes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

_K = TypeVar("_K")  # a name, or the name of a video and a frame
_T = TypeVar("_T")


def init_state() -> Mapping[str, Any]:
    """The state before anything was scored."""
    return {}


def update(state: Mapping[str, _T], name: str, counts: _T) -> Mapping[str, _T]:
    """The state with one more part; the state given stays as it is."""
    return merge(state, {name: counts})


def merge(first: Mapping[_K, _T], second: Mapping[_K, _T]) -> Mapping[_K, _T]:
    """The state of two evaluations over different parts."""
    return join([first, second])


def join(states: Iterable[Mapping[_K, _T]]) -> Mapping[_K, _T]:
    """The state of any number of evaluations over different parts; each is visited once."""
    joined: dict[_K, _T] = {}
    for state in states:
        if twice := [name for name in state if name in joined]:
            raise ValueError(f"Scored twice: {twice}.")
        joined.update(state)
    return joined


def in_order(state: Mapping[str, _T]) -> list[tuple[str, _T]]:
    """(name, counts) in the order of the names; at least one."""
    if not state:
        raise ValueError("Nothing was scored.")
    return sorted(state.items(), key=lambda item: item[0])
