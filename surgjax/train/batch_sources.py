"""Batches by kind, each source opened where an interrupted run left it, with where they come from.

Path:    data.clips, scene_batches -> [batch_sources] -> loop
Units:   a position counts the batches of its kind from 0; with one kind it is the step number.
Errors:  ValueError when a kind has no source, or a source ends early, naming kind and step.
Differs: no iterator state is saved. A source is a function of its start position, and its batch
         number n must not depend on where it was opened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from surgjax.data.clips import LoadedBatch
from surgjax.train.stages import Stage, kinds_of, positions_at

OpenSource = Callable[[int], Iterator[Any]]  # start position -> batches from there on


class SourcedBatch(NamedTuple):
    """A batch with what it was made of; JSON can hold each source."""

    arrays: Any  # the pytree that the loss takes
    sources: tuple[Any, ...]  # one per element of the batch: ids, seeds, paths


def split_batch(item: Any) -> tuple[Any, tuple[Any, ...]]:
    """Arrays and sources of what an iterator gave; a bare pytree has no sources."""
    if isinstance(item, SourcedBatch):
        return item.arrays, item.sources
    if isinstance(item, LoadedBatch):
        return item.clips, item.sources
    return item, ()


class BatchSources:
    """Opens a source at the first step that needs it, at that kind's position. Close after use."""

    def __init__(
        self, opens: Mapping[str, OpenSource], stages: Sequence[Stage], begin: int, seed: int
    ):
        missing = [kind for kind in kinds_of(stages) if kind not in opens]
        if missing:
            raise ValueError(f"batches: no source of {missing}, found {sorted(opens)}.")
        self._opens, self._open = opens, {}
        self._positions = positions_at(stages, begin, seed)

    def take(self, kind: str, step: int) -> tuple[Any, tuple[Any, ...]]:
        """The next batch of a kind: arrays and sources."""
        if kind not in self._open:
            self._open[kind] = self._opens[kind](self._positions[kind])
        item = next(self._open[kind], None)
        if item is None:
            raise ValueError(f"the source of {kind!r} batches ended at step {step}.")
        return split_batch(item)

    def close(self) -> None:
        """Closes the sources that can be closed: reading threads end."""
        for source in self._open.values():
            close = getattr(source, "close", None)
            if close is not None:
                close()
        self._open = {}
