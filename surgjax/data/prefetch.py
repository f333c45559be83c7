"""Batches on the device before the step asks for them.

Path:    clips -> [prefetch] -> train step
Axes:    every array begins with B, the batch of this process.
Errors:  what the source raises, at the batch it was raised for.
Differs: a thread takes batches from the source and starts their transfer, so that neither waits
         for the training step; `ahead` batches at most are held.
"""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import jax

from surgjax.data.clips import ClipBatch, LoadedBatch


def put_batch(clips: ClipBatch, sharding: jax.sharding.Sharding | None = None) -> ClipBatch:
    """Starts the transfer of a batch.

    sharding: of the global batch along its first axis, e.g. NamedSharding(mesh, P("data")); the
    processes' rows follow each other in process order. Without it, the default device.
    """
    if sharding is None:
        return jax.tree.map(jax.device_put, clips)
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(sharding, array), clips
    )


class DevicePrefetch(Iterator[LoadedBatch]):
    """`source` with its arrays on the device, `ahead` batches early. Close it after use."""

    def __init__(
        self,
        source: Iterator[LoadedBatch],
        sharding: jax.sharding.Sharding | None = None,
        ahead: int = 2,
    ):
        if ahead < 1:
            raise ValueError(f"ahead must be 1 or more, found {ahead}.")
        self._source, self._sharding = source, sharding
        self._ready: queue.Queue[Any] = queue.Queue(ahead)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="device-prefetch", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for batch in self._source:
                if not self._offer(batch._replace(clips=put_batch(batch.clips, self._sharding))):
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

    def __next__(self) -> LoadedBatch:
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
