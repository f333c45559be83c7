"""Which frames an object's bank holds, and as what: for pictures and for checks.

Path:    memory_bank, long_memory -> [held_frames] -> viz.memory_timeline, notebooks
Axes:    a bank as a stream keeps it, with a leading axis of object slots.
Units:   frame indices count decoded frames from 0.
Errors:  TypeError for a bank of a policy that keeps other things.
Source:  ours.
Differs: nothing to compare with.
"""

from typing import Any, NamedTuple

import numpy as np

from surgjax.memory.long_memory import LongBank
from surgjax.memory.memory_bank import EMPTY, MemoryBank


class HeldFrames(NamedTuple):
    """Ascending frame indices. A frame kept for long may still be among the recent ones too."""

    prompted: tuple[int, ...]
    recent: tuple[int, ...]
    long: tuple[int, ...] = ()


def held_frames(bank: Any, slot: int) -> HeldFrames:
    """What the bank in `slot` holds of spatial memories, on the host."""
    short = bank.short if isinstance(bank, LongBank) else bank
    if not isinstance(short, MemoryBank):
        raise TypeError(f"bank: MemoryBank or LongBank expected, {type(bank).__name__} found.")
    long = _held(bank.index[slot]) if isinstance(bank, LongBank) else ()
    return HeldFrames(_held(short.cond_index[slot]), _held(short.recent_index[slot]), long)


def _held(index: Any) -> tuple[int, ...]:
    frames = np.asarray(index)
    return tuple(sorted(frames[frames != EMPTY].tolist()))
