"""What an annotator has said about a video: objects with their prompts, as immutable values.

Path:    edits -> [document] -> prompts.json, tracker
Axes:    points (x, y), box (x0, y0, x1, y1).
Units:   pixels of the video, integers, column first; frame indices count decoded frames from 0.
Errors:  EditError, one sentence for the annotator.
Source:  ours; the file is that of `surgjax.inference.prompt_file`.
Differs: nothing to compare with. Every edit makes a new value, so an earlier one can come back.
"""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

from surgjax.annotation.errors import EditError
from surgjax.inference.programs import POINT_BUCKETS
from surgjax.inference.prompt_file import MAX_OBJECT_ID

MAX_POINTS = POINT_BUCKETS[-1] - 2  # a box is two more
MAX_NAME = 80


@dataclasses.dataclass(frozen=True)
class Marks:
    """What was said about one object on one frame: points and a box, or a painted mask."""

    points: tuple[tuple[float, float], ...] = ()  # integers but in files made elsewhere
    labels: tuple[int, ...] = ()
    box: tuple[float, ...] | None = None
    mask: str | None = None  # the name of its file, which says what is in it
    is_correction: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.points or self.box or self.mask)

    @property
    def key(self) -> int:
        """A number that tells answers to other marks from answers to these."""
        said = (self.points, self.labels, self.box, self.mask, self.is_correction)
        return zlib.crc32(repr(said).encode()) or 1  # 0 is no answer

    def entry(self, frame: int) -> dict[str, Any]:
        """As prompts.json has it."""
        out: dict[str, Any] = {"frame": frame}
        if self.points:
            out |= {"points": [list(p) for p in self.points], "labels": list(self.labels)}
        if self.box is not None:
            out["box"] = list(self.box)
        if self.mask is not None:
            out["mask"] = self.mask
        if self.is_correction:
            out["correction"] = True
        return out


@dataclasses.dataclass(frozen=True)
class Item:
    """One object: its marks by frame, never changed in place."""

    object_id: int
    name: str | None = None
    marks: Mapping[int, Marks] = dataclasses.field(default_factory=dict)

    @property
    def anchors(self) -> list[int]:
        """Frames whose marks are no corrections, sorted: the object is tracked from the first."""
        return sorted(f for f, marks in self.marks.items() if not marks.is_correction)

    def with_marks(self, frame: int, marks: Marks) -> "Item":
        """With other marks on a frame, or none where they are empty.

        Where only corrections would be left, the first of them becomes the start.
        """
        kept = {f: m for f, m in self.marks.items() if f != frame}
        if not marks.is_empty:
            kept[frame] = marks
        if kept and all(m.is_correction for m in kept.values()):
            first = min(kept)
            kept[first] = dataclasses.replace(kept[first], is_correction=False)
        return dataclasses.replace(self, marks=dict(sorted(kept.items())))


Document = tuple[Item, ...]


def find(document: Document, object_id: int) -> Item:
    """The object; EditError where there is none."""
    for item in document:
        if item.object_id == object_id:
            return item
    known = ", ".join(str(item.object_id) for item in document) or "none"
    raise EditError(f"There is no object {object_id} (objects: {known}).")


def put(
    document: Document, item: Item | None, object_id: int, place: int | None = None
) -> Document:
    """With the object replaced, added (at `place`, else at the end), or, with None, taken out."""
    ids = [other.object_id for other in document]
    if object_id in ids:
        at = ids.index(object_id)
        return (*document[:at], *(() if item is None else (item,)), *document[at + 1 :])
    if item is None:
        return document
    at = len(document) if place is None else place
    return (*document[:at], item, *document[at:])


def free_id(document: Document, used: set[int]) -> int:
    """The smallest id above all that were ever used, or else one that is free again."""
    taken = {item.object_id for item in document}
    highest = max(taken | used, default=0)
    if highest < MAX_OBJECT_ID:
        return highest + 1
    for object_id in range(1, MAX_OBJECT_ID + 1):
        if object_id not in taken:
            return object_id
    raise EditError(f"There are {MAX_OBJECT_ID} objects, which is as many as masks can tell apart.")


def checked_name(name: Any) -> str | None:
    """A name without blanks around it; None for an empty one."""
    if name is None:
        return None
    name = " ".join(str(name).split())
    if len(name) > MAX_NAME:
        raise EditError(f"A name has at most {MAX_NAME} characters, this one {len(name)}.")
    return name or None


def add_point(marks: Marks, x: int, y: int, label: int) -> Marks:
    """With one more point; EditError where it says nothing new or the contrary of another."""
    if marks.mask is not None:
        raise EditError(
            "This frame has a painted mask: change it with brush and eraser, or clear it first."
        )
    for point, old in zip(marks.points, marks.labels, strict=True):
        if point == (x, y):
            kind = "positive" if old else "negative"
            raise EditError(f"The pixel ({x}, {y}) has a {kind} point already.")
    if not label and not (marks.is_correction or 1 in marks.labels or marks.box):
        raise EditError("The first mark of an object says where it is: a positive point or a box.")
    if len(marks.points) >= MAX_POINTS:
        raise EditError(f"A frame takes at most {MAX_POINTS} points of one object.")
    points, labels = (*marks.points, (x, y)), (*marks.labels, label)
    return dataclasses.replace(marks, points=points, labels=labels)


def set_box(marks: Marks, box: tuple[int, int, int, int]) -> Marks:
    """With this box in the place of an earlier one."""
    if marks.mask is not None:
        raise EditError(
            "This frame has a painted mask: change it with brush and eraser, or clear it first."
        )
    return dataclasses.replace(marks, box=box)


def set_mask(marks: Marks, name: str) -> Marks:
    """With a painted mask, which stands alone."""
    return Marks(mask=name, is_correction=marks.is_correction)
