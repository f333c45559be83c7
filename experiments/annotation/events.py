"""News of the session for every open tab, newest state first of all.

Path:    engine -> [events] -> server (GET /api/events) -> pages
Units:   seconds.
Source:  ours.
Differs: an endless queue would grow for a tab that sleeps. Here a reader holds one line of each
         kind of state, the newest, and a few of what happened; a reader that takes nothing at all
         is dropped by the server.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

MOST_HAPPENINGS = 16  # "done" lines that one reader may have before it; older ones are lost
_HAPPENING = "done"


def as_line(event: dict[str, Any]) -> bytes:
    """One event as a line of JSON."""
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class Reader:
    """The lines that one tab has yet to read."""

    def __init__(self):
        self._lines: dict[str, bytes] = {}
        self._news = asyncio.Event()
        self._closed = False

    def put(self, kind: str, number: int, line: bytes) -> None:
        """A state replaces the one before it; a happening is kept."""
        key = f"{kind} {number}" if kind == _HAPPENING else kind
        self._lines.pop(key, None)  # so that the newest comes last
        self._lines[key] = line
        happenings = [key for key in self._lines if key.startswith(_HAPPENING)]
        for key in happenings[:-MOST_HAPPENINGS]:
            del self._lines[key]
        self._news.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._news.set()

    async def take(self, seconds: float) -> bytes | None:
        """What has come, waiting at most so long for it; b"" if nothing has, None at the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        if self._closed:
            return None
        self._news.clear()
        lines = b"".join(self._lines.values())
        self._lines.clear()
        return lines


class Events:
    """Spreads events to the readers there are; made in the event loop that runs them."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._readers: set[Reader] = set()
        self._closed = False
        self._count = 0

    def publish(self, event: dict[str, Any]) -> None:
        """From any thread; returns at once."""
        line = as_line(event)
        self._loop.call_soon_threadsafe(self._spread, event["type"], line)

    def _spread(self, kind: str, line: bytes) -> None:
        self._count += 1
        for reader in self._readers:
            reader.put(kind, self._count, line)

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reader]:
        """A reader of all that is published from now on."""
        reader = Reader()
        if self._closed:
            reader.close()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    @property
    def num_readers(self) -> int:
        """Open tabs."""
        return len(self._readers)

    def close(self) -> None:
        """Ends every reader: the server is stopping."""
        self._closed = True
        for reader in self._readers:
            reader.close()
