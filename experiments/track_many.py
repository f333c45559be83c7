r"""Tracks a list of videos: each once, shared out between processes, resumable.

  python -m experiments.track_many --list=videos.jsonl --output=DIR
  python -m experiments.track_many --list=videos.jsonl --output=DIR --share=0/4

Run again, it does what is missing or has failed. `experiments.many_videos` does the work.
"""

import sys

from absl import app, flags

from experiments import track_flags
from experiments.command import command
from experiments.many_videos import ManyVideos
from experiments.track_options import TrackOptions
from surgjax.evaluation.shares import find_share, place_on_machine
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.devices import (
    DeviceError,
    describe_devices,
    require_accelerator,
    use_one_gpu,
)

_LIST = flags.DEFINE_string(
    "list", None, "JSON lines or CSV: video, prompts, output.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for masks and the report.", required=True)
_SHARE = flags.DEFINE_string(
    "share", None, "K/N: every N-th video, from K on. Default: SLURM's array and tasks, else all."
)


def main(argv: list[str]) -> None:
    """Parses flags; exit status 1 for bad input, and where a video of this process failed."""
    with command(
        "track_many",
        argv,
        errors=(DeviceError,),
        interrupted="interrupted; the same command goes on where it was.",
    ):
        share, source = find_share(_SHARE.value)
        options = TrackOptions(video="", prompts="", output="", **track_flags.values())
        many = ManyVideos.open(_LIST.value, _OUTPUT.value, options, share)
        print(f"share: {share} ({source})", flush=True)
        use_one_gpu(place_on_machine(share))
        if options.require_accelerator:
            require_accelerator()
        print(f"device: {describe_devices()}", flush=True)
        enable_cache()
        failed = many.run(lambda text: print(text, flush=True))
    if failed:
        sys.exit(f"track_many: videos that failed: {failed}; the same command tries them again.")


if __name__ == "__main__":
    app.run(main)
