"""What one frame took, and what many frames come to.

Path:    ours, peers -> [timing] -> rounds, report
Units:   milliseconds.
Source:  ours.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Frame(NamedTuple):
    """One tracked frame of one side, or the mean of a chunk's; with streams, a frame of each."""

    step_ms: float  # the model: normalised frame on the host -> low-resolution masks on the host
    total_ms: float  # with reading, resizing and normalising before, and masks of the video's size
    masks: np.ndarray  # [O, H, W] bool (streams: [V, O, H, W])


class Side(Protocol):
    """What is timed: ours or a peer."""

    name: str

    def advance(self) -> Frame:
        """Tracks the next frame of the video."""
        ...

    def part_times(self) -> dict[str, float]:
        """Milliseconds a frame of the parts, of the frame tracked last."""
        ...


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the two nearest values."""
    return float(np.percentile(np.asarray(values, np.float64), percent))


def per_second(total_ms: Sequence[float]) -> float:
    """Frames per second over all of them, one after the other."""
    return 1000 * len(total_ms) / sum(total_ms)


def round_ratios(ours: Sequence[Sequence[float]], peer: Sequence[Sequence[float]]) -> list[float]:
    """Per round, our median over the peer's; below 1 we are faster."""
    pairs = zip(ours, peer, strict=True)
    return [statistics.median(mine) / statistics.median(theirs) for mine, theirs in pairs]


def best_ratio(ours: Sequence[Sequence[float]], peer: Sequence[Sequence[float]]) -> float:
    """Our fastest frame over the peer's fastest."""
    return min(map(min, ours)) / min(map(min, peer))
