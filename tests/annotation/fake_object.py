"""One object of the scripted session: prompts, masks, and which frames are up to date.

Path:    fake_video -> [fake_object] -> fake_session
Axes:    masks bool (H, W).
Units:   pixels of the video; frames count from 0.
Source:  ours.
Differs: a point is a disc and tracking a shift; what is stale follows the session's law.
"""

import copy
import dataclasses

import numpy as np

from surgjax.viz.overlay import object_colour
from tests.annotation.fake_video import FakeVideo, moved

POINT_RADIUS = 20


@dataclasses.dataclass
class Prompt:
    """What was said on one frame; a painted mask stands alone."""

    points: list[list[int]] = dataclasses.field(default_factory=list)
    labels: list[int] = dataclasses.field(default_factory=list)
    box: list[int] | None = None
    mask: np.ndarray | None = None
    correction: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.points and self.box is None and self.mask is None


def score(frame: int) -> float:
    """The predicted IoU of every object there; low from 30 to 35, from 70 to 75 and so on."""
    return 0.45 if frame % 40 in range(30, 36) else round(0.95 - frame % 7 * 0.01, 2)


class FakeObject:
    """Masks are never changed in place, so a copy for undo shares them."""

    def __init__(self, object_id: int, name: str | None):
        self.id, self.name = object_id, name
        self.prompts: dict[int, Prompt] = {}
        self.masks: dict[int, np.ndarray] = {}
        self.anchor: int | None = None
        self.fresh: tuple[int, int] | None = None
        self.times_tracked = 0

    def copy(self) -> "FakeObject":
        """For undo."""
        other = copy.copy(self)
        other.prompts, other.masks = copy.deepcopy(self.prompts), dict(self.masks)
        return other

    @property
    def shown_fresh(self) -> list[int] | None:
        """Before tracking, the answer on the anchor is what tracking will say there."""
        if self.fresh is None:
            return None if self.anchor is None else [self.anchor, self.anchor]
        return list(self.fresh)

    def state(self, frame: int) -> str:
        """fresh, stale, provisional or none."""
        fresh = self.shown_fresh
        if fresh and fresh[0] <= frame <= fresh[1]:
            return "fresh"
        if frame in self.prompts:
            return "provisional"
        return "stale" if frame in self.masks else "none"

    def prompt(self, frame: int) -> Prompt:
        """The prompt of the frame, made where there is none; a correction after tracking."""
        if frame not in self.prompts:
            self.prompts[frame] = Prompt(correction=self.fresh is not None)
            if self.anchor is None:
                self.anchor = frame
        return self.prompts[frame]

    def answer(self, frame: int, video: FakeVideo, before: np.ndarray | None = None) -> np.ndarray:
        """The mask of the prompts of a frame, on `before`, the mask that tracking brings there."""
        prompt = self.prompts[frame]
        if prompt.mask is not None:
            mask = prompt.mask.copy()
        elif prompt.box is not None:
            mask = video.rectangle(*prompt.box)
        else:
            mask = video.empty() if before is None else before.copy()
        for (x, y), label in zip(prompt.points, prompt.labels, strict=True):
            disc = video.disc(x, y, POINT_RADIUS)
            mask = mask | disc if label else mask & ~disc
        return mask

    def prompted(self, frame: int, video: FakeVideo, before: np.ndarray | None) -> None:
        """After a change of the prompts of `frame` that leaves some."""
        self.masks[frame] = self.answer(frame, video, before)
        self._cut(frame, keep=True)

    def cleared(self, frame: int) -> None:
        """After all prompts of `frame` were taken back."""
        del self.prompts[frame]
        if not self.prompts:
            self.masks, self.anchor, self.fresh = {}, None, None
        elif frame == self.anchor:
            self.anchor, self.fresh = min(self.prompts), None
            for prompt in self.prompts.values():
                prompt.correction = False
        elif self.fresh is None:
            self.masks.pop(frame, None)
        else:
            self._cut(frame, keep=False)

    def _cut(self, frame: int, keep: bool) -> None:
        """Frames beyond `frame`, as seen from the anchor, are out of date."""
        if self.fresh is None or not self.fresh[0] <= frame <= self.fresh[1]:
            return
        (low, high), anchor = self.fresh, self.anchor
        assert anchor is not None
        margin = 0 if keep else 1
        if frame >= anchor:
            high = frame - margin
        if frame <= anchor:
            low = frame + margin
        self.fresh = (low, high)

    def todo(self, step: int, num_frames: int) -> range:
        """Frames that tracking in this direction (1 or -1) has to visit, in order."""
        if self.anchor is None:
            return range(0)
        if step > 0:
            return range(self.fresh[1] + 1 if self.fresh else self.anchor, num_frames)
        return range(self.fresh[0] - 1 if self.fresh else self.anchor, -1, -1)

    def gone_back(self, now: "FakeObject", frame: int | None) -> None:
        """This copy becomes the object again. Where tracking has gone on since, its masks stay and
        are out of date beyond `frame`, where the prompts change."""
        if now.times_tracked == self.times_tracked:
            return
        self.times_tracked = now.times_tracked
        if now.anchor != self.anchor:
            self.masks, self.fresh = dict(now.masks) if self.prompts else {}, None
        else:
            self.masks, self.fresh = dict(now.masks), now.fresh
            if frame is not None:
                self._cut(frame, keep=frame == self.anchor)

    def track_to(self, frame: int, step: int, video: FakeVideo) -> None:
        """One frame further."""
        last = self.masks.get(frame - step) if self.fresh else None
        before = None if last is None else moved(last, step)
        if frame in self.prompts:
            self.masks[frame] = self.answer(frame, video, before)
        else:
            assert before is not None
            self.masks[frame] = before
        low, high = self.fresh or (frame, frame)
        self.fresh = (min(low, frame), max(high, frame))
        self.times_tracked += 1

    def describe(self) -> dict:
        """As GET /api/session has it."""
        return {
            "id": self.id,
            "name": self.name,
            "colour": "#{:02x}{:02x}{:02x}".format(*object_colour(self.id)),
            "fresh": self.shown_fresh,
            "prompts": [
                {
                    "frame": frame,
                    "points": copy.deepcopy(prompt.points),
                    "labels": list(prompt.labels),
                    "box": prompt.box and list(prompt.box),
                    "mask": prompt.mask is not None,
                    "correction": prompt.correction,
                }
                for frame, prompt in sorted(self.prompts.items())
            ],
        }

    def timeline(self, low_score: float) -> dict:
        """As GET /api/timeline has it."""
        there = sorted(frame for frame, mask in self.masks.items() if mask.any())
        return {
            "fresh": self.shown_fresh,
            "stale": runs([f for f in sorted(self.masks) if self.state(f) == "stale"]),
            "present": runs(there),
            "low": runs([frame for frame in there if score(frame) < low_score]),
        }


def runs(frames: list[int]) -> list[list[int]]:
    """Sorted frames as inclusive runs."""
    result: list[list[int]] = []
    for frame in frames:
        if result and result[-1][1] == frame - 1:
            result[-1][1] = frame
        else:
            result.append([frame, frame])
    return result
