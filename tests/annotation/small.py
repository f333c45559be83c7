"""A small video, a compiled debug predictor, and sessions on them."""

from pathlib import Path

import numpy as np
from PIL import Image

from experiments import tracking
from experiments.track_options import TrackOptions
from surgjax.annotation.session import AnnotationSession
from surgjax.inference import VideoPredictor
from surgjax.inference.mask_writer import read_palette_png
from surgjax.testing import debug_config, lively_params, moving_squares

FRAMES, HEIGHT, WIDTH = 20, 48, 80


def predictor():
    config = debug_config()
    return VideoPredictor(lively_params(config), config, keep_records=False)


def write_frames(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for t, frame in enumerate(moving_squares(FRAMES)):
        Image.fromarray(np.asarray(frame)).save(folder / f"{t:05d}.png")
    return folder


def finish(steps):
    """Runs an iterator to its end; what it returned, and its steps."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def tracked(predictor, video, prompts, output, direction):
    """The label maps that `experiments.track` writes for a prompts file."""
    options = TrackOptions(str(video), str(prompts), str(output), direction=direction)
    tracking.run(options, load=lambda _: predictor, say=lambda _: None)
    return {t: read_palette_png(output / "masks" / f"{t:05d}.png") for t in range(FRAMES)}


def open_session(predictor, video, output, **options) -> AnnotationSession:
    return AnnotationSession.open(predictor, video, output, **options)


def line(session, object_id=1):
    """An object's row of the timeline."""
    return session.timeline()["objects"][str(object_id)]


def states(session, object_id=1):
    """What the page is told of an object's masks, by frame."""
    return [session.masks(t)[1][object_id]["state"] for t in range(FRAMES)]


def pictures(session):
    """The label maps of all frames."""
    return np.stack([session.masks(t)[0] for t in range(FRAMES)])


def marks(session, place=0):
    """The prompts of the object at a place."""
    return session.describe()["objects"][place]["prompts"]
