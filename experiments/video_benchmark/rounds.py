"""Two sides in turns over the same video, and how far their masks agree.

Path:    ours, peer -> [rounds] -> report
Axes:    masks [O, H, W] bool.
Units:   milliseconds; IoU from 0 to 1.
Source:  ours.
Differs: a machine's speed wanders, by half and more for tens of seconds. So the sides take turns
         every few frames in one process, who goes first changes from round to round, and ratios are
         formed within a round.
"""

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.video_benchmark.timing import Frame, Side


@dataclasses.dataclass
class Agreement:
    """IoU of the two sides' masks, one value for each object and frame."""

    ious: list[float] = dataclasses.field(default_factory=list)
    covered: list[float] = dataclasses.field(default_factory=list)  # our share of the frame

    def add(self, ours: np.ndarray, peer: np.ndarray) -> None:
        """Masks [O, H, W] of one frame; where both are empty they agree."""
        if ours.shape != peer.shape:
            raise RuntimeError(f"masks of shape {ours.shape} and {peer.shape} cannot be compared")
        for mine, theirs in zip(ours, peer, strict=True):
            union = int((mine | theirs).sum())
            self.ious.append(int((mine & theirs).sum()) / union if union else 1.0)
            self.covered.append(float(mine.mean()))

    @property
    def mean(self) -> float:
        return statistics.fmean(self.ious)

    def __str__(self) -> str:
        return (
            f"masks of both sides: mean IoU {self.mean:.4f}, lowest {min(self.ious):.4f} over "
            f"{len(self.ious)} masks, which cover {statistics.fmean(self.covered):.1%} of the frame"
        )


@dataclasses.dataclass
class Timed:
    """One side's times, by round."""

    step_ms: list[list[float]] = dataclasses.field(default_factory=list)
    total_ms: list[list[float]] = dataclasses.field(default_factory=list)
    parts: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def add(self, frames: list[Frame]) -> None:
        """One more round."""
        self.step_ms.append([frame.step_ms for frame in frames])
        self.total_ms.append([frame.total_ms for frame in frames])

    def part_medians(self) -> dict[str, float]:
        """Over all measurements of a part."""
        names = list(dict.fromkeys(name for parts in self.parts for name in parts))
        return {
            name: statistics.median(parts.get(name, 0.0) for parts in self.parts) for name in names
        }


def take_turns(
    ours: Side,
    peer: Side,
    rounds: int,
    frames: int,
    after: Callable[[int, Timed, Timed], Any] = lambda *_: None,
) -> tuple[Timed, Timed, Agreement]:
    """`frames` frames of one side, then of the other, in every round; ours goes first in the first.

    after(round, ours, peer) is called when a round is done.
    """
    timed, agreement = {"ours": Timed(), "peer": Timed()}, Agreement()
    sides = {"ours": ours, "peer": peer}
    for number in range(rounds):
        order = ("ours", "peer") if number % 2 == 0 else ("peer", "ours")
        done: dict[str, list[Frame]] = {}
        for name in order:
            done[name] = []
            for _ in range(frames):
                done[name].append(sides[name].advance())
                if name == "peer":  # timed within its step
                    timed[name].parts.append(peer.part_times())
        for name in order:
            timed[name].add(done[name])
        timed["ours"].parts.append(ours.part_times())
        for mine, theirs in zip(done["ours"], done["peer"], strict=True):
            agreement.add(mine.masks, theirs.masks)
        after(number, timed["ours"], timed["peer"])
    return timed["ours"], timed["peer"], agreement
