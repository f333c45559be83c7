"""What can be undone, and done again.

Path:    session -> [history] -> session
Errors:  EditError where nothing is left.
Source:  ours.
Differs: nothing to compare with. It holds values before and after, not pictures: a thousand edits
         take as much room as what was said in them.
"""

from typing import NamedTuple

from surgjax.annotation.document import Item
from surgjax.annotation.errors import EditError
from surgjax.annotation.tracker import Mark

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

    def __init__(self) -> None:
        self._done: list[Edit] = []
        self._undone: list[Edit] = []

    @property
    def undo_label(self) -> str | None:
        return self._done[-1].label if self._done else None

    @property
    def redo_label(self) -> str | None:
        return self._undone[-1].label if self._undone else None

    def add(self, edit: Edit) -> None:
        self._done = [*self._done[-LIMIT + 1 :], edit]
        self._undone = []

    def undo(self) -> Edit:
        if not self._done:
            raise EditError("There is nothing to undo.")
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Edit:
        if not self._undone:
            raise EditError("There is nothing to do again.")
        self._done.append(self._undone.pop())
        return self._done[-1]

    def clear(self) -> None:
        self._done, self._undone = [], []
