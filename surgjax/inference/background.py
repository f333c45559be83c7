"""Work off the critical path: calls that one thread makes in order, while the caller goes on.

Path:    track_job (masks of a frame) -> [background] -> mask_writer
Units:   counts of calls.
Errors:  what a call raised reaches the caller at a later `put` or at `wait`; calls behind it are
         dropped, so that what is on disk has no gap.
Source:  ours, over concurrent.futures.
Differs: an executor alone holds any number of calls, and with them the masks of as many frames.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """At most `pending` calls wait or run; `put` then waits for the first of them."""

    def __init__(self, pending: int = 4):
        self._pool, self._pending = ThreadPoolExecutor(1, "background"), pending
        self._calls: deque[Future] = deque()
        self._failed = False

    def put(self, call: Callable[..., None], *args: Any) -> None:
        """Has a call made after all those before it."""
        while self._calls and (self._calls[0].done() or len(self._calls) >= self._pending):
            self._calls.popleft().result()
        self._calls.append(self._pool.submit(self._run, call, args))

    def _run(self, call: Callable[..., None], args: tuple) -> None:
        if self._failed:
            return
        try:
            call(*args)
        except BaseException:
            self._failed = True
            raise

    def wait(self) -> None:
        """Until every call has been made."""
        while self._calls:
            self._calls.popleft().result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Waits; what a call raised is not raised over another error."""
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()
