"""Scores and pictures of a run while it trains, on a split of a prepared data set.

Path:    TrainState, prepared set -> [set_evaluation] -> scores, overlays -> train.fit
Units:   IoU and J&F in 0..1, at the size the set was prepared at.
Errors:  ValueError when no video of the split can be tracked from one annotated frame to another,
         at once; and, when it scores, where none shows an object that is large enough.
Source:  DAVIS 2017 for J&F.
Differs: a sample to steer training by, not a protocol: frames and videos are spread evenly over the
         split, an object is prompted by the tight box of its first annotated frame, and only
         annotated frames count.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from experiments.promptable_sam2 import scoring
from experiments.promptable_sam2.evaluation import Predictors, draw_answers, evaluation_scores
from surgjax.data import index as set_index
from surgjax.data.index import VideoEntry
from surgjax.data.reader import PreparedSet
from surgjax.memory.registry import options_for
from surgjax.metrics import davis2017
from surgjax.models import variants
from surgjax.train import TrainState, lora


@dataclasses.dataclass(frozen=True)
class SetEvaluationOptions:
    """What a config may say."""

    images: int = 40  # annotated frames
    videos: int = 4
    frames: int = 32  # of a video, from the first annotated one on
    objects: int = 4  # of a video, at most: the first to be seen
    pictures: int = 6
    memory: str = "recent"  # policy that tracks videos, with its options
    memory_options: str = ""

    def __post_init__(self):
        options_for(self.memory, self.memory_options)

    @property
    def scores(self) -> tuple[str, ...]:
        """What it will be called."""
        return evaluation_scores(self.images, self.videos)


class _Clip(NamedTuple):
    name: str
    frames_u8: np.ndarray  # [T, H, W, 3]
    maps: list[np.ndarray | None]  # T of [H, W]; None where not annotated


def spread(count: int, total: int) -> list[int]:
    """`count` places spread evenly over 0..total - 1, or all of them."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)).tolist()


class SetEvaluation:
    """Called with a state by the loop; compiles its programs at the first call only."""

    def __init__(
        self,
        config: variants.Sam2Config,
        prepared: PreparedSet,
        split: str,
        options: SetEvaluationOptions,
        adapters: lora.LoraOptions | None = None,
    ):
        self._prepared, self._options = prepared, options
        memory = dict(memory=options.memory, memory_options=options.memory_options)
        self._predictors = Predictors(config, adapters, **memory)
        self._videos = [pair for pair in prepared.index.videos(split) if pair[1].objects]
        if not self._videos:
            raise ValueError(f"{prepared.folder}: split {split!r} has no video with objects.")
        self._lasting = [pair for pair in self._videos if self._is_lasting(pair[1])]
        if options.videos and not self._lasting:
            raise ValueError(
                f"{prepared.folder}: no video of split {split!r} has an object and two annotated "
                f"frames among {options.frames} frames; eval.videos=0 scores single frames alone."
            )

    def __call__(self, state: TrainState) -> tuple[Mapping[str, float], Mapping[str, np.ndarray]]:
        """Scores of the averaged weights, and overlays of truth and answers to boxes."""
        images, videos = self._predictors.of(state)
        options, scores, pictures = self._options, {}, {}
        boxed, clicked = [], []
        for number, (name, image, labels) in enumerate(self._annotated_frames(options.images)):
            masks = scoring.objects_of(labels)
            if not masks:
                continue
            found = scoring.answer_image(images, image, masks)
            boxed += map(scoring.iou, found.by_box, masks)
            clicked += map(scoring.iou, found.by_click, masks)
            if number < options.pictures:
                pictures[f"boxes_{name.replace('/', '_')}"] = draw_answers(images, image, masks)
        if options.images and not boxed:
            raise ValueError(
                f"{self._prepared.folder}: none of {options.images} frames shows an object of "
                f"{scoring.MIN_AREA:.1%} of the picture."
            )
        if boxed:
            scores |= {"box_iou": float(np.mean(boxed)), "click_iou": float(np.mean(clicked))}
        tracked = [self._score(videos, clip) for clip in self._clips()]
        per_object = [value for values in tracked for value in values]
        if options.videos and not per_object:
            raise ValueError(
                f"{self._prepared.folder}: in none of {len(found)} videos an object of "
                f"{scoring.MIN_AREA:.1%} of the picture is followed by an annotated frame."
            )
        if per_object:
            scores["J&F"] = float(np.mean(per_object))
        return scores, pictures

    def _annotated_frames(self, count: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        places = [
            (split, video, t)
            for split, video in self._videos
            for t in set_index.positions_of(video.annotated)
        ]
        for place in spread(count, len(places)) if count else []:
            split, video, t = places[place]
            images, maps, _ = self._prepared.read_frames(split, video, [t], [True])
            assert maps[0] is not None
            yield f"{video.video_id}_{t}", images[0], self._known(maps[0])

    @staticmethod
    def _known(instances: np.ndarray) -> np.ndarray:
        """Instances, without the pixels whose truth is unknown."""
        return np.where(instances == np.iinfo(instances.dtype).max, 0, instances)

    def _clips(self) -> Iterator[_Clip]:
        places = spread(self._options.videos, len(self._lasting)) if self._options.videos else []
        for split, video in (self._lasting[place] for place in places):
            yield self._read(split, video)

    def _is_lasting(self, video: VideoEntry) -> bool:
        """Whether an annotated frame follows one with an object, among the frames that are read."""
        annotated = set_index.positions_of(video.annotated)
        read = {t for t in annotated if t < annotated[0] + self._options.frames}
        seen = {t for item in video.objects for t in set_index.positions_of(item.visible)}
        return bool(read & seen) and max(read) > min(read & seen)

    def _read(self, split: str, video: VideoEntry) -> _Clip:
        annotated = set_index.positions_of(video.annotated)
        start = annotated[0]
        positions = list(range(start, min(video.length, start + self._options.frames)))
        with_map = np.isin(positions, annotated).tolist()
        images, maps, _ = self._prepared.read_frames(split, video, positions, with_map)
        known = [None if m is None else self._known(m) for m in maps]
        return _Clip(video.video_id, np.stack(images), known)

    def _score(self, predictor, clip: _Clip) -> list[float]:
        """J&F of each object over the annotated frames after its box."""
        starts: dict[int, int] = {}
        for t, labels in enumerate(clip.maps):
            if labels is None:
                continue
            for k in map(int, np.unique(labels[labels > 0])):
                if (labels == k).mean() >= scoring.MIN_AREA and len(starts) < self._options.objects:
                    starts.setdefault(k, t)
        starts = {k: t for k, t in starts.items() if any(m is not None for m in clip.maps[t + 1 :])}
        if not starts:
            return []
        state = predictor.init_state(clip.frames_u8, max_objects=self._options.objects)
        for k, t in starts.items():
            labels = clip.maps[t]
            assert labels is not None
            predictor.add_new_points_or_box(state, t, k, box=scoring.tight_box(labels == k))
        found: dict[int, dict[int, np.ndarray]] = {k: {} for k in starts}
        for t, ids, logits in predictor.propagate_in_video(state):
            for k, logit in zip(ids, logits, strict=True):
                found[k][t] = logit[0] > 0
        scores = []
        for k, start in starts.items():
            labels = {t: m for t, m in enumerate(clip.maps) if m is not None and t > start}
            targets = np.stack([m == k for m in labels.values()])
            masks = np.stack([found[k][t] for t in labels])
            scored = davis2017.score_frames(masks, targets)
            scores.append(float((scored.region.mean() + scored.contour.mean()) / 2))
        return scores
