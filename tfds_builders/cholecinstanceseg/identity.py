"""Whether the instance ids of a sequence name one tool over time, and identities where they do not.

Path:    masks of a sequence's frames -> [identity] -> numbers that mean one object of the video
Axes:    a frame is {(class, id): mask [H, W] bool}; lists run over the frames of a sequence.
Units:   IoU in 0..1.
Errors:  ValueError if `adjacent` does not fit the frames.
Source:  ours; the data set does not say whether its ids are temporal.

An id alone names nothing: the set numbers each class of a frame from 1. A key (class, id) is
what may be followed. Two adjacent frames are matched within each class by falling IoU; a
match joins equal keys or not, and how often it does is the evidence.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

Key = tuple[str, int]  # class, id within the class
Masks = dict[Key, np.ndarray]

MIN_IOU = 0.1  # tools move far in a second, and two tools of one class overlap little
MAX_MOVED = 0.05  # of contested matches, for ids to count as temporal


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Matches between adjacent frames, and how many of them join equal keys.

    Contested: the class has more than one instance in either frame, so that ids could differ.
    """

    pairs: int = 0  # of adjacent frames
    matches: int = 0
    contested: int = 0
    moved: int = 0  # matches that join different keys
    same_key_iou: float = 0.0  # summed over `same_key` occurrences
    same_key: int = 0  # keys that both frames have

    def __add__(self, other: "Agreement") -> "Agreement":
        ours, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Agreement(*(a + b for a, b in zip(ours, theirs, strict=True)))

    @property
    def is_stable(self) -> bool:
        """The ids may be trusted over time: there was evidence, and it speaks for them."""
        return self.matches > 0 and self.moved <= MAX_MOVED * self.contested


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks; 0 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def match(before: Masks, after: Masks) -> list[tuple[Key, Key]]:
    """One-to-one within each class, best IoU first, none under MIN_IOU."""
    candidates = [
        (-overlap, old, new)
        for old, mask in before.items()
        for new, other in after.items()
        if old[0] == new[0] and (overlap := iou(mask, other)) >= MIN_IOU
    ]
    pairs, used_old, used_new = [], set(), set()
    for _, old, new in sorted(candidates, key=lambda item: item[0:3]):
        if old not in used_old and new not in used_new:
            pairs.append((old, new))
            used_old.add(old)
            used_new.add(new)
    return pairs


def agreement(frames: Sequence[Masks], adjacent: Sequence[bool]) -> Agreement:
    """What the adjacent frames say of the ids. adjacent[t]: frame t follows t - 1 closely."""
    _check(frames, adjacent)
    total = Agreement()
    for t in range(1, len(frames)):
        if adjacent[t]:
            total += _of_pair(frames[t - 1], frames[t])
    return total


def _of_pair(before: Masks, after: Masks) -> Agreement:
    several = {
        name
        for masks in (before, after)
        for name, _ in masks
        if sum(other == name for other, _ in masks) > 1
    }
    matches = match(before, after)
    shared = before.keys() & after.keys()
    return Agreement(
        pairs=1,
        matches=len(matches),
        contested=sum(old[0] in several for old, _ in matches),
        moved=sum(old != new for old, new in matches),
        same_key_iou=sum(iou(before[key], after[key]) for key in shared),
        same_key=len(shared),
    )


def by_id(frames: Sequence[Masks]) -> list[dict[Key, int]]:
    """Numbers 1, 2, .. of the keys in the order of their first appearance: ids are believed."""
    numbers: dict[Key, int] = {}
    for masks in frames:
        for key in masks:
            numbers.setdefault(key, len(numbers) + 1)
    return [{key: numbers[key] for key in masks} for masks in frames]


def by_overlap(frames: Sequence[Masks], adjacent: Sequence[bool]) -> list[dict[Key, int]]:
    """Numbers handed on along the matches; whatever is unmatched gets a new one."""
    _check(frames, adjacent)
    result: list[dict[Key, int]] = []
    highest = 0
    for t, masks in enumerate(frames):
        known: dict[Key, int] = {}
        if t and adjacent[t]:
            known = {new: result[-1][old] for old, new in match(frames[t - 1], masks)}
        numbers: dict[Key, int] = {}
        for key in masks:
            if key not in known:
                highest += 1
            numbers[key] = known.get(key, highest)
        result.append(numbers)
    return result


def _check(frames: Sequence[Masks], adjacent: Sequence[bool]) -> None:
    if len(frames) != len(adjacent):
        raise ValueError(
            f"Expected one `adjacent` per frame: {len(frames)}, found {len(adjacent)}."
        )
