"""Our video predictor as a Segmenter, so that protocols drive it as they drive any other model.

Path:    VideoPredictor -> [OurSegmenter] -> interactive protocols
Axes:    frames uint8 [T, H, W, 3] RGB; masks bool [H, W] at the size of the video.
Units:   points and boxes in pixels of the video; frame indices count from 0.
Errors:  ValueError naming object and frame, from the predictor: prompts outside the frame, or a
         tracked frame that is prompted again while the predictor keeps no records.
Source:  ours.
Differs: as the predictor: an object has no mask (all False) before its first prompted frame in the
         direction of travel, and backward from frame 0 nothing is yielded.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from surgjax.evaluation.segmenter import Masks, Prompt
from surgjax.inference import VideoPredictor
from surgjax.inference.session import VideoState
from surgjax.inference.video_engine import Frame


class OurTracking:
    """One open video of a `VideoPredictor`. Propagations may follow each other, either way."""

    def __init__(self, predictor: VideoPredictor, state: VideoState):
        self.predictor, self.state = predictor, state

    def prompt(self, frame: int, object_id: int, prompt: Prompt) -> np.ndarray:
        """The object's mask on that frame; what it had been told there before is replaced."""
        if prompt.mask is not None:
            answer = self.predictor.add_new_mask(self.state, frame, object_id, prompt.mask)
        else:
            answer = self.predictor.add_new_points_or_box(
                self.state, frame, object_id, prompt.points_xy, prompt.labels, box=prompt.box_xyxy
            )
        return _masks(answer)[object_id]

    def propagate(self, start: int, reverse: bool = False) -> Iterator[tuple[int, Masks]]:
        """Every object's mask on each frame from `start` on."""
        for answer in self.predictor.propagate_in_video(self.state, start, reverse=reverse):
            yield answer[0], _masks(answer)

    def close(self) -> None:
        """Frees the temporary file and the video."""
        self.state.close()


def _masks(answer: Frame) -> dict[int, np.ndarray]:
    _, ids, logits = answer
    return {k: logit[0] > 0 for k, logit in zip(ids, logits, strict=True)}


class OurSegmenter:
    """A `VideoPredictor` under a name for reports.

    max_objects: what programs are compiled for when a video is opened; more objects may come.
    Rounds that correct a tracked frame need a predictor that keeps its records (its default).
    """

    def __init__(self, predictor: VideoPredictor, name: str = "surgjax", max_objects: int = 4):
        self.predictor, self.name, self.max_objects = predictor, name, max_objects

    def open(self, frames: Any) -> OurTracking:
        """A video: an array, a folder, a file, or whatever else the predictor opens."""
        state = self.predictor.init_state(frames, max_objects=self.max_objects)
        return OurTracking(self.predictor, state)
