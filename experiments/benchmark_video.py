r"""Speed, memory and share of the roofline of video tracking, alone or beside a peer.

  python -m experiments.benchmark_video --model=tiny --image_size=512 --compare=torch

Prints a table; --output=FILE.json keeps the figures. What they mean: docs/performance.md. The work
is in `experiments.video_benchmark`, imported only after --threads has taken effect.
"""

import dataclasses
import os
from typing import Any

from absl import app, flags

from experiments.command import command
from experiments.video_benchmark.options import (
    MODELS,
    PEERS,
    PRECISIONS,
    BenchmarkOptions,
    check_options,
    use_threads,
)

flags.DEFINE_enum("model", None, MODELS, "Default: nano, or what --checkpoint holds.")
flags.DEFINE_string("checkpoint", None, ".pt, .safetensors or Orbax folder; else random weights.")
flags.DEFINE_integer("image_size", None, "Default: the model's own.")
flags.DEFINE_enum("precision", "fp32", PRECISIONS, "Compute precision of our side.")
flags.DEFINE_string("memory", "recent", "Which frames are remembered, as in experiments.track.")
flags.DEFINE_string("memory_options", "", "Of that policy: delta=30,long=3,gamma=0.9.")
flags.DEFINE_integer("objects", 1, "Objects, prompted by boxes on the first frame.")
flags.DEFINE_integer("streams", 1, "Videos at once, in one program.")
flags.DEFINE_integer("chunk", 1, "Frames in one program; masks come together then.")
flags.DEFINE_integer("frames", 48, "Frames of the video; the first 8 (or whole chunks) warm up.")
flags.DEFINE_string("video", None, "Video or folder of frames; default: the bundled clip.")
flags.DEFINE_integer("threads", None, "Processors of this process; default: all it may use.")
flags.DEFINE_enum("compare", None, PEERS, "Also transformers (torch) or the original code.")
flags.DEFINE_string("official_repo", None, "Checkout of facebookresearch/sam2.")
flags.DEFINE_enum("peer_autocast", None, ("bf16",), "Runs the peer under torch's autocast.")
flags.DEFINE_bool("peer_compile", False, "The peer's parts go through torch.compile.")
flags.DEFINE_integer("rounds", None, "Turns that the sides take, with --compare; default 5.")
flags.DEFINE_bool("memory_runs", True, "Measure peak memory; with --compare in runs of their own.")
flags.DEFINE_string("output", None, "JSON file for the figures.")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("benchmark_video", argv):
        names = [field.name for field in dataclasses.fields(BenchmarkOptions)]
        values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        options = BenchmarkOptions(**values)
        check_options(options)
        threads = use_threads(options.threads)
        if options.compare:  # else JAX takes most of a GPU's memory and leaves the peer none
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        from experiments.video_benchmark.run import run

        run(options, threads)


if __name__ == "__main__":
    app.run(main)
