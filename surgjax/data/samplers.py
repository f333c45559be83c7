"""Which frames and objects of a video make a training clip: pure functions of a generator.

Path:    index -> [samplers] -> clips
Axes:    T frames of the clip in the direction of travel, n frames of the timeline.
Units:   positions count the stored frames of a video; frame_index counts frames travelled since the
         clip's first; strides in frames.
Errors:  ValueError for a sampler that cannot be, or a video that `can_draw` refuses.
Source:  SAM 2, arXiv:2408.00714, training (a run of frames, objects seen in the first); SAM2S's
         hybrid sampling: one conditioning frame, long-range frames, then a run.
Differs: SAM 2 draws until an object is visible in the first frame, at most 1000 times. The index
         knows where objects are seen, so a start is drawn from those that would be kept: the same
         distribution, in one draw. SAM2S leaves open what follows when the early frames do not
         suffice: here a run of T frames.
"""

import dataclasses
from typing import Literal

import numpy as np

from surgjax.data import index as set_index
from surgjax.data.index import VideoEntry

KINDS = ("consecutive", "strided", "hybrid")


@dataclasses.dataclass(frozen=True)
class ClipSampler:
    """How clips are cut from videos.

    kind: `consecutive` runs; `strided` runs with one stride per clip, drawn from `strides`;
    `hybrid`: a conditioning frame, `num_long` frames from far back, a run of what is left
    (`num_short`). Its long-range frames lie anywhere between the two, with `seen_long` where the
    object is seen, as a memory's gate keeps them at inference. The run shows the object in some of
    its frames; with probability `p_absent` in none, where the object is away after it was seen.
    short: a video with fewer than `frames` frames is played to and fro ("bounce"; an image is then
    T times the same frame), or left out ("skip").
    annotated_only: frames without annotation do not count as frames of the video, as SAM 2 does it
    for sparsely annotated sets. Otherwise they are part of clips, with `is_annotated` False.
    """

    kind: str = "consecutive"
    frames: int = 8
    objects: int = 3
    strides: tuple[int, int] = (1, 1)  # smallest and largest, inclusive; of `strided`
    num_long: int = 2  # of `hybrid`
    seen_long: bool = False  # of `hybrid`
    p_absent: float = 0.0  # of `hybrid`
    p_reverse: float = 0.0
    annotated_only: bool = False
    short: Literal["bounce", "skip"] = "bounce"

    def __post_init__(self):
        def check(name: str, is_right: bool, expected: str) -> None:
            if not is_right:
                found = getattr(self, name)
                raise ValueError(f"ClipSampler.{name}: expected {expected}, found {found!r}.")

        check("kind", self.kind in KINDS, f"one of {', '.join(KINDS)}")
        check("frames", self.frames >= 1, "1 or more")
        check("objects", 1 <= self.objects <= 254, "1..254")
        check("strides", 1 <= self.strides[0] <= self.strides[-1], "1 <= smallest <= largest")
        check("strides", self.kind == "strided" or self.strides == (1, 1), f"(1, 1) if {self.kind}")
        check("p_reverse", 0 <= self.p_reverse <= 1, "0..1")
        check("p_absent", 0 <= self.p_absent <= 1, "0..1")
        check("short", self.short in ("bounce", "skip"), "bounce or skip")
        if self.kind == "hybrid":
            check("num_long", 1 <= self.num_long <= self.frames - 2, "1..frames - 2")

    @property
    def num_short(self) -> int:
        """Frames of a clip that follow each other: of a hybrid one its run, else all."""
        return self.frames - 1 - self.num_long if self.kind == "hybrid" else self.frames


@dataclasses.dataclass(frozen=True)
class ClipDraw:
    """One clip: which frames, what they are for, which objects."""

    positions: np.ndarray  # [T] int32
    frame_index: np.ndarray  # [T] int32, from 0; a frame that is shown again counts as one further
    is_annotated: np.ndarray  # [T] bool
    is_long: np.ndarray  # [T] bool, the long-range frames of a hybrid clip
    is_reversed: bool
    object_ids: tuple[int, ...]  # 1 to `objects`, all visible in the first frame

    @property
    def gap(self) -> int | None:
        """Frames travelled from the conditioning frame to the run of a hybrid clip, else None."""
        if not self.is_long.any():
            return None
        return int(self.frame_index[np.flatnonzero(self.is_long)[-1] + 1])


