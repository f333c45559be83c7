r"""Serves a page on which objects of a video are prompted, tracked, corrected and exported.

  python -m experiments.annotate --video=PATH

Only this machine can open the page, with the address that is printed; from elsewhere through
`ssh -L`, as printed too. Without --model and --checkpoint the bundled nano is used.
`experiments.annotation.launcher` does the work.
"""

import dataclasses
from typing import Any

from absl import app, flags

from experiments.annotation.launcher import AnnotateOptions, run
from experiments.command import command
from experiments.track_options import MEMORIES, MODELS, PRECISIONS

flags.DEFINE_string("video", None, "Video file, folder of JPEG/PNG, or one image.", required=True)
flags.DEFINE_string("output", None, "Folder to keep everything in. Default: VIDEO_annotations.")
flags.DEFINE_string("prompts", None, "Prompts to begin with: JSON in pixels, or a palette PNG.")
flags.DEFINE_string("checkpoint", None, ".pt, .safetensors or Orbax folder.")
flags.DEFINE_enum("model", None, MODELS, "Default: nano, or what --checkpoint holds.")
flags.DEFINE_integer("image_size", None, "Default: 256 for nano, else 1024.")
flags.DEFINE_enum("precision", "fp32", PRECISIONS, "Compute precision.")
flags.DEFINE_enum("memory", "recent", MEMORIES, "Which frames are remembered.")
flags.DEFINE_string("memory_options", "", "Of that policy: delta=30,long=3,gamma=0.9.")
flags.DEFINE_bool("random_weights", False, "Untrained weights, to try the command.")
flags.DEFINE_integer("port", None, "Default: 8765, or any that is free where it is taken.")
flags.DEFINE_bool("open_browser", False, "Open the page in this machine's browser.")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("annotate", argv):
        names = [field.name for field in dataclasses.fields(AnnotateOptions)]
        values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        run(AnnotateOptions(**values))


if __name__ == "__main__":
    app.run(main)
