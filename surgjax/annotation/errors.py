"""What an annotation session says no to.

Path:    session -> [errors] -> experiments.annotation (a sentence on the page)
Units:   frames count from 0.
Source:  ours.
Differs: nothing to compare with.
"""


class EditError(ValueError):
    """Something that cannot be done, in one plain sentence; nothing has changed."""


class StaleError(EditError):
    """An export of masks that are out of date; `stale` is {object id: [[first, last], ...]}."""

    def __init__(self, message: str, stale: dict[int, list[list[int]]]):
        super().__init__(message)
        self.stale = stale
