"""How far a loop over frames (or batches) is, how fast, and how long it will take.

Path:    [progress] -> launchers
Units:   seconds and frames per second of wall time.
Source:  ours.
Differs: one line that is rewritten on a terminal, one line every few seconds in a log file.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO


def clock_text(seconds: float) -> str:
    """1:02:03, or 2:03 where there is no hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """`step` after each frame; `finish` at the end, also of a loop that was cut short.

    `first_step` stands for the first `step` of a loop whose first frame takes compiling.
    """

    def __init__(
        self,
        what: str,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
        unit: str = "frames",
    ):
        self.what, self.total, self.done, self.unit = what, total, 0, unit
        self._untimed = 0  # frames done before time was taken
        self._stream = stream or sys.stderr
        self._clock = clock
        self._start = self._shown = clock()
        self._terminal = self._stream.isatty()

    def first_step(self) -> None:
        """The first frame is done; what it took is not speed, so time is taken from here."""
        self.done += 1
        self._untimed = self.done
        self._start = self._shown = self._clock()

    def step(self) -> None:
        """One more frame is done."""
        self.done += 1
        now = self._clock()
        if now - self._shown >= (0.2 if self._terminal else 5.0):
            self._shown = now
            self._print(now, "\r" if self._terminal else "", "" if self._terminal else "\n")

    def finish(self) -> None:
        """The last line."""
        self._print(self._clock(), "\r" if self._terminal else "", "\n")

    def _print(self, now: float, start: str, end: str) -> None:
        elapsed, timed = max(now - self._start, 1e-9), self.done - self._untimed
        rate = timed / elapsed
        line = f"{self.what}: {self.done}/{self.total} {self.unit}"
        if timed or not self.done:  # else there is no speed to tell
            if self.done >= self.total or not rate:
                rest = f"{clock_text(elapsed)} in all"
            else:
                rest = f"{clock_text((self.total - self.done) / rate)} left"
            line += f", {rate:.1f} {self.unit}/s, {rest}"
        print(f"{start}{line:<70}" if start else line, end=end, file=self._stream, flush=True)
