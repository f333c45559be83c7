"""Batches on the device before the step asks for them.

Path:    clips, scene batches -> [prefetch] -> train step
Axes:    every array begins with B, the batch of this process.
Errors:  what the source raises, at the batch it was raised for.
Differs: a thread takes batches from the source and starts their transfer, so that neither waits
         for the training step; `ahead` batches at most are held.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from surgjax.data.clips import LoadedBatch


def put_batch(batch: Any, sharding: jax.sharding.Sharding | None = None) -> Any:
    """Starts the transfer of a pytree of arrays; returns global arrays.

    sharding: of the global batch along its first axis, e.g. NamedSharding(mesh, P("data")). Every
    process gives an equal share of the rows; the shares follow each other in the order of the
    processes' devices in the mesh. Without it, the default device.
    """
    if sharding is None:
        return jax.tree.map(jax.device_put, batch)

    def put(array: Any) -> jax.Array:
        array = np.asarray(array)
        shape = (array.shape[0] * jax.process_count(), *array.shape[1:])
        return jax.make_array_from_process_local_data(sharding, array, shape)

    return jax.tree.map(put, batch)


def put_clips(
    sharding: jax.sharding.Sharding | None = None,
) -> Callable[[LoadedBatch], LoadedBatch]:
    """`put_batch` for what `open_clips` gives."""
    return lambda batch: batch._replace(clips=put_batch(batch.clips, sharding))


class DevicePrefetch(Iterator[Any]):
    """`source` with its arrays on the device, `ahead` items early. Close it after use.

    place: starts the transfer of an item; `put_clips()` by default.
    """

    def __init__(
        self,
        source: Iterator[Any],
        place: Callable[[Any], Any] | None = None,
        ahead: int = 2,
    ):
        if ahead < 1:
            raise ValueError(f"ahead must be 1 or more, found {ahead}.")
        self._source, self._place = source, place or put_clips()
        self._ready: queue.Queue[Any] = queue.Queue(ahead)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="device-prefetch", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for batch in self._source:
                if not self._offer(self._place(batch)):
                    return
            self._offer(StopIteration())
        except Exception as error:  # raised again where the batch is asked for
            self._offer(error)

    def _offer(self, item: Any) -> bool:
        while not self._is_closed.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __next__(self) -> Any:
        while True:
            if self._is_closed.is_set():
                raise StopIteration
            try:
                item = self._ready.get(timeout=1.0)
                break
            except queue.Empty:  # the thread is at work, or another one has closed this
                continue
        if isinstance(item, Exception):
            self.close()
            raise item
        return item

    def close(self) -> None:
        """Ends the thread, and the source where it can be closed."""
        self._is_closed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> "DevicePrefetch":
        return self

    def __exit__(self, *_) -> None:
        self.close()
