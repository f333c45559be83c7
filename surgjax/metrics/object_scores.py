"""J, F and Dice of objects frame by frame, and the presets that turn them into published numbers.

Path:    label maps, masks -> [score_label_map, score_mask] -> update -> join -> compute(preset)
Axes:    T annotated frames of one video; label maps are uint8 (H, W), masks bool (H, W).
Units:   fractions of 1; a frame is its place among the annotated frames of its video.
Errors:  ValueError if a frame is scored twice, if nothing is left to score, or if a video is too
         short for a preset that drops its first and last frame.
Source:  davis17: arXiv:1704.00675 and davis2017-evaluation. sav: the benchmark script of SAM 2,
         sav_dataset/utils/sav_benchmark.py. resurg: ReSurgSAM2's my_sav_benchmark.py with its
         default, ref_dataset.
Differs: objects are the ids that the ground truth shows on any frame; davis2017-evaluation takes
         1 up to the largest id of the first frame, also ids that no frame shows, and leaves out
         later ones. `literal` does the same. What was asked for in vain is counted beside them:
         ids that the ground truth of a video never shows, in `absent`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from surgjax.metrics import absence, davis2017
from surgjax.metrics.label_maps import clear_ignored, labels_of


@dataclass(frozen=True)
class Preset:
    """Which frames of an object count."""

    name: str
    drop_first_and_last: bool  # of the annotated frames: the first carries the prompt
    from_first_appearance: bool  # in ground truth or prediction, among the frames that are left


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("davis17", drop_first_and_last=True, from_first_appearance=False),
        Preset("sav", drop_first_and_last=True, from_first_appearance=True),
        Preset("resurg", drop_first_and_last=False, from_first_appearance=True),
    )
}


class Row(NamedTuple):
    """One object on one frame."""

    region: float  # J
    contour: float  # F
    dice: float
    in_target: bool  # the ground truth has at least a pixel of it
    in_mask: bool


ABSENT = Row(1.0, 1.0, 1.0, False, False)  # neither shows the object: nothing to miss

# Object id -> row; an id that a frame lacks is ABSENT there, None is not annotated there.
FrameRows = Mapping[int, Row | None]
_TARGET, _MASK, _UNKNOWN = 1, 2, 4  # bits of the flags below; unknown: not annotated


@dataclass(frozen=True, eq=False)
class VideoRows:
    """All rows of one video as arrays: 25 bytes for each frame and object."""

    frames: np.ndarray  # int64 (T,), ascending
    scores: Mapping[int, np.ndarray]  # object id -> J, F, Dice, float64 (T, 3)
    flags: Mapping[int, np.ndarray]  # object id -> uint8 (T,)

    def row(self, object_id: int, place: int) -> Row | None:
        """One object on the frame at that place; None where it is not annotated."""
        flags = int(self.flags[object_id][place])
        if flags & _UNKNOWN:
            return None
        region, contour, overlap = self.scores[object_id][place].tolist()
        return Row(region, contour, overlap, bool(flags & _TARGET), bool(flags & _MASK))

    def rows(self, object_id: int) -> list[Row | None]:
        """One object, frame by frame; an id that the video lacks is absent throughout."""
        if object_id not in self.scores:
            return [ABSENT] * len(self.frames)
        return [self.row(object_id, place) for place in range(len(self.frames))]

    def shown(self) -> dict[int, np.ndarray]:
        """Object id -> bool (T,): ground truth or prediction shows it."""
        return {i: (flags & (_TARGET | _MASK)) > 0 for i, flags in self.flags.items()}


# The state of a running evaluation: video -> rows. A value, never changed in place.
State = Mapping[str, VideoRows]


def score_mask(mask: np.ndarray, target: np.ndarray) -> Row:
    """One object on one frame; bool (H, W) both."""
    if mask.shape != target.shape:
        raise ValueError(f"mask {mask.shape} and target {target.shape} differ in shape.")
    area, target_area = int(np.count_nonzero(mask)), int(np.count_nonzero(target))
    if not area and not target_area:
        return ABSENT
    shared = int(np.count_nonzero(mask & target))
    region, dice = shared / (area + target_area - shared), 2 * shared / (area + target_area)
    contour = davis2017.boundary_measure(mask, target)
    return Row(region, contour, dice, target_area > 0, area > 0)


def score_label_map(label_map: np.ndarray, target: np.ndarray) -> dict[int, Row]:
    """Every id of either, on one frame; where the target is 255, neither has an object."""
    label_map, target = clear_ignored(label_map, target)
    ids = [i for i in labels_of(label_map) | labels_of(target) if i]
    return {i: score_mask(label_map == i, target == i) for i in sorted(ids)}


def init_state() -> State:
    """The state before any frame was scored."""
    return {}


def pack(frames: Mapping[int, FrameRows]) -> VideoRows:
    """The rows of some frames of one video: frame -> object id -> row."""
    order = sorted(frames)
    scores, flags = {}, {}
    for i in sorted({i for rows in frames.values() for i in rows}):
        rows = [frames[frame].get(i, ABSENT) for frame in order]
        scores[i] = np.array([row[:3] if row else (math.nan,) * 3 for row in rows], np.float64)
        flags[i] = np.array(
            [row.in_target * _TARGET + row.in_mask * _MASK if row else _UNKNOWN for row in rows],
            np.uint8,
        )
    return VideoRows(np.array(order, np.int64), scores, flags)


def update(state: State, video: str, frames: Mapping[int, FrameRows]) -> State:
    """The state with more frames of a video: frame -> object id -> row."""
    return join([state, {video: pack(frames)}])


def merge(first: State, second: State) -> State:
    """The state of two evaluations over different frames."""
    return join([first, second])


def join(states: Iterable[State]) -> State:
    """The state of any number of evaluations over different frames; each is visited once."""
    parts: dict[str, list[VideoRows]] = {}
    for state in states:
        for video, part in state.items():
            parts.setdefault(video, []).append(part)
    return {
        video: found[0] if len(found) == 1 else _joined(video, found)
        for video, found in parts.items()
    }


def _joined(video: str, parts: Sequence[VideoRows]) -> VideoRows:
    """Different frames of one video as one; an id that a part lacks is absent there."""
    frames = np.concatenate([part.frames for part in parts])
    values, count = np.unique(frames, return_counts=True)
    if (count > 1).any():
        twice = [(video, frame) for frame in values[count > 1].tolist()]
        raise ValueError(f"Scored twice (video, frame): {twice}.")
    order = np.argsort(frames)
    ids = sorted(set().union(*(part.scores for part in parts)))

    def lay(name: str, object_id: int, absent: np.ndarray) -> np.ndarray:
        blank = [np.repeat(absent[None], len(part.frames), 0) for part in parts]
        pieces = [getattr(p, name).get(object_id, b) for p, b in zip(parts, blank, strict=True)]
        return np.concatenate(pieces)[order]

    scores = {i: lay("scores", i, np.array(ABSENT[:3])) for i in ids}
    flags = {i: lay("flags", i, np.array(0, np.uint8)) for i in ids}
    return VideoRows(frames[order], scores, flags)


def kept_frames(rows: Sequence[Row], preset: Preset, video: str) -> range:
    """Which of an object's rows count; empty if the preset leaves the object out."""
    first, stop = 0, len(rows)
    if preset.drop_first_and_last:
        if len(rows) < 3:
            raise ValueError(
                f"Video {video!r} has {len(rows)} annotated frames; {preset.name} drops the first "
                "and the last, so at least 3 are needed."
            )
        first, stop = 1, len(rows) - 1
    if preset.from_first_appearance:
        shown = [row.in_target or row.in_mask for row in rows[first:stop]]
        first = first + shown.index(True) if any(shown) else stop
        if not any(row.in_target for row in rows[first:stop]):
            return range(0)  # not in the ground truth: the reference does not list it either
    return range(first, stop)


