"""One line now and then: how far, how fast, how long to go.

Path:    build -> [progress] -> terminal
Axes:    none.
Units:   frames; seconds.
Errors:  none.
Differs: whole lines rather than a bar, because builds run in logs and queues as well.
"""

import time

_EVERY_S = 5.0


class Progress:
    """Call `step` once per finished piece."""

    def __init__(self, name: str, pieces: int, frames: int, say=None):
        self.name, self.pieces, self.frames, self.say = name, pieces, frames, say or print
        self.done_pieces = self.done_frames = 0
        self.started = self.last = time.monotonic()

    def step(self, what: str, frames: int) -> None:
        self.done_pieces += 1
        self.done_frames += frames
        now = time.monotonic()
        if now - self.last < _EVERY_S and self.done_pieces < self.pieces:
            return
        self.last = now
        spent = max(now - self.started, 1e-6)
        left = spent * (self.frames - self.done_frames) / max(self.done_frames, 1)
        self.say(
            f"{self.name}: {self.done_pieces}/{self.pieces} ({what}), "
            f"{self.done_frames / spent:.0f} a second, about {_clock(left)} to go"
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
