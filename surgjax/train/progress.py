"""What the terminal shows: compilation announced, a line with the time left, evaluations.

Path:    loop -> [progress] -> log, Recorder.means
Units:   seconds of wall time; the time left counts training only, at the pace so far.
Differs: compiling and evaluating do not count towards the pace, so the first lines are not wrong by
         the minutes that XLA takes.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from absl import logging


def format_seconds(seconds: float) -> str:
    """42 s, 3 min 20 s, 5 h 07 min, 2 d 03 h."""
    seconds = max(0, round(seconds))
    for unit, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part:02d} {small}"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


def _text(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in metrics.items())


class Progress:
    """Collects steps between two lines and knows the pace."""

    def __init__(self, begin: int, total: int):
        self._begin, self._total = begin, total
        self._start, self._aside = time.monotonic(), 0.0
        self._is_shown = jax.process_index() == 0
        self._rows: dict[str, list[Mapping[str, float]]] = {}
        self._seconds: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def aside(self, what: str) -> Iterator[None]:
        """Announces something that is no training step, and says how long it took."""
        start = time.monotonic()
        if self._is_shown:
            logging.info("%s ...", what)
        yield
        seconds = time.monotonic() - start
        self._aside += seconds
        if self._is_shown:
            logging.info("%s: %s", what, format_seconds(seconds))

    def step(self, kind: str, seconds: float | None, metrics: Mapping[str, float]) -> None:
        """Takes in one finished update; no time if it was compiled first."""
        self._rows.setdefault(kind, []).append(metrics)
        self._seconds.setdefault(kind, []).extend([] if seconds is None else [seconds])

    def seconds_left(self, done: int) -> float:
        """At the pace of this process so far."""
        spent = time.monotonic() - self._start - self._aside
        return spent / max(done - self._begin, 1) * (self._total - done)

    def report(self, done: int) -> dict[str, dict[str, float]]:
        """Logs a line per kind of batch and starts anew; returns the means by kind."""
        left, means = format_seconds(self.seconds_left(done)), {}
        for kind, rows in self._rows.items():
            means[kind] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
            pace = ""
            if self._seconds[kind]:
                means[kind]["step_ms"] = 1000 * float(np.median(self._seconds[kind]))
                pace = f"{means[kind]['step_ms']:.0f} ms "
            if self._is_shown:
                shown = _text({k: v for k, v in means[kind].items() if k != "step_ms"})
                logging.info(
                    "step %d/%d %s %s%s | %s left",
                    done, self._total, kind, pace, shown, left,
                )  # fmt: skip
        self._rows, self._seconds = {}, {}
        return means

    def evaluation(self, done: int, metrics: Mapping[str, float]) -> None:
        """Logs the scores of an evaluation."""
        if self._is_shown:
            logging.info("step %d/%d evaluation %s", done, self._total, _text(metrics))
