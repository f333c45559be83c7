"""What a page is told of a session: its video, its model and its objects, as JSON has it.

Path:    session, document -> [describing] -> page
Axes:    none.
Units:   pixels of the video, x before y; frame indices count frames from 0; frames per second.
Errors:  none.
Source:  ours.
"""

from pathlib import Path
from typing import Any

import numpy as np

from surgjax.annotation.document import Item, Marks
from surgjax.inference.frames import FrameSource
from surgjax.inference.video import VideoPredictor
from surgjax.viz.overlay import object_colour

DEFAULT_FPS = 25.0  # of a folder of frames, which has no rate: for playing and for overlay.mp4


def describe_video(path: str | Path, frames: FrameSource) -> dict[str, Any]:
    """Its name, size and rate."""
    return {
        "name": Path(path).name,
        "path": str(path),
        "frames": len(frames),
        "width": frames.width,
        "height": frames.height,
        "fps": frames.fps or DEFAULT_FPS,
    }


def describe_model(predictor: VideoPredictor, memory: str) -> dict[str, Any]:
    """Its name and settings; `memory` is its policy in words."""
    return {
        "name": predictor.config.name,
        "image_size": predictor.config.image_size,
        "precision": np.dtype(predictor.programs.stream.dtype).name,
        "memory": memory,
    }


def describe_object(item: Item, fresh: tuple[int, int] | None) -> dict[str, Any]:
    """An object and its prompts; `fresh` are the first and last frame that are up to date."""
    red, green, blue = object_colour(item.object_id)
    return {
        "id": item.object_id,
        "name": item.name,
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
        "fresh": None if fresh is None else list(fresh),
        "prompts": [_describe_prompt(frame, marks) for frame, marks in item.marks.items()],
    }


def _describe_prompt(frame: int, marks: Marks) -> dict[str, Any]:
    return {
        "frame": frame,
        "points": [list(p) for p in marks.points],
        "labels": list(marks.labels),
        "box": None if marks.box is None else list(marks.box),
        "mask": marks.mask is not None,
        "correction": marks.is_correction,
    }
