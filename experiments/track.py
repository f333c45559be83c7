r"""Tracks prompted objects through a video and writes masks, an overlay and a summary.

  python -m experiments.track --video=PATH --prompts=FILE.json --output=DIR

Without --model and --checkpoint the bundled nano is used. After a kill the same command with
--resume goes on. `experiments.tracking` does the work.
"""

from absl import app, flags

from experiments import track_flags
from experiments.command import command
from experiments.track_options import TrackOptions
from experiments.tracking import TrackStopped, run
from surgjax.inference.devices import DeviceError

_VIDEO = flags.DEFINE_string(
    "video", None, "Video file, folder of JPEG/PNG, or one image.", required=True
)
_PROMPTS = flags.DEFINE_string(
    "prompts", None, "Prompts: JSON in pixels, or a palette PNG.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results.", required=True)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the results in --output.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the interrupted run in --output.")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("track", argv, errors=(DeviceError, TrackStopped)):
        options = TrackOptions(
            video=_VIDEO.value,
            prompts=_PROMPTS.value,
            output=_OUTPUT.value,
            overwrite=_OVERWRITE.value,
            resume=_RESUME.value,
            **track_flags.values(),
        )
        run(options)


if __name__ == "__main__":
    app.run(main)
