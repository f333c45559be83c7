"""Tracks one video under several policies and scores every frame as it comes.

Path:    long_data, SharedTracker -> [track_video] -> ObjectRows of every policy
Axes:    instance maps [H, W]; see `long_tracking`.
Units:   frames count from 0.
Errors:  ValueError naming the video.
Source:  ours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.sam2s import long_scores
from experiments.sam2s.long_data import LabelledFrames, LongOptions, LongVideo, first_frame
from experiments.sam2s.long_scores import ObjectRows
from experiments.sam2s.long_tracking import SharedTracker
from surgjax.inference.object_classes import ClassTally, ObjectClassifier
from surgjax.inference.progress import Progress
from surgjax.ops.masks import resize_logits


def track_video(
    tracker: SharedTracker,
    source: LabelledFrames,
    video: LongVideo,
    options: LongOptions,
    labels: Sequence[str],
    classifier: ObjectClassifier | None,
    progress: Progress,
) -> dict[str, list[ObjectRows]]:
    """The rows of every object under the policies `labels`."""
    starts = {}
    for slot, one in enumerate(video.objects):
        start = first_frame(source, one, options.min_area)
        if start is not None:
            starts[slot] = start
    if not starts:
        raise ValueError(f"{source.path}: --min_area {options.min_area} leaves no object.")
    scorers = {label: _Scorer(video, starts, classifier) for label in labels}

    def target(slot: int, t: int) -> tuple[np.ndarray, np.ndarray | None]:
        instances = source.instances(t)
        assert instances is not None
        unknown = instances == np.iinfo(instances.dtype).max
        return instances == video.objects[slot].id, unknown if unknown.any() else None

    compiled = tracker.compile_seconds
    for tracked in tracker.track(source, starts, target, labels):
        instances = source.instances(tracked.frame)
        for label, output in tracked.outputs.items():
            scorers[label].add(tracked.frame, instances, output)
        if tracker.compile_seconds > compiled and progress.done == 0:
            progress.first_step()
        else:
            progress.step()
    return {label: scorer.finish() for label, scorer in scorers.items()}


class _Scorer:
    """Collects the rows of one video under one policy."""

    def __init__(
        self, video: LongVideo, starts: dict[int, int], classifier: ObjectClassifier | None
    ):
        self.classifier = classifier
        self.rows = {
            slot: ObjectRows(video.objects[slot].id, video.objects[slot].category, start)
            for slot, start in starts.items()
        }
        categories = {one.id: one.category for one in video.entry.objects}
        self.same = {
            slot: [i for i, name in categories.items() if name == r.category and i != r.object_id]
            for slot, r in self.rows.items()
        }
        count = 0 if classifier is None else len(classifier.bank.names)
        self.tallies = {slot: ClassTally(np.zeros(count)) for slot in starts}

    def add(self, t: int, instances: np.ndarray | None, output: Any) -> None:
        if instances is None:
            return
        low_res = np.asarray(output.low_res)
        vectors = None if self.classifier is None else np.asarray(output.semantic)
        for slot, rows in self.rows.items():
            if t < rows.prompt_frame:
                continue
            classes = None
            if self.classifier is not None and vectors is not None:
                classes = self.classifier.probabilities(vectors[slot])
            if t == rows.prompt_frame:
                rows.prompt_class = None if classes is None else int(classes.argmax())
                continue
            mask = resize_logits(low_res[slot], instances.shape) > 0
            score = long_scores.score_frame(mask, instances, rows.object_id, self.same[slot])
            if classes is not None and score.in_mask:
                self.tallies[slot].add(classes)
            rows.add(t, score, classes)

    def finish(self) -> list[ObjectRows]:
        for slot, rows in self.rows.items():
            mean = self.tallies[slot].mean()
            if self.classifier is not None and mean is not None:
                rows.mean_class = int(mean.argmax())
        return list(self.rows.values())
