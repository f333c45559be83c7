"""What tests of several commands start from."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.track_options import TrackOptions
from tests.experiments.scripted_tracking import HEIGHT, WIDTH, write_video


@pytest.fixture
def job(tmp_path):
    """Options for a ten-frame video with objects 1 (frame 2) and 2 (frames 5 and 3)."""
    write_video(tmp_path / "video.mp4")
    Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)).save(tmp_path / "m.png")
    prompts = {
        "objects": [
            {"id": 1, "name": "grasper", "prompts": [{"frame": 2, "points": [[8, 9]]}]},
            {
                "id": 2,
                "prompts": [{"frame": 5, "mask": "m.png"}, {"frame": 3, "box": [1, 2, 30, 40]}],
            },
        ]
    }
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))

    def make(**changes):
        values = {
            "video": str(tmp_path / "video.mp4"),
            "prompts": str(tmp_path / "prompts.json"),
            "output": str(tmp_path / "out"),
        }
        return TrackOptions(**{**values, **changes})

    return make
