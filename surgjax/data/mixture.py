"""Which video every example of training is cut from: a pure function of the seed and a number.

Path:    reader, samplers -> [mixture] -> clips
Units:   an example's number counts the examples of all processes from 0: step * batch_size + slot.
         Weights are shares of examples; num_masks counts annotated object appearances.
Errors:  ValueError for a mixture without sets, a weight that is not positive, a set without a video
         that its sampler can cut, a batch that the processes cannot share.
Source:  Grain for interleaving the sets; every video comes once per epoch of its set.
Differs: Grain's own shuffle takes milliseconds per example on sets of few videos, and counts its
         seed up per epoch, so that seed 1 would begin where epoch 2 of seed 0 does: here an epoch's
         order is drawn from (seed, set, epoch).
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from surgjax.data import samplers
from surgjax.data.index import VideoEntry
from surgjax.data.reader import PreparedSet
from surgjax.data.samplers import ClipSampler

_ORDER, _EXAMPLE = 0, 1  # what a hashed seed is for
Weighting = Literal["given", "sqrt_masks"]


@dataclasses.dataclass(frozen=True)
class MixtureEntry:
    """One set of a mixture: a split of it, how clips are cut, its share."""

    prepared: PreparedSet
    split: str
    sampler: ClipSampler = ClipSampler()
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Pick:
    """The video of one example."""

    set_index: int  # place of its set in the mixture
    entry: MixtureEntry
    disk_split: str  # where its records are, which a named split need not be
    video: VideoEntry


class Mixture:
    """Videos of all sets, and their order. Picklable.

    weighting: "given" takes the entries' weights; "sqrt_masks" makes shares proportional to the
    square root of the number of masks that can be drawn, times the entries' weights.
    """

    def __init__(self, entries: Sequence[MixtureEntry], seed: int, weighting: Weighting = "given"):
        if not entries:
            raise ValueError("a mixture needs at least one set.")
        if weighting not in ("given", "sqrt_masks"):
            raise ValueError(f"weighting must be given or sqrt_masks, found {weighting!r}.")
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, found {seed}.")
        self.entries, self.seed = tuple(entries), seed
        self.videos = [_drawable(entry) for entry in self.entries]
        self.weights = _weights(self.entries, self.videos, weighting)
        self.shares = [weight / sum(self.weights) for weight in self.weights]
        self._order = None

    def __getstate__(self):
        return self.__dict__ | {"_order": None}

    def pick(self, number: int) -> Pick:
        """The video of example `number`."""
        if self._order is None:
            self._order = self._make_order()
        place = self._order[number]
        assert place is not None  # Grain's None is a filtered element; nothing is filtered here
        which, video = place
        return Pick(which, self.entries[which], *self.videos[which][video])

    def generator(self, number: int) -> np.random.Generator:
        """The random numbers of example `number`; independent of every other example's."""
        return np.random.default_rng((self.seed, _EXAMPLE, number))

    def _make_order(self):
        import grain

        parts = [
            grain.MapDataset.source(_Epochs((self.seed, _ORDER, which), which, len(videos)))
            for which, videos in enumerate(self.videos)
        ]
        return grain.MapDataset.mix(parts, weights=self.shares)


class _Epochs:
    """Endless epochs of one set as a Grain source: (set, video), every video once per epoch."""

    def __init__(self, seed: tuple[int, ...], which: int, count: int):
        self._which, self._count = which, count

        @functools.lru_cache(maxsize=4)  # threads may stand in neighbouring epochs
        def order(epoch: int) -> np.ndarray:
            return np.random.default_rng((*seed, epoch)).permutation(count)

        self._order = order

    def __len__(self) -> int:
        return 1 << 48

    def __getitem__(self, index: int) -> tuple[int, int]:
        epoch, place = divmod(index, self._count)
        return self._which, int(self._order(epoch)[place])


def _drawable(entry: MixtureEntry) -> list[tuple[str, VideoEntry]]:
    videos = entry.prepared.index.videos(entry.split)
    kept = [pair for pair in videos if samplers.can_draw(pair[1], entry.sampler)]
    if not kept:
        raise ValueError(
            f"{entry.prepared.folder}: none of the {len(videos)} videos of split {entry.split!r} "
            f"has a clip for {entry.sampler}."
        )
    return kept


def _weights(entries, videos, weighting: Weighting) -> list[float]:
    """What the shares of the sets are proportional to."""
    for entry in entries:
        if not (entry.weight > 0 and math.isfinite(entry.weight)):
            raise ValueError(
                f"the weight of {entry.prepared.name} must be positive, found {entry.weight}."
            )
    weights = [entry.weight for entry in entries]
    if weighting == "sqrt_masks":
        masks = [sum(video.num_masks for _, video in pairs) for pairs in videos]
        weights = [w * math.sqrt(count) for w, count in zip(weights, masks, strict=True)]
    return weights


@dataclasses.dataclass(frozen=True)
class Share:
    """What one of several processes prepares: slots in a row of every global batch."""

    batch_size: int  # global
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self):
        if self.batch_size < 1 or self.batch_size % self.process_count:
            raise ValueError(
                f"batch_size must be a positive multiple of the {self.process_count} processes, "
                f"found {self.batch_size}."
            )
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"process_index must be 0..{self.process_count - 1}, found {self.process_index}."
            )

    @property
    def local_size(self) -> int:
        return self.batch_size // self.process_count

    def number(self, local: int) -> int:
        """The global number of the local-th example of this process."""
        step, slot = divmod(local, self.local_size)
        return step * self.batch_size + self.process_index * self.local_size + slot
