"""J, F and Dice of objects frame by frame, and the presets that turn them into published numbers.

Path:    masks, labels -> [score_frame] -> update -> merge -> compute(preset) -> J, F, J&F, Dice
Axes:    T annotated frames of one video; a mask is bool (H, W), one call scores one object.
Units:   fractions of 1.
Errors:  ValueError if an object is scored twice, if nothing is left to score, or if a video is too
         short for a preset that drops its first and last frame.
Source:  davis17: arXiv:1704.00675 and davis2017-evaluation. sav: the benchmark script of SAM 2,
         sav_dataset/utils/sav_benchmark.py. resurg: ReSurgSAM2's my_sav_benchmark.py with its
         default, ref_dataset.
Differs: ids of a video are those that its ground truth shows; davis2017-evaluation takes 1 up to
         the largest id of the first frame (`literal` in the folder protocols does the same).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from surgjax.metrics import davis2017
from surgjax.typing import Bool, Float, NDArray

IGNORED = 255  # of a ground-truth label map


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


@dataclass(frozen=True)
class ObjectScores:
    """Scores of one object on every annotated frame of its video."""

    region: Float[NDArray, " T"]  # J
    contour: Float[NDArray, " T"]  # F
    dice: Float[NDArray, " T"]
    in_target: Bool[NDArray, " T"]  # the ground truth has at least a pixel of it
    in_mask: Bool[NDArray, " T"]


FrameRow = tuple[float, float, float, bool, bool]  # one frame, in the order of ObjectScores
ABSENT: FrameRow = (1.0, 1.0, 1.0, False, False)  # neither shows the object: nothing to miss

# The state of a running evaluation: (video, object id) -> scores. A value, never changed in place.
State = Mapping[tuple[str, int], ObjectScores]


def score_frame(mask: np.ndarray, target: np.ndarray) -> FrameRow:
    """J, F, Dice and presence of one object on one frame; bool (H, W) both."""
    if mask.shape != target.shape:
        raise ValueError(f"mask {mask.shape} and target {target.shape} differ in shape.")
    area, target_area = np.count_nonzero(mask), np.count_nonzero(target)
    if not area and not target_area:
        return ABSENT
    shared = np.count_nonzero(mask & target)
    region, dice = shared / (area + target_area - shared), 2 * shared / (area + target_area)
    contour = davis2017.boundary_measure(mask, target)
    return region, contour, dice, target_area > 0, area > 0


def scores_of(rows: list[FrameRow]) -> ObjectScores:
    """The rows of one object's frames, in order, as arrays."""
    columns = zip(*rows, strict=True) if rows else ([],) * len(fields(ObjectScores))
    kinds = (float, float, float, bool, bool)
    return ObjectScores(*(np.array(c, kind) for c, kind in zip(columns, kinds, strict=True)))


def init_state() -> State:
    """The state before any object was scored."""
    return {}


def update(state: State, video: str, object_id: int, scores: ObjectScores) -> State:
    """The state with one more object."""
    return merge(state, {(video, object_id): scores})


def merge(first: State, second: State) -> State:
    """The state of two evaluations over different objects."""
    if twice := sorted(set(first) & set(second)):
        raise ValueError(f"Scored twice (video, object id): {twice}.")
    return {**first, **second}


def kept_frames(scores: ObjectScores, preset: Preset, video: str = "") -> np.ndarray:
    """Which frames count, bool [T]; none if the preset leaves the object out."""
    keep = np.ones(len(scores.region), bool)
    if preset.drop_first_and_last:
        if len(keep) < 3:
            raise ValueError(
                f"Video {video!r} has {len(keep)} annotated frames; {preset.name} drops the first "
                "and the last, so at least 3 are needed."
            )
        keep[[0, -1]] = False
    if preset.from_first_appearance:
        shown = keep & (scores.in_target | scores.in_mask)
        keep &= np.maximum.accumulate(shown)
        if not (keep & scores.in_target).any():
            return np.zeros_like(keep)  # never in the ground truth: the reference does not list it
    return keep


def _object_result(scores: ObjectScores, keep: np.ndarray, literal: bool) -> dict[str, float]:
    region = davis2017.statistics(scores.region[keep], literal)
    contour = davis2017.statistics(scores.contour[keep], literal)
    result = {"J": region["mean"], "F": contour["mean"]}
    result["JF"] = (result["J"] + result["F"]) / 2
    result["Dice"] = float(scores.dice[keep].mean())
    for name in ("recall", "decay"):
        result[f"J_{name}"], result[f"F_{name}"] = region[name], contour[name]
    return result


def _means(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, float]:
    means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}
    means["JF"] = (means["J"] + means["F"]) / 2
    return means


_NAMES = ("J", "F", "Dice", "J_recall", "J_decay", "F_recall", "F_decay")


def compute(state: State, preset: Preset, literal: bool = False) -> dict[str, Any]:
    """Means over the objects of all videos alike, and every object's and video's own.

    Keys: preset; J, F, JF, Dice, J_recall, J_decay, F_recall, F_decay; per_object and
    per_sequence, lists with the same measures; left_out, the (video, id) that the preset does not
    score. `literal` keeps the reference's 8-bit decay.
    """
    per_object, left_out = [], []
    for (video, object_id), scores in sorted(state.items()):
        keep = kept_frames(scores, preset, video)
        if not keep.any():
            left_out.append((video, object_id))
            continue
        row = {"sequence": video, "object": object_id}
        per_object.append(row | _object_result(scores, keep, literal))
    if not per_object:
        raise ValueError(f"{preset.name}: no object of the ground truth is left to score.")
    videos = dict.fromkeys(row["sequence"] for row in per_object)
    per_sequence = [
        {"sequence": v} | _means([row for row in per_object if row["sequence"] == v], _NAMES)
        for v in videos
    ]
    return {
        "preset": preset.name,
        **_means(per_object, _NAMES),
        "per_object": per_object,
        "per_sequence": per_sequence,
        "left_out": left_out,
    }