def _object_ids(rows: VideoRows, literal: bool) -> list[int]:
    if literal:
        first = [i for i, flags in rows.flags.items() if len(flags) and flags[0] & _TARGET]
        return list(range(1, max(first, default=0) + 1))
    return [i for i, flags in rows.flags.items() if (flags & _TARGET).any()]


def _absent_objects(video: str, rows: VideoRows, preset: Preset) -> list[dict[str, Any]]:
    """Objects with rows that the ground truth of the video never shows, and how often found.

    They count on every annotated frame but those that the preset drops.
    """
    found = []
    for object_id, flags in rows.flags.items():
        known = flags[(flags & _UNKNOWN) == 0]
        if not len(known) or (known & _TARGET).any():
            continue
        kept = known[1:-1] if preset.drop_first_and_last else known
        counts = {"frames": len(kept), "false_positives": int(np.count_nonzero(kept & _MASK))}
        found.append({"sequence": video, "object": object_id} | counts)
    return found


def _absence(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of (frame, object) pairs on which an object is found that no frame shows."""
    state = absence.init_state()
    for row in rows:
        state = absence.merge(state, absence.count(row["frames"], row["false_positives"]))
    return absence.compute(state)["false_positive_rate"] if state.absent else math.nan


def _object_result(rows: Sequence[Row], literal: bool) -> dict[str, Any]:
    region = davis2017.statistics(np.array([row.region for row in rows]), literal)
    contour = davis2017.statistics(np.array([row.contour for row in rows]), literal)
    result = {"J": region["mean"], "F": contour["mean"]}
    result["JF"] = (result["J"] + result["F"]) / 2
    result["Dice"] = float(np.mean([row.dice for row in rows]))
    for name in ("recall", "decay"):
        result[f"J_{name}"], result[f"F_{name}"] = region[name], contour[name]
    absent = [row.in_mask for row in rows if not row.in_target]
    counts = {"absent_frames": len(absent), "false_positives": sum(absent)}
    return result | {"frames": len(rows)} | counts


_NAMES = ("J", "F", "Dice", "J_recall", "J_decay", "F_recall", "F_decay")


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    means: dict[str, Any] = {n: math.fsum(row[n] for row in rows) / len(rows) for n in _NAMES}
    means = {"J": means["J"], "F": means["F"], "JF": (means["J"] + means["F"]) / 2} | means
    absent = sum(row["absent_frames"] for row in rows)
    found = sum(row["false_positives"] for row in rows)
    means["false_positive_rate"] = found / absent if absent else math.nan
    return means


def compute(state: State, preset: Preset, literal: bool = False) -> dict[str, Any]:
    """Means over the objects of all videos alike, and every object's and video's own.

    Keys: preset; J, F, JF, Dice, J_recall, J_decay, F_recall, F_decay; false_positive_rate, of the
    scored frames on which the ground truth lacks the object (NaN if there is none); per_object and
    per_sequence, lists with the same measures; left_out, the (video, id) in the ground truth that
    the preset does not score; per_absent_object, the ids with rows that the ground truth of a video
    never shows, and absent_false_positive_rate over their frames (NaN if there is none). `literal`:
    the reference's choice of ids and its 8-bit decay.
    """
    per_object, per_sequence, left_out, absent = [], [], [], []
    for video, video_rows in sorted(state.items()):
        objects = []
        for object_id in _object_ids(video_rows, literal):
            rows = [row for row in video_rows.rows(object_id) if row]
            if kept := kept_frames(rows, preset, video):
                found = _object_result(rows[kept.start : kept.stop], literal)
                objects.append({"sequence": video, "object": object_id} | found)
            else:
                left_out.append((video, object_id))
        per_object += objects
        absent += _absent_objects(video, video_rows, preset)
        if objects:
            per_sequence.append({"sequence": video} | _summary(objects))
    if not per_object:
        raise ValueError(f"{preset.name}: no object of the ground truth is left to score.")
    lists = {"per_object": per_object, "per_sequence": per_sequence, "left_out": left_out}
    means = _summary(per_object) | {"absent_false_positive_rate": _absence(absent)}
    return {"preset": preset.name, **means, **lists, "per_absent_object": absent}
