"""Interactive rounds on one video of a data set: the masks of the last round go to disk.

Path:    LabelledVideo, Truth, Segmenter -> [track_rounds] -> predicted_masks, rows of each round
Axes:    label maps uint8 (H, W); masks bool (H, W).
Units:   frames count from 0, rounds from 1.
Errors:  what protocol and model raise; ground truth must be label maps, no folders of objects.
Source:  `interactive`, whose rounds these are.
Differs: all objects share a pass. Ours never see each other, so that their masks are those of
         passes apart; a model whose objects compete is corrected together.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from surgjax.evaluation.annotated_video import AnnotatedVideo
from surgjax.evaluation.interactive import Offline, Online, run_offline, run_online
from surgjax.evaluation.labelled_videos import LabelledVideo, Truth
from surgjax.evaluation.predicted_masks import PredictedMasks
from surgjax.evaluation.segmenter import Masks, Prompt, Segmenter, Tracking
from surgjax.inference.frame_source import FrameSource
from surgjax.metrics.object_scores import FrameRows


class Rounds(NamedTuple):
    """What came of one video."""

    prompted: dict[int, list[int]]  # object id -> frames
    rows: tuple[tuple[FrameRows, ...], ...]  # by round, then by annotated frame
    clicks: tuple[int, ...]  # by round: spent until then
    stops: tuple[int, ...]
    notes: tuple[str, ...]


class _Written:
    """A tracking whose masks are written while they pass, and whose prompts are counted."""

    def __init__(self, tracking: Tracking, masks: PredictedMasks, tracked: Callable[[], None]):
        self._tracking, self._masks, self._tracked = tracking, masks, tracked
        self.prompted: dict[int, list[int]] = {}

    def prompt(self, frame: int, object_id: int, prompt: Prompt) -> np.ndarray:
        """As the model's own."""
        frames = self.prompted.setdefault(object_id, [])
        if frame not in frames:
            frames.append(frame)
        return self._tracking.prompt(frame, object_id, prompt)

    def propagate(self, start: int, reverse: bool = False) -> Iterator[tuple[int, Masks]]:
        """As the model's own; a later pass replaces the masks of an earlier one."""
        for frame, found in self._tracking.propagate(start, reverse):
            begun = {i: m for i, m in found.items() if min(self.prompted[i]) <= frame}
            self._masks.add(frame, begun)
            self._tracked()
            yield frame, found

    def close(self) -> None:
        """As the model's own."""
        self._tracking.close()


class _Writing:
    """A segmenter of one video that keeps what its tracking was told."""

    def __init__(self, segmenter: Segmenter, masks: PredictedMasks, tracked: Callable[[], None]):
        self.name, self._segmenter = segmenter.name, segmenter
        self._masks, self._tracked = masks, tracked
        self.opened: list[_Written] = []

    def open(self, frames: Any) -> _Written:
        """The video."""
        self.opened.append(_Written(self._segmenter.open(frames), self._masks, self._tracked))
        return self.opened[-1]


def track_rounds(
    segmenter: Segmenter,
    video: LabelledVideo,
    truth: Truth,
    source: FrameSource,
    settings: Offline | Online,
    masks: PredictedMasks,
    tracked: Callable[[], None] = lambda: None,
) -> Rounds:
    """Plays all rounds of a video; `settings.start.together` must be on."""
    annotated = AnnotatedVideo(video.name, source, truth.label_maps)
    writing = _Writing(segmenter, masks, tracked)
    if isinstance(settings, Offline):
        outcomes = run_offline(writing, annotated, settings)
    else:
        outcomes = [run_online(writing, annotated, settings)]
    masks.finish()
    rows = tuple(
        tuple(
            {k: row for k, row in outcome.rows.get(t, {}).items() if row is not None}
            for t in truth.annotated
        )
        for outcome in outcomes
    )
    left_out = outcomes[-1].left_out
    notes = tuple(f"{video.name}: object {k} not prompted: {why}" for k, why in left_out.items())
    prompted = {k: sorted(frames) for each in writing.opened for k, frames in each.prompted.items()}
    clicks, stops = (tuple(getattr(o, name) for o in outcomes) for name in ("clicks", "stops"))
    return Rounds(prompted, rows, clicks, stops, notes)