@dataclasses.dataclass(frozen=True)
class _Timeline:
    """A video in the direction of travel."""

    positions: np.ndarray  # [n]
    visible: np.ndarray  # [objects, n] bool
    ids: tuple[int, ...]

    def reversed(self) -> "_Timeline":
        return _Timeline(self.positions[::-1], self.visible[:, ::-1], self.ids)


def _mask_of(runs, length: int) -> np.ndarray:
    mask = np.zeros(length, bool)
    for start, stop in runs:
        mask[start:stop] = True
    return mask


def _timeline(video: VideoEntry, sampler: ClipSampler) -> _Timeline:
    positions = np.arange(video.length)
    if sampler.annotated_only:
        positions = np.array(set_index.positions_of(video.annotated), np.int64)
    visible = np.zeros((len(video.objects), video.length), bool)
    for row, item in zip(visible, video.objects, strict=True):
        row[:] = _mask_of(item.visible, video.length)
    return _Timeline(positions, visible[:, positions], tuple(item.id for item in video.objects))


def _starts(timeline: _Timeline, span: int) -> np.ndarray:
    """Where `span` frames fit with an object visible in the first of them."""
    fits = max(0, len(timeline.positions) - span + 1)
    return np.flatnonzero(timeline.visible[:, :fits].any(0))


def _is_drawable(timeline: _Timeline, sampler: ClipSampler) -> bool:
    is_short = len(timeline.positions) < sampler.frames
    if is_short and sampler.short == "skip":
        return False
    return len(_starts(timeline, 1 if is_short else sampler.frames)) > 0


def can_draw(video: VideoEntry, sampler: ClipSampler) -> bool:
    """Whether a clip can be cut from this video at all. Quick: sets may hold 100,000 images."""
    runs = [run for item in video.objects for run in item.visible]
    if not runs:
        return False
    if sampler.annotated_only:
        timeline = _timeline(video, sampler)
        is_forward = _is_drawable(timeline, sampler)
        return is_forward or (sampler.p_reverse > 0 and _is_drawable(timeline.reversed(), sampler))
    is_short = video.length < sampler.frames
    if is_short and sampler.short == "skip":
        return False
    span = 1 if is_short else sampler.frames
    first, last = min(start for start, _ in runs), max(stop for _, stop in runs) - 1
    return first <= video.length - span or (sampler.p_reverse > 0 and last >= span - 1)


def draw_clip(rng: np.random.Generator, video: VideoEntry, sampler: ClipSampler) -> ClipDraw:
    """One clip of a video; the same generator state gives the same clip."""
    forward = _timeline(video, sampler)
    is_reversed = bool(rng.random() < sampler.p_reverse)
    # An object that enters in the last frames leaves no room one way, but does the other way.
    ways = [is_reversed, not is_reversed] if sampler.p_reverse > 0 else [False]
    ways = [way for way in ways if _is_drawable(forward.reversed() if way else forward, sampler)]
    if not ways:
        raise ValueError(
            f"{video.video_id}: no clip of {sampler.frames} frames starts with a visible object "
            f"({video.length} frames, {len(video.objects)} objects, {sampler})."
        )
    is_reversed = ways[0]
    timeline = forward.reversed() if is_reversed else forward
    picks, is_long, target = _picks(rng, timeline, sampler)
    positions = timeline.positions[picks]
    travelled = np.maximum(np.abs(np.diff(positions)), 1)
    return ClipDraw(
        positions=positions.astype(np.int32),
        frame_index=np.concatenate([[0], np.cumsum(travelled)]).astype(np.int32),
        is_annotated=_mask_of(video.annotated, video.length)[positions],
        is_long=is_long,
        is_reversed=is_reversed,
        object_ids=_objects(rng, timeline, picks, is_long, sampler, target),
    )


