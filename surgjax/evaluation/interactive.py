"""Interactive evaluation: a simulated user corrects the model, after the video or while it runs.

Path:    AnnotatedVideo, Segmenter -> [run_offline, run_online] -> Outcomes -> score_rounds
Axes:    masks bool [H, W].
Units:   frames count from 0, rounds from 1; IoU in 0..1.
Errors:  ValueError for settings that mean nothing; else as `prompted_run`.
Source:  SAM 2, arXiv:2408.00714, section on zero-shot video evaluation: up to eight prompted
         frames of three clicks each; offline the frame with the lowest IoU is corrected after each
         pass, online the pass stops where the IoU is below 0.75.
Differs: the paper does not say whether frames without the object count, nor how ties are broken.
         Here frames count on which the truth shows the object (`frames="annotated"`: all annotated
         ones from its start on), and of equally bad frames the earliest is corrected.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from surgjax.evaluation.annotated_video import AnnotatedVideo
from surgjax.evaluation.prompted_run import (
    Given,
    Interaction,
    Outcome,
    Start,
    blank_rows,
    groups_of,
    merge_rows,
    opened,
    score,
    starts_of,
)
from surgjax.evaluation.segmenter import Segmenter
from surgjax.metrics.object_scores import Row

APART = Start(together=False)  # one object at a time, as the paper has it
FRAMES = ("shown", "annotated")


@dataclasses.dataclass(frozen=True)
class Offline:
    """Pass after pass over the whole video, with one more prompted frame before each.

    rounds: passes, the first with the start prompts alone. clicks: at most so many on each
    corrected frame. frames: which may be corrected, "shown" or "annotated". revisit: also frames
    that were prompted already; clicks then add to those that the frame has.
    """

    start: Start = APART
    rounds: int = 8
    clicks: int = 3
    frames: str = "shown"
    revisit: bool = False

    def __post_init__(self):
        _check(self.frames, rounds=self.rounds, clicks=self.clicks)

    def stated(self) -> dict[str, Any]:
        """The settings, for reports."""
        return _stated("interactive_offline", self)


@dataclasses.dataclass(frozen=True)
class Online:
    """One pass that stops where an object's IoU is below the threshold, and goes on corrected.

    prompted_frames: at most so many for each object, its start included.
    """

    start: Start = APART
    threshold: float = 0.75
    prompted_frames: int = 8
    clicks: int = 3
    frames: str = "shown"

    def __post_init__(self):
        _check(self.frames, prompted_frames=self.prompted_frames, clicks=self.clicks)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold}: expected an IoU, 0 to 1.")

    def stated(self) -> dict[str, Any]:
        """The settings, for reports."""
        return _stated("interactive_online", self)


def _check(frames: str, **counts: int) -> None:
    if frames not in FRAMES:
        raise ValueError(f"frames {frames!r}: expected one of {FRAMES}.")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} {count}: expected 1 or more.")


def _stated(protocol: str, settings: Any) -> dict[str, Any]:
    values = dataclasses.asdict(settings)
    return {"protocol": protocol, **values.pop("start"), **values}


class _WorstFrames:
    """The frame to correct of every object, with its mask; one mask for each is held."""

    def __init__(self, interaction: Interaction, settings: Offline):
        self._interaction, self._settings = interaction, settings
        self.found: dict[int, tuple[int, float, np.ndarray]] = {}

    def see(self, frame: int, masks: dict[int, np.ndarray], rows: dict[int, Row | None]) -> None:
        """Frames come in order, so that the earliest of equals stays."""
        for k, mask in masks.items():
            row = rows[k]
            assert row is not None  # its object has started
            if self._settings.frames == "shown" and not row.in_target:
                continue
            if not self._settings.revisit and frame in self._interaction.prompted(k):
                continue
            if k not in self.found or row.region < self.found[k][1]:
                self.found[k] = (frame, row.region, mask)


def _offline_rounds(
    interaction: Interaction, settings: Offline
) -> list[tuple[dict[int, dict[int, Row | None]], int]]:
    """The rows of each round, and how many prompts had been given by then."""
    video, first = interaction.video, min(interaction.starts.values())
    interaction.start(settings.start.prompt)
    rounds = []
    for number in range(1, settings.rounds + 1):
        worst, rows = _WorstFrames(interaction, settings), blank_rows(video, interaction.starts)
        for t, masks in interaction.propagate(first):
            if t in rows:
                rows[t] = interaction.score(t, masks)
                worst.see(t, masks, rows[t])
        rounds.append((rows, len(interaction.given)))
        if number == settings.rounds:
            break
        corrected = [
            interaction.correct(k, t, mask, settings.clicks, number + 1)
            for k, (t, _, mask) in worst.found.items()
        ]
        if not any(corrected):  # another pass would give the same
            rounds += [rounds[-1]] * (settings.rounds - number)
            break
    return rounds


def run_offline(
    segmenter: Segmenter, video: AnnotatedVideo, settings: Offline | None = None
) -> list[Outcome]:
    """One Outcome for each round, with all prompts given up to then.

    Where nothing is left to correct, the rounds that are left repeat the last one.
    """
    settings = Offline() if settings is None else settings
    starts, left_out = starts_of(video, settings.start)
    rows: list[list[dict]] = [[] for _ in range(settings.rounds)]
    given: list[list[Given]] = [[] for _ in range(settings.rounds)]
    for group in groups_of(starts, settings.start.together):
        with opened(segmenter, video, {k: starts[k] for k in group}) as interaction:
            for i, (found, count) in enumerate(_offline_rounds(interaction, settings)):
                rows[i].append(found)
                given[i] += interaction.given[:count]
    return [
        Outcome(video.name, starts, left_out, tuple(g), merge_rows(*r))
        for g, r in zip(given, rows, strict=True)
    ]


def _may_stop(interaction: Interaction, settings: Online, k: int, frame: int, row: Row) -> bool:
    prompted = interaction.prompted(k)
    if frame in prompted or len(prompted) >= settings.prompted_frames:
        return False
    return row.region < settings.threshold and (settings.frames == "annotated" or row.in_target)


def _online_rows(interaction: Interaction, settings: Online) -> dict[int, dict[int, Row | None]]:
    video, start = interaction.video, min(interaction.starts.values())
    interaction.start(settings.start.prompt)
    rows = blank_rows(video, interaction.starts)
    while True:
        corrected = False
        for t, masks in interaction.propagate(start):
            if t not in rows:
                continue
            rows[t] = interaction.score(t, masks)
            bad = [k for k, row in rows[t].items()
                   if row is not None and _may_stop(interaction, settings, k, t, row)]  # fmt: skip
            for k in bad:
                number = len(interaction.prompted(k)) + 1
                corrected |= interaction.correct(k, t, masks[k], settings.clicks, number)
            if corrected:
                start = t
                break
        if not corrected:
            return rows


def run_online(
    segmenter: Segmenter, video: AnnotatedVideo, settings: Online | None = None
) -> Outcome:
    """One pass. The corrected frame and later ones carry the new masks, earlier ones stay."""
    settings = Online() if settings is None else settings
    starts, left_out = starts_of(video, settings.start)
    parts, given = [], []
    for group in groups_of(starts, settings.start.together):
        with opened(segmenter, video, {k: starts[k] for k in group}) as interaction:
            parts.append(_online_rows(interaction, settings))
            given += interaction.given
    return Outcome(video.name, starts, left_out, tuple(given), merge_rows(*parts))


def run_online_curve(
    segmenter: Segmenter, video: AnnotatedVideo, settings: Online | None = None
) -> list[Outcome]:
    """`run_online` with at most 1, 2, ... prompted frames: what `score_rounds` takes.

    A limit that no object reaches changes nothing, so that run stands for all larger ones.
    """
    settings = Online() if settings is None else settings
    outcomes: list[Outcome] = []
    for limit in range(1, settings.prompted_frames + 1):
        reached = [g.round for g in outcomes[-1].given] if outcomes else []
        if outcomes and max(reached, default=0) < limit - 1:
            outcomes.append(outcomes[-1])
        else:
            limited = dataclasses.replace(settings, prompted_frames=limit)
            outcomes.append(run_online(segmenter, video, limited))
    return outcomes


def score_rounds(videos: Sequence[Sequence[Outcome]], settings: Offline | Online) -> dict[str, Any]:
    """Scores after each round over all videos, and what they come to.

    Keys: the settings; rounds, a list of `prompted_run.score` with `round`, and with `clicks` spent
    and `stops` made by then; J_mean, F_mean, JF_mean, the means over rounds that SAM 2's paper
    gives; JF_area, the area under J&F over the rounds by the trapezoid rule, divided by its width
    (J&F itself where there is one round).
    """
    stated, preset = settings.stated(), settings.start.preset
    rounds = []
    for number, outcomes in enumerate(zip(*videos, strict=True), start=1):
        rounds.append({"round": number, **score(outcomes, preset, stated)})
    curve = np.array([[r[name] for r in rounds] for name in ("J", "F", "JF")])
    means = dict(zip(("J_mean", "F_mean", "JF_mean"), curve.mean(1).tolist(), strict=True))
    area = curve[2, 0] if len(rounds) == 1 else np.trapezoid(curve[2]) / (len(rounds) - 1)
    head = {k: rounds[0][k] for k in ("prompt_source", *stated)}
    return {**head, **means, "JF_area": float(area), "rounds": rounds}
