"""Class-balanced few-shot subsets: the same number of frames of every class, drawn by a seed.

Path:    index -> [few_shot] -> an index restricted to the drawn frames -> mixture, clips
Axes:    a shot is one annotated frame and one category seen in it (all its objects there).
Units:   frame counts the stored frames of a video from 0; per_class counts shots.
Errors:  ValueError naming unknown categories, and every class that has too few frames.
Source:  SurgiSAM2's protocol: 50, 100, 200 or 400 samples of each class.
Differs: the paper leaves open how samples are drawn. Here uniformly over a class's frames, or in
         turn over its videos (`spread="videos"`), whose neighbouring frames look alike. Smaller
         subsets of a seed are part of the larger ones, and leaving out a class changes no other.
"""

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from surgjax.data import index as set_index
from surgjax.data.index import SetIndex, VideoEntry

Spread = Literal["frames", "videos"]


@dataclasses.dataclass(frozen=True, order=True)
class Shot:
    """One frame to train one category on."""

    video_id: str
    frame: int
    category: str


def _frames_by_class(videos: Iterable[VideoEntry]) -> dict[str, list[tuple[str, int]]]:
    """category -> (video, frame) of every frame that shows it, in the order of the index."""
    found: dict[str, list[tuple[str, int]]] = {}
    for video in videos:
        seen: dict[str, set[int]] = {}
        for item in video.objects:
            seen.setdefault(item.category, set()).update(set_index.positions_of(item.visible))
        for category, frames in seen.items():
            places = [(video.video_id, frame) for frame in sorted(frames)]
            found.setdefault(category, []).extend(places)
    return found


def _order(
    places: Sequence[tuple[str, int]], rng: np.random.Generator, spread: Spread
) -> list[tuple[str, int]]:
    """All frames of a class in the order they are drawn."""
    shuffled = [places[i] for i in rng.permutation(len(places))]
    if spread == "frames":
        return shuffled
    turns: dict[str, int] = {}
    ranked = []
    for place in shuffled:  # the k-th frame of each video comes in turn k
        turns[place[0]] = turns.get(place[0], -1) + 1
        ranked.append((turns[place[0]], place))
    return [place for _, place in sorted(ranked, key=lambda pair: pair[0])]


def draw_shots(
    index: SetIndex,
    split: str,
    per_class: int,
    seed: int,
    *,
    categories: Sequence[str] | None = None,
    spread: Spread = "frames",
    allow_fewer: bool = False,
) -> tuple[Shot, ...]:
    """`per_class` shots of each category of a split, sorted by category, video and frame.

    categories: all that the split shows, by default.
    allow_fewer: a class with fewer frames gives all of them; otherwise that is refused.
    """
    if per_class < 1:
        raise ValueError(f"per_class: expected 1 or more, found {per_class}.")
    if spread not in ("frames", "videos"):
        raise ValueError(f"spread: expected frames or videos, found {spread!r}.")
    found = _frames_by_class(video for _, video in index.videos(split))
    wanted = sorted(found) if categories is None else sorted(set(categories))
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise ValueError(
            f"{index.name}, split {split!r}: no annotated frame shows {', '.join(unknown)}; "
            f"it shows {', '.join(sorted(found)) or 'nothing'}."
        )
    short = [f"{name} {len(found[name])}" for name in wanted if len(found[name]) < per_class]
    if short and not allow_fewer:
        raise ValueError(
            f"{index.name}, split {split!r}: {per_class} frames per class asked for, but there "
            f"are only: {', '.join(short)}. allow_fewer takes what there is."
        )
    shots = []
    for name in wanted:
        rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
        drawn = _order(found[name], rng, spread)[:per_class]
        shots.extend(Shot(video_id, frame, name) for video_id, frame in sorted(drawn))
    return tuple(shots)


def count(shots: Iterable[Shot]) -> dict[str, int]:
    """Shots of each category, for the log."""
    counts: dict[str, int] = {}
    for shot in shots:
        counts[shot.category] = counts.get(shot.category, 0) + 1
    return counts


def _entry(video: VideoEntry, shot: Shot) -> VideoEntry:
    """The video with one annotated frame, and in it the objects of one category."""
    here = set_index.runs_of([shot.frame])
    objects = tuple(
        dataclasses.replace(item, visible=here)
        for item in video.objects
        if item.category == shot.category and shot.frame in set_index.positions_of(item.visible)
    )
    if not objects:
        raise ValueError(f"{video.video_id}: frame {shot.frame} shows no {shot.category}.")
    return dataclasses.replace(video, annotated=here, objects=objects)


def restrict(index: SetIndex, split: str, shots: Iterable[Shot]) -> SetIndex:
    """An index whose `split` has one entry per shot, so that an epoch takes each of them once.

    Records stay where they are, so it reads the same files: set it as the `index` of an open
    PreparedSet, and sample with `annotated_only=True`. What other splits hold stays as it is.
    Objects whose category was not drawn in a frame count as background there.
    """
    by_video: dict[str, list[Shot]] = {}
    for shot in shots:
        by_video.setdefault(shot.video_id, []).append(shot)
    chosen = {video.video_id for _, video in index.videos(split)}
    unknown = sorted(set(by_video) - chosen)
    if unknown:
        raise ValueError(f"{index.name}, split {split!r} has no video {', '.join(unknown)}.")
    is_named = split not in index.splits

    def entries(place: str, videos: Sequence[VideoEntry]) -> tuple[VideoEntry, ...]:
        found = []
        for video in videos:
            if video.video_id not in chosen or not (is_named or place == split):
                found.append(video)
            else:
                found.extend(_entry(video, shot) for shot in by_video.get(video.video_id, []))
        return tuple(found)

    splits = {place: entries(place, videos) for place, videos in index.splits.items()}
    named = dict(index.named)
    if is_named:
        named[split] = tuple(sorted(by_video))
    return dataclasses.replace(index, splits=splits, named=named)
