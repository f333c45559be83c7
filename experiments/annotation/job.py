"""A tracking or an export under way: its steps, how far it is and how fast.

Path:    session's iterators -> [job] -> engine
Units:   frames per second; seconds.
Source:  ours.
Differs: the rate is that of the last frames, so that it follows a video whose objects come and go.
         Before the second step there is none, because the first may have compiled a program.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

_WINDOW = 32  # steps whose rate is shown


class Job:
    """Steps through `steps`, a generator of the session; `shown` is what pages show."""

    def __init__(
        self,
        kind: str,
        label: str,
        steps: Generator,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.kind, self.label, self.result = kind, label, None
        self._steps, self._clock = steps, clock
        self._start = clock()
        self._times: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._done = self._total = 0
        # Replaced, never changed: other threads read it.
        self.shown: dict[str, Any] = self._describe(None)

    @property
    def frame(self) -> int | None:
        """The frame of the last step."""
        return self.shown["frame"]

    def advance(self) -> bool:
        """Makes one step; False at the end, when `result` is there."""
        try:
            step = next(self._steps)
        except StopIteration as end:
            self.result = end.value
            return False
        self._done, self._total = step.done, step.total
        self._times.append((self._clock(), step.done))
        self.shown = self._describe(step.frame)
        return True

    def close(self) -> None:
        """Cancels: what is done stays."""
        self._steps.close()

    def how_far(self) -> str:
        """A phrase for the end: tracking forward, 12 of 120 frames in 3.4 s."""
        seconds = self._clock() - self._start
        return f"{self.label}, {self._done} of {self._total} frames in {seconds:.1f} s"

    def _rate(self) -> float | None:
        if len(self._times) < 2:
            return None
        (before, first), (now, last) = self._times[0], self._times[-1]
        return (last - first) / max(now - before, 1e-6) or None

    def _describe(self, frame: int | None) -> dict[str, Any]:
        rate = self._rate()
        return {
            "kind": self.kind,
            "label": self.label,
            "done": self._done,
            "total": self._total,
            "frame": frame,
            "rate": rate and round(rate, 2),
            "eta": rate and round((self._total - self._done) / rate, 1),
        }
