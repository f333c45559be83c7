"""Boxes and track ids, from masks and from who is in the body.

Path:    stream, clip -> [tracks]
Axes:    boxes [O, 4]; track ids [O, 3]: visibility, intracorporeal, intraoperative.
Units:   boxes as surgjax.prompts.clicks.boxes_from_masks: x0 y0 x1 y1, the outermost columns and
         rows, all 0 for an empty mask. Ids count from 1 in order of appearance, each perspective
         for itself; -1 while nothing of the object is visible.
Source:  the three perspectives are those of CholecTrack20, arXiv:2312.07352.
Differs: an object that is wholly hidden, by another one or by the rim, counts as out of sight.
"""

import numpy as np

from surgjax.ops.masks import bounding_box

PERSPECTIVES = ("visibility", "intracorporeal", "intraoperative")


def boxes_of(label_map: np.ndarray, num_objects: int) -> np.ndarray:
    """[O, 4] float32 boxes of labels 1..O."""
    boxes = np.zeros((num_objects, 4), np.float32)
    for index in range(num_objects):
        boxes[index] = bounding_box(label_map == index + 1)
    return boxes


class TrackBook:
    """Gives out ids frame by frame.

    A visibility id lasts while the object is in sight, an intracorporeal one until it leaves the
    body, an intraoperative one for the whole operation.
    """

    def __init__(self, num_objects: int):
        self._current = np.full((num_objects, 3), -1, np.int32)
        self._next = [1, 1, 1]

    def update(self, visible: np.ndarray, in_body: np.ndarray) -> np.ndarray:
        """[O, 3] int32 ids of the next frame, from `visible` and `in_body`, each [O] bool."""
        self._current[~visible, 0] = -1
        self._current[~in_body, 1] = -1
        for index in np.flatnonzero(visible):
            for perspective in range(3):
                if self._current[index, perspective] < 0:
                    self._current[index, perspective] = self._next[perspective]
                    self._next[perspective] += 1
        return np.where(visible[:, None], self._current, np.int32(-1))


def track_ids_of(visible: np.ndarray, in_body: np.ndarray) -> np.ndarray:
    """[T, O, 3] int32 ids of a whole clip, from [T, O] bool."""
    if visible.shape != in_body.shape:
        raise ValueError(f"visible {visible.shape} and in_body {in_body.shape} differ.")
    book = TrackBook(visible.shape[1])
    rows = [book.update(v, b) for v, b in zip(visible, in_body, strict=True)]
    return np.stack(rows)
