"""What is measured of one tracked object, frame by frame, and what that says of it as a whole.

Path:    masks, instance maps -> [score_frame] -> ObjectRows -> [object_sums] -> long_tables
Axes:    masks bool [H, W]; rows have one entry for every counted frame (annotated, after the
         prompted one).
Units:   J, F in 0..1; frames count from 0; seconds since the prompt.
Source:  J and F as `surgjax.metrics.davis2017`; the other measures are ours.
Differs: a frame on which neither truth nor prediction shows the object counts as 1, as in DAVIS
         2017; J&F of frames in sight stands beside it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgjax.metrics import object_scores
from surgjax.metrics.davis2017 import jaccard

HORIZONS_S = (5.0, 30.0)
SWAP_OTHER, SWAP_OWN = 0.5, 0.1  # IoU with another of the class above, with the own below


@dataclasses.dataclass
class ObjectRows:
    """One object of one video under one policy."""

    object_id: int
    category: str
    prompt_frame: int
    frames: list[int] = dataclasses.field(default_factory=list)
    region: list[float] = dataclasses.field(default_factory=list)  # J
    contour: list[float] = dataclasses.field(default_factory=list)  # F
    in_target: list[int] = dataclasses.field(default_factory=list)  # 0 or 1
    in_mask: list[int] = dataclasses.field(default_factory=list)
    swapped: list[int] = dataclasses.field(default_factory=list)
    top_class: list[int] = dataclasses.field(default_factory=list)  # of the bank; empty without one
    mean_class: int | None = None  # of the mean probabilities over frames with a mask
    prompt_class: int | None = None  # the likeliest on the prompted frame
    agreement: list[float] = dataclasses.field(default_factory=list)  # its probability later on

    def add(self, frame: int, score: "FrameScore", classes: np.ndarray | None = None) -> None:
        """One more frame; classes: the probabilities [K] of a classifier."""
        self.frames.append(frame)
        self.region.append(round(score.region, 6))
        self.contour.append(round(score.contour, 6))
        self.in_target.append(int(score.in_target))
        self.in_mask.append(int(score.in_mask))
        self.swapped.append(int(score.swapped))
        if classes is not None and self.prompt_class is not None:
            self.top_class.append(int(classes.argmax()))
            self.agreement.append(round(float(classes[self.prompt_class]), 4))


@dataclasses.dataclass(frozen=True)
class FrameScore:
    """One object on one frame."""

    region: float
    contour: float
    in_target: bool
    in_mask: bool
    swapped: bool


def score_frame(
    mask: np.ndarray, instances: np.ndarray, object_id: int, same_class: Sequence[int]
) -> FrameScore:
    """A mask against the instance map; unknown pixels (the map's largest value) do not count.

    same_class: the other objects of its class, which it may be mistaken for.
    """
    unknown = instances == np.iinfo(instances.dtype).max
    if unknown.any():
        mask = mask & ~unknown
    target = instances == object_id
    row = object_scores.score_mask(mask, target)
    swapped = False
    if row.in_mask and row.region < SWAP_OWN:  # 0 too where its own is out of sight
        swapped = any(jaccard(mask, instances == other) > SWAP_OTHER for other in same_class)
    return FrameScore(row.region, row.contour, row.in_target, row.in_mask, swapped)


def return_index(in_target: Sequence[int], frames: Sequence[int], absence: int) -> int | None:
    """Where the object is back after its first absence of `absence` frames or more; None: never.

    The absence begins when it was in sight before (it was, on the prompted frame).
    """
    left: int | None = None
    for place, (frame, is_there) in enumerate(zip(frames, in_target, strict=True)):
        if not is_there:
            left = frame if left is None else left
        elif left is not None:
            if frame - left >= absence:
                return place
            left = None
    return None


def object_sums(
    rows: ObjectRows, fps: float, absence: int = 100, bank: Sequence[str] = ()
) -> dict[str, float]:
    """Values and counts that add up over objects: "NAME" over "NAME#" is the mean.

    J&F and its parts count each object once; swaps, false alarms and class accuracy every frame.
    A mask on another of the class while the object is away is a swap and a false alarm.
    """
    both = (np.array(rows.region) + np.array(rows.contour)) / 2
    seen, found = np.array(rows.in_target, bool), np.array(rows.in_mask, bool)
    frames = np.array(rows.frames)
    seconds = (frames - rows.prompt_frame) / fps if fps else np.full(len(frames), math.nan)
    sums: dict[str, float] = {}

    def mean(name: str, chosen: np.ndarray, values: np.ndarray = both) -> None:
        if chosen.any():
            sums[name], sums[f"{name}#"] = float(values[chosen].mean()), 1.0

    def count(name: str, hits: np.ndarray, of: np.ndarray) -> None:
        if of.any():
            sums[name], sums[f"{name}#"] = float((hits & of).sum()), float(of.sum())

    everything = np.ones(len(frames), bool)
    mean("JF", everything)
    mean("J", everything, np.array(rows.region))
    mean("F", everything, np.array(rows.contour))
    mean("JF in sight", seen)
    for name, (low, high) in horizon_names().items():
        mean(name, (seconds > low + 1e-9) & (seconds <= high + 1e-9))
    back = return_index(rows.in_target, rows.frames, absence)
    if back is not None:
        mean("after return", np.arange(len(frames)) >= back)
        mean("after return, in sight", (np.arange(len(frames)) >= back) & seen)
    count("swaps", np.array(rows.swapped, bool), everything)
    count("missed", ~found, seen)
    count("false alarms", found, ~seen)
    if rows.top_class and rows.category in bank:
        own = bank.index(rows.category)
        count("class per frame", np.array(rows.top_class) == own, seen)
        if rows.mean_class is not None:
            sums["class of video"] = float(rows.mean_class == own)
            sums["class of video#"] = 1.0
    return sums


def gated(rows: ObjectRows, threshold: float) -> ObjectRows:
    """As if masks were withheld where the class of the prompted frame has become improbable.

    What was tracked stays: memories are those of the masks that are withheld.
    """
    if len(rows.agreement) != len(rows.frames):
        raise ValueError("--class_gate: needs weights with a semantic token, and --text_bank.")
    shut = np.array(rows.agreement) < threshold
    score = np.where(np.array(rows.in_target, bool), 0.0, 1.0)
    return dataclasses.replace(
        rows,
        region=np.where(shut, score, rows.region).tolist(),
        contour=np.where(shut, score, rows.contour).tolist(),
        in_mask=np.where(shut, 0, rows.in_mask).tolist(),
        swapped=np.where(shut, 0, rows.swapped).tolist(),
    )


def horizon_names(bounds_s: Sequence[float] = HORIZONS_S) -> dict[str, tuple[float, float]]:
    """Name -> (from, to] in seconds since the prompt."""
    edges = [0.0, *bounds_s, math.inf]
    names = {}
    for low, high in zip(edges, edges[1:], strict=False):
        name = f"{low:g}-{high:g} s" if high < math.inf else f"over {low:g} s"
        names[name] = (low, high)
    return names


def to_dict(rows: ObjectRows) -> dict[str, Any]:
    """For JSON."""
    return dataclasses.asdict(rows)


def from_dict(value: Mapping[str, Any]) -> ObjectRows:
    """The inverse of `to_dict`."""
    return ObjectRows(**value)
