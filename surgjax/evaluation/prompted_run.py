"""What all prompted protocols share: who starts where, what was said, and the rows to score.

Path:    AnnotatedVideo, Segmenter -> [Interaction] -> semi_supervised, interactive -> Outcome
Axes:    masks bool [H, W].
Units:   frames count from 0; areas as a share of the frame.
Errors:  ValueError for settings that mean nothing, for a video in which no object can be scored,
         and for a model that skips a frame.
Source:  SAM 2, arXiv:2408.00714, section on zero-shot video evaluation.
Differs: an object is prompted on the first annotated frame that shows enough of it, not always on
         frame 0, and scored from there.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from surgjax.evaluation.annotated_video import AnnotatedVideo
from surgjax.evaluation.prompting import add_clicks, clicks_of, first_prompt
from surgjax.evaluation.segmenter import Masks, Prompt, Segmenter, Tracking
from surgjax.metrics import object_scores
from surgjax.metrics.object_scores import PRESETS, FrameRows, Row, score_mask

PROMPT_SOURCE = "simulated from the ground truth"
Keep = Callable[[int, Masks], None]  # is handed a frame and the masks of objects on it


@dataclasses.dataclass(frozen=True)
class Start:
    """How objects are named at first, and by which rule they are scored.

    prompt: "box", "mask" or "N-click". preset: of `object_scores`. min_area: share of the frame
    that an object must cover where it is prompted. together: all objects in one pass of the model;
    else each in a pass of its own, as SAM 2's paper has it, at the cost of a pass for each.
    """

    prompt: str = "3-click"
    preset: str = "davis17"
    min_area: float = 0.0
    together: bool = True

    def __post_init__(self):
        clicks_of(self.prompt)
        if self.preset not in PRESETS:
            raise ValueError(f"preset {self.preset!r}: expected one of {tuple(PRESETS)}.")
        if not 0 <= self.min_area < 1:
            raise ValueError(f"min_area {self.min_area}: expected 0 or more, below 1.")


class Given(NamedTuple):
    """What was said about an object on a frame, at one time."""

    round: int  # 1 = the first prompts
    object_id: int
    frame: int
    prompt: Prompt  # all that was said there, with earlier clicks
    clicks: int  # new ones


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One video, played through; `rows` is what `object_scores.update` takes."""

    video: str
    starts: dict[int, int]  # object id -> the frame on which it was prompted first
    left_out: dict[int, str]  # object id -> why it was not prompted
    given: tuple[Given, ...]
    rows: dict[int, FrameRows]  # annotated frame -> object id -> row, None before its start

    @property
    def clicks(self) -> int:
        """Clicks on all objects."""
        return sum(given.clicks for given in self.given)

    @property
    def stops(self) -> int:
        """How often an object was prompted again after its start."""
        return len(self.given) - len(self.starts)


def starts_of(video: AnnotatedVideo, start: Start) -> tuple[dict[int, int], dict[int, str]]:
    """The first frame of every object that can be scored, and why others are left out."""
    starts, left_out = {}, {}
    needed = 3 if PRESETS[start.preset].drop_first_and_last else 1
    for k in video.object_ids:
        first = video.first_frame(k, start.min_area)
        if first is None:
            left_out[k] = f"covers less than {start.min_area:g} of every frame"
        elif sum(t >= first for t in video.annotated) < needed:
            left_out[k] = f"starts on frame {first}, too late for {start.preset}"
        else:
            starts[k] = first
    return starts, left_out


def groups_of(starts: dict[int, int], together: bool) -> list[list[int]]:
    """The objects of each pass."""
    ids = sorted(starts)
    return [ids] * bool(ids) if together else [[k] for k in ids]


