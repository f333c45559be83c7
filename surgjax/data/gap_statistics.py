"""How far the run of hybrid clips lies from their conditioning frame, without reading a frame.

Path:    mixture, samplers -> [gap_statistics] -> log of a training run
Units:   gaps in stored frames travelled, and in seconds where a set has a frame rate.
Source:  SAM2S, arXiv:2511.16618: hybrid temporal sampling; what its gaps look like is not said.
Differs: the counts are those of the very examples that training takes, since example n is a
         function of the seed and n.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from surgjax.data import samplers
from surgjax.data.mixture import Mixture


@dataclasses.dataclass
class GapCounts:
    """Of one set of a mixture."""

    name: str
    clips: int = 0
    in_a_row: int = 0  # clips without long-range frames: too few frames came before the run
    gaps: list[int] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    def add(self, draw: samplers.ClipDraw, fps: float) -> None:
        gap = draw.gap
        self.clips += 1
        if gap is None:
            self.in_a_row += 1
            return
        self.gaps.append(gap)
        if fps:
            self.seconds.append(gap / fps)

    def histogram(self) -> dict[int, int]:
        """Counts by the power of two that a gap has reached: {4: 7} are 7 gaps of 4 to 7 frames."""
        counts: dict[int, int] = {}
        for gap in self.gaps:
            least = 1 << (gap.bit_length() - 1)
            counts[least] = counts.get(least, 0) + 1
        return dict(sorted(counts.items()))

    def text(self) -> str:
        """One line for a log."""
        line = f"{self.name}: {self.clips} clips, {self.in_a_row} of them in a row"
        if not self.gaps:
            return line
        bins = ", ".join(f"{n}-{2 * n - 1}: {count}" for n, count in self.histogram().items())
        line += f"; frames from conditioning frame to run: {bins}; median {np.median(self.gaps):g}"
        if self.seconds:
            line += f" ({np.median(self.seconds):.3g} s)"
        return line


def count_gaps(mixture: Mixture, numbers: Iterable[int]) -> list[GapCounts]:
    """Counts over examples of a mixture, one per set that is sampled in the hybrid way."""
    counts = {
        which: GapCounts(f"{entry.prepared.name} {entry.split}")
        for which, entry in enumerate(mixture.entries)
        if entry.sampler.kind == "hybrid"
    }
    for number in numbers if counts else ():
        pick = mixture.pick(number)
        if pick.set_index in counts:
            draw = samplers.draw_clip(mixture.generator(number), pick.video, pick.entry.sampler)
            counts[pick.set_index].add(draw, pick.video.fps)
    return list(counts.values())
