"""What can be undone, and done again; it outlives the process.

Path:    session -> [history] -> session
Errors:  EditError where nothing is left.
Source:  ours.
Differs: nothing to compare with. It holds values before and after, not pictures: a thousand edits
         take as much room as what was said in them. On disk it is a journal, one line for each
         edit, undo or redo.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from surgjax.annotation.document import Document, Item, Marks
from surgjax.annotation.errors import EditError
from surgjax.annotation.tracker import Mark
from surgjax.inference.mask_writer import write_file

FILE = "history.jsonl"
LIMIT = 1000  # edits


class Edit(NamedTuple):
    """One object before and after; None where it was not there."""

    label: str
    before: Item | None
    after: Item | None
    place: int | None  # in the list of objects
    frame: int | None  # that the edit was on
    mark: Mark | None  # the object's masks before the edit


class History:
    """Edits in order, and a place among them."""

    def __init__(self, path: Path, document: Document):
        """What `path` holds. Where that does not lead to this document, because prompts.json was
        edited by hand or a kill came before the last line, the difference is an edit, too."""
        self._path = path
        self._done: list[Edit] = []
        self._undone: list[Edit] = []
        self._is_torn = False
        try:
            self._read()
        except (ValueError, KeyError, IndexError, TypeError) as error:
            logging.warning("%s cannot be read (%s): edits before now are final", path, error)
            self._done, self._undone = [], []
        missing = self._missing(document)
        if missing:
            self._done, self._undone = [*self._done, *missing], []
        self._rewrite()

    @property
    def undo_label(self) -> str | None:
        done = self._done  # replaced, never changed: other threads ask, too
        return done[-1].label if done else None

    @property
    def redo_label(self) -> str | None:
        undone = self._undone
        return undone[-1].label if undone else None

    @property
    def items(self) -> Iterable[Item]:
        """All that may come back."""
        edits = (*self._done, *self._undone)
        return [item for e in edits for item in (e.before, e.after) if item is not None]

    def add(self, edit: Edit) -> None:
        self._done = [*self._done[-LIMIT + 1 :], edit]
        self._undone = []
        self._write([_as_json(edit)])

    @property
    def last_done(self) -> Edit:
        """What `undo` would take back."""
        if not self._done:
            raise EditError("There is nothing to undo.")
        return self._done[-1]

    @property
    def last_undone(self) -> Edit:
        """What `redo` would do again."""
        if not self._undone:
            raise EditError("There is nothing to do again.")
        return self._undone[-1]

    def undo(self) -> None:
        """The last edit has been taken back."""
        self._undone = [*self._undone, self.last_done]
        self._done = self._done[:-1]
        self._write(["undo"])

    def redo(self) -> None:
        """What was undone last has been done again."""
        self._done = [*self._done, self.last_undone]
        self._undone = self._undone[:-1]
        self._write(["redo"])

    def clear(self) -> None:
        self._done, self._undone = [], []
        self._rewrite()

    # ---- the journal ---------------------------------------------------------------------------

    def _write(self, lines: list[Any]) -> None:
        if self._is_torn:
            self._rewrite()
            return
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            self._is_torn = True  # the last line may be half of one, and another must not follow it
            raise

    def _rewrite(self) -> None:
        lines = [_as_json(edit) for edit in (*self._done, *self._undone[::-1])]
        lines += ["undo"] * len(self._undone)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_file(self._path, text.encode())
        self._is_torn = False

    def _read(self) -> None:
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):  # a kill came while it was written
                return
            said = json.loads(line)
            if said == "undo":
                self._undone.append(self._done.pop())
            elif said == "redo":
                self._done.append(self._undone.pop())
            else:
                self._done, self._undone = [*self._done, _from_json(said)], []

    def _missing(self, document: Document) -> list[Edit]:
        """What leads from the objects that the edits have made to those of the document."""
        there = {item.object_id: item for item in document}
        seen: dict[int, Item | None] = {}
        for edit in self._done:
            seen[_id_of(edit)] = edit.after
        for edit in self._undone:  # the last one undone comes last
            seen[_id_of(edit)] = edit.before
        changes = {o: (item, there.get(o)) for o, item in seen.items() if there.get(o) != item}
        return [
            Edit("change made elsewhere", before, after, None, None, None)
            for before, after in changes.values()
            if before is not None or after is not None
        ]


def _id_of(edit: Edit) -> int:
    item = edit.after or edit.before
    assert item is not None
    return item.object_id


def _as_json(edit: Edit) -> dict[str, Any]:
    items = {"before": edit.before, "after": edit.after}
    return edit._asdict() | {name: item and _item_as_json(item) for name, item in items.items()}


def _from_json(said: dict[str, Any]) -> Edit:
    before, after = (None if said[n] is None else _item(said[n]) for n in ("before", "after"))
    mark = None
    if said["mark"] is not None:
        fresh, writes, tracks = said["mark"]
        mark = Mark(None if fresh is None else (fresh[0], fresh[1]), writes, tracks)
    return Edit(said["label"], before, after, said["place"], said["frame"], mark)


def _item_as_json(item: Item) -> dict[str, Any]:
    marks = [each.entry(frame) for frame, each in item.marks.items()]
    return {"id": item.object_id, "name": item.name, "marks": marks}


def _item(said: dict[str, Any]) -> Item:
    marks = {}
    for entry in said["marks"]:
        points = tuple((p[0], p[1]) for p in entry.get("points", ()))
        box = entry.get("box")
        marks[entry["frame"]] = Marks(
            points,
            tuple(entry.get("labels", ())),
            None if box is None else tuple(box),
            entry.get("mask"),
            entry.get("correction", False),
        )
    return Item(said["id"], said["name"], marks)
