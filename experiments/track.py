r"""Tracks prompted objects through a video and writes masks, an overlay and a summary.

  python -m experiments.track --video=PATH --prompts=FILE.json --output=DIR

Without --model and --checkpoint the bundled nano is used. `experiments.tracking` does the work.
"""

import dataclasses
from typing import Any

from absl import app, flags

from experiments.command import command
from experiments.tracking import (
    DIRECTIONS,
    MEMORIES,
    MODELS,
    PRECISIONS,
    TrackOptions,
    TrackStopped,
    run,
)
from surgjax.inference.devices import DeviceError

flags.DEFINE_string("video", None, "Video file, folder of JPEG/PNG, or one image.", required=True)
flags.DEFINE_string("prompts", None, "Prompts: JSON in pixels, or a palette PNG.", required=True)
flags.DEFINE_string("output", None, "Folder for the results.", required=True)
flags.DEFINE_string("checkpoint", None, ".pt, .safetensors or Orbax folder.")
flags.DEFINE_enum("model", None, MODELS, "Default: nano, or what --checkpoint holds.")
flags.DEFINE_integer("image_size", None, "Default: 256 for nano, else 1024.")
flags.DEFINE_enum("precision", "fp32", PRECISIONS, "Compute precision.")
flags.DEFINE_enum("memory", "recent", MEMORIES, "Which frames are remembered.")
flags.DEFINE_string("memory_options", "", "Of that policy: delta=30,long=3,gamma=0.9.")
flags.DEFINE_enum("direction", "forward", DIRECTIONS, "Way through the video.")
flags.DEFINE_bool("per_object_masks", False, "Also masks_per_object/<id>/.")
flags.DEFINE_bool("overwrite", False, "Replace the results in --output.")
flags.DEFINE_float("fps", 25.0, "Of overlay.mp4 where the source has no frame rate.")
flags.DEFINE_bool("require_accelerator", False, "Fail where there is only a CPU.")
flags.DEFINE_bool("random_weights", False, "Untrained weights, to try the command.")
flags.DEFINE_string("text_bank", None, "Bank of text vectors: also says what objects are.")
flags.DEFINE_bool("per_frame_classes", False, "Also classes.csv, with --text_bank.")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("track", argv, errors=(DeviceError, TrackStopped)):
        names = [field.name for field in dataclasses.fields(TrackOptions)]
        values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        run(TrackOptions(**values))


if __name__ == "__main__":
    app.run(main)