class Interaction:
    """One open video, the prompts given in it, and the scores of the latest masks."""

    def __init__(self, tracking: Tracking, video: AnnotatedVideo, starts: dict[int, int]):
        self._tracking, self.video, self.starts = tracking, video, starts
        self.given: list[Given] = []

    def start(self, prompt: str) -> None:
        """Names every object on its first frame."""
        for k, t in self.starts.items():
            ask = partial(self._tracking.prompt, t, k)
            first = first_prompt(prompt, self.video.target(t, k), ask, self.video.ignored(t))
            self.given.append(Given(1, k, t, first.prompt, first.clicks))

    def correct(
        self, object_id: int, frame: int, mask: np.ndarray, clicks: int, number: int
    ) -> bool:
        """Adds clicks where `mask`, the answer so far, is wrong; False if it is not."""
        ask = partial(self._tracking.prompt, frame, object_id)
        target, ignored = self.video.target(frame, object_id), self.video.ignored(frame)
        before = self.prompted(object_id).get(frame)
        added = add_clicks(clicks, target, mask, ask, before, ignored)
        if added is None:
            return False
        self.given.append(Given(number, object_id, frame, added.prompt, added.clicks))
        return True

    def prompted(self, object_id: int) -> dict[int, Prompt]:
        """All that was said about an object, by frame."""
        return {g.frame: g.prompt for g in self.given if g.object_id == object_id}

    def propagate(self, start: int) -> Iterator[tuple[int, dict[int, np.ndarray]]]:
        """The masks of objects that have started, frame by frame to the end of the video."""
        expected = start
        for t, masks in self._tracking.propagate(start):
            if t != expected:
                raise ValueError(
                    f"{self.video.name}: expected frame {expected}, the model gave {t}."
                )
            yield t, {k: self._mask(masks, k) for k, begin in self.starts.items() if t >= begin}
            expected += 1
        if expected <= self.video.annotated[-1]:
            raise ValueError(f"{self.video.name}: the model ended before frame {expected}.")

    def _mask(self, masks: Masks, object_id: int) -> np.ndarray:
        """An object that a model does not list has no mask on that frame."""
        return np.asarray(masks.get(object_id, np.zeros(self.video.size, bool)), bool)

    def score(self, frame: int, masks: Masks) -> dict[int, Row | None]:
        """Rows of an annotated frame; None for an object that has not started."""
        rows: dict[int, Row | None] = dict.fromkeys(self.starts)
        for k, mask in masks.items():
            rows[k] = score_mask(self.video.known(frame, mask), self.video.target(frame, k))
        return rows


@contextlib.contextmanager
def opened(segmenter: Segmenter, video: AnnotatedVideo, starts: dict[int, int]):
    """An Interaction that is closed in the end."""
    tracking = segmenter.open(video.frames)
    try:
        yield Interaction(tracking, video, starts)
    finally:
        tracking.close()


def blank_rows(video: AnnotatedVideo, starts: dict[int, int]) -> dict[int, dict[int, Row | None]]:
    """Rows that say of every frame that nothing is scored there yet."""
    return {t: dict.fromkeys(starts) for t in video.annotated}


def merge_rows(*parts: dict[int, FrameRows]) -> dict[int, FrameRows]:
    """Rows of different objects of one video."""
    frames = sorted({t for part in parts for t in part})
    return {t: {k: row for part in parts for k, row in part.get(t, {}).items()} for t in frames}


def state_of(outcomes: Sequence[Outcome]) -> object_scores.State:
    """The state of `object_scores` over several videos."""
    return object_scores.join({o.video: object_scores.pack(o.rows)} for o in outcomes)


def score(
    outcomes: Sequence[Outcome], preset: str, settings: dict[str, Any] | None = None
) -> dict[str, Any]:
    """`object_scores.compute`, with what was prompted: settings, prompt source, clicks, stops.

    `settings` are those of the protocol (`stated()`); prompts: one entry for each time that an
    object was prompted. not_prompted: the objects that no frame shows well enough or in time.
    """
    found = object_scores.compute(state_of(outcomes), PRESETS[preset])
    prompts = [
        {"sequence": o.video, "round": g.round, "object": g.object_id, "frame": g.frame,
         "clicks": g.clicks}
        for o in outcomes for g in o.given
    ]  # fmt: skip
    missing = [
        {"sequence": o.video, "object": k, "why": why}
        for o in outcomes for k, why in o.left_out.items()
    ]  # fmt: skip
    counts = {"clicks": sum(o.clicks for o in outcomes), "stops": sum(o.stops for o in outcomes)}
    stated = {"prompt_source": PROMPT_SOURCE, **(settings or {})}
    return {**stated, **found, **counts, "prompts": prompts, "not_prompted": missing}