def _picks(rng, timeline: _Timeline, sampler: ClipSampler):
    """Places on the timeline [T], which are long-range [T], and the object they were drawn for."""
    count, total = sampler.frames, len(timeline.positions)
    none_long = np.zeros(count, bool)
    if total < count:
        start = rng.choice(_starts(timeline, 1))
        return _bounce(int(start), count, total), none_long, None
    if sampler.kind == "hybrid":
        drawn = _hybrid(rng, timeline, sampler)
        if drawn is not None:
            return drawn
    stride = _stride(rng, timeline, sampler)
    start = rng.choice(_starts(timeline, (count - 1) * stride + 1))
    return start + stride * np.arange(count), none_long, None


def _bounce(start: int, count: int, total: int) -> np.ndarray:
    """A walk to the end and back again: 1 2 3 2 1 0 1 ... for start 1 of 4 frames."""
    period = max(1, 2 * (total - 1))
    phase = (start + np.arange(count)) % period
    return np.minimum(phase, period - phase) if total > 1 else np.zeros(count, np.int64)


def _stride(rng, timeline: _Timeline, sampler: ClipSampler) -> int:
    """Drawn from the strides that fit; where none does, the largest below them that fits."""

    def fits(stride: int) -> bool:
        return len(_starts(timeline, (sampler.frames - 1) * stride + 1)) > 0

    least, largest = sampler.strides
    fitting = [stride for stride in range(least, largest + 1) if fits(stride)]
    if fitting:
        return int(rng.choice(fitting))
    return next(stride for stride in range(least - 1, 0, -1) if fits(stride))


def _run_starts(seen: np.ndarray, sampler: ClipSampler, is_away: bool) -> np.ndarray:
    """Where a run may start for an object seen [n]: it shows the object, or (`is_away`) not at all
    after enough frames that do."""
    before = np.concatenate([[0], np.cumsum(seen)])
    run = sampler.num_short
    shown = before[run:] - before[: len(seen) - run + 1]
    if not is_away:
        return np.flatnonzero(shown)
    needed = 1 + sampler.num_long * sampler.seen_long
    return np.flatnonzero((shown == 0) & (before[: len(shown)] >= needed))


def _hybrid(rng, timeline: _Timeline, sampler: ClipSampler):
    """Conditioning frame, long-range frames, run; None where too few frames come before the run."""
    run = sampler.num_short
    is_away = bool(sampler.p_absent) and rng.random() < sampler.p_absent
    choices = [_run_starts(seen, sampler, is_away) for seen in timeline.visible]
    if not any(map(len, choices)):  # no object goes away
        choices = [_run_starts(seen, sampler, False) for seen in timeline.visible]
    target = int(rng.choice(np.flatnonzero(list(map(len, choices)))))
    seen, start = timeline.visible[target], int(rng.choice(choices[target]))
    if sampler.seen_long:  # the last `num_long` frames in sight leave room for no conditioning one
        first_choices = np.flatnonzero(seen[:start])[: -sampler.num_long]
    else:
        first_choices = np.flatnonzero(seen[: max(0, start - sampler.num_long)])
    if not len(first_choices):
        return None
    first = int(rng.choice(first_choices))
    between = np.arange(first + 1, start)
    if sampler.seen_long:
        between = between[seen[between]]
    long = np.sort(rng.choice(between, sampler.num_long, replace=False))
    picks = np.concatenate([[first], long, start + np.arange(run)])
    is_long = np.zeros(sampler.frames, bool)
    is_long[1 : 1 + sampler.num_long] = True
    return picks, is_long, target


def _objects(rng, timeline: _Timeline, picks, is_long, sampler: ClipSampler, target: int | None):
    """Up to `sampler.objects` objects visible in the first frame, in random order, `target` before
    others; with `seen_long` those come next that are seen in most of the long-range frames."""
    rows = rng.permutation(np.flatnonzero(timeline.visible[:, picks[0]]))
    if target is not None:
        rows = np.concatenate([[target], rows[rows != target]])
        if sampler.seen_long:
            seen = timeline.visible[rows[1:]][:, picks[is_long]].sum(1)
            rows[1:] = rows[1:][np.argsort(-seen, kind="stable")]
    return tuple(timeline.ids[row] for row in rows[: sampler.objects])
