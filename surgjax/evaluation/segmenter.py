"""What a promptable video model must be able to do to be scored, ours or a peer's.

Path:    VideoPredictor, or a peer's in a few lines -> [Segmenter] -> interactive protocols
Axes:    frames uint8 [T, H, W, 3] RGB; masks bool [H, W].
Units:   points_xy and box_xyxy in pixels of the frame, a box with its last pixel included; frames
         count from 0.
Errors:  ValueError for a prompt without content, a mask with clicks, or clicks without labels.
Source:  ours; the calls are those of SAM 2's video predictor (add_new_points_or_box, add_new_mask,
         propagate_in_video).
Differs: a prompt replaces what the object had on that frame, so whoever drives a model hands over
         all clicks so far, and no model needs to remember them.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

Masks = Mapping[int, np.ndarray]  # object id -> bool [H, W]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """All that is said about one object on one frame: clicks and / or a box, or a mask."""

    points_xy: np.ndarray | None = None  # float [N, 2]
    labels: np.ndarray | None = None  # int [N], 1 on the object, 0 beside it
    box_xyxy: np.ndarray | None = None  # float [4]
    mask: np.ndarray | None = None  # bool [H, W]

    def __post_init__(self):
        if self.points_xy is None and self.box_xyxy is None and self.mask is None:
            raise ValueError("a prompt needs points, a box or a mask, found none of them.")
        if self.mask is not None and (self.points_xy is not None or self.box_xyxy is not None):
            raise ValueError("a mask is a prompt by itself, found points or a box beside it.")
        points, labels = (0 if a is None else len(a) for a in (self.points_xy, self.labels))
        if points != labels:
            raise ValueError(f"every point needs a label, found {points} points, {labels} labels.")


class Tracking(Protocol):
    """One video, opened; objects are named by ids of the caller's choice."""

    def prompt(self, frame: int, object_id: int, prompt: Prompt) -> np.ndarray:
        """The object's mask on that frame, bool [H, W]. Later propagation knows the prompt."""
        ...

    def propagate(self, start: int, reverse: bool = False) -> Iterator[tuple[int, Masks]]:
        """Every object's mask on each frame from `start` on (backward: from `start` down to 0)."""
        ...

    def close(self) -> None:
        """Frees what the video took."""
        ...


class Segmenter(Protocol):
    """A model ready to open videos."""

    name: str

    def open(self, frames: Any) -> Tracking:
        """A video: uint8 [T, H, W, 3], or a folder or file that the model can read itself."""
        ...
