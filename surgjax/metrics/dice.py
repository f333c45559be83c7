"""Dice of label maps: mean over classes, mean over objects, and weighted by class frequency.

Path:    label maps -> [class_areas -> update -> merge] -> compute -> dice_class, dice_object, wmdc
Axes:    frames of all videos; an object is one id of one video.
Units:   fractions of 1.
Errors:  ValueError if neither ground truth nor prediction shows any class.
Source:  per frame 2 |P and G| / (|P| + |G|), then
         dice_class   mean over classes of the mean over the frames with the class in P or G: the
                      mDice of the EndoVis tables, averaged as their mc IoU is
         dice_object  mean over objects of the mean over the frames from the object's first
                      appearance in P or G; 1 where both are empty; objects that the ground truth
                      never shows are left out: ReSurgSAM2's my_sav_benchmark.py
         wmdc         as dice_class, but classes weighted by the number of ground-truth frames with
                      them: the weighted mean Dice coefficient of SurgiSAM2
                      (doi:10.1038/s41598-025-11759-4), whose table 3 weighs classes by examples
Differs: SurgiSAM2 prompts every class it scores, so false classes cannot occur there; here they
         count as in dice_class.
"""

import math
from collections.abc import Iterable
from typing import Any

from surgjax.metrics.label_maps import (
    Areas,
    FrameAreas,
    State,
    by_video,
    class_areas,
    init_state,
    merge,
    update,
)
from surgjax.metrics.means import mean

__all__ = ["class_areas", "compute", "init_state", "merge", "update"]


def _dice(areas: Areas | None) -> float:
    return 2 * areas.shared / (areas.predicted + areas.target) if areas else 1.0


def _class_dices(frames: Iterable[FrameAreas]) -> dict[int, dict[str, Any]]:
    """Class -> its mean Dice, and on how many frames the ground truth shows it."""
    values: dict[int, list[float]] = {}
    samples: dict[int, int] = {}
    for areas in frames:
        for label, area in areas.items():
            values.setdefault(label, []).append(_dice(area))
            samples[label] = samples.get(label, 0) + (area.target > 0)
    return {
        label: {"class": label, "dice": mean(values[label]), "samples": samples[label]}
        for label in sorted(values)
    }


def _object_dices(video: str, frames: list[FrameAreas]) -> list[dict[str, Any]]:
    """One entry for each id that the ground truth of a video shows; frames in order."""
    objects = []
    for label in sorted({i for areas in frames for i, area in areas.items() if area.target}):
        first = next(k for k, areas in enumerate(frames) if label in areas)
        dice = mean(_dice(areas.get(label)) for areas in frames[first:])
        objects.append({"sequence": video, "object": label, "dice": dice})
    return objects


def compute(state: State) -> dict[str, Any]:
    """dice_class, dice_object, wmdc; lists `per_class`, `per_object`, `per_sequence`."""
    if not any(state.values()):
        raise ValueError("dice: no frame shows a class, in ground truth or prediction.")
    classes = _class_dices(areas for _, areas in sorted(state.items()))
    per_object, per_sequence = [], []
    for video, part in by_video(state).items():
        frames = list(part.values())
        objects = _object_dices(video, frames)
        per_object += objects
        class_mean = mean(row["dice"] for row in _class_dices(frames).values())
        object_mean = mean(row["dice"] for row in objects)
        per_sequence.append(
            {"sequence": video, "dice_class": class_mean, "dice_object": object_mean}
        )
    samples = sum(row["samples"] for row in classes.values())
    weighted = math.fsum(row["samples"] * row["dice"] for row in classes.values())
    return {
        "dice_class": mean(row["dice"] for row in classes.values()),
        "dice_object": mean(row["dice"] for row in per_object),
        "wmdc": weighted / samples if samples else math.nan,
        "per_class": list(classes.values()),
        "per_object": per_object,
        "per_sequence": per_sequence,
    }
