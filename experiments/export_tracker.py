r"""Writes a tracker as compiled programs of fixed shapes, which run without the model's code.

  python -m experiments.export_tracker --output=DIR [--checkpoint=FILE] [--objects=4]

The folder is reloaded and must track the bundled clip as the model itself does.
"""

import dataclasses
import importlib.resources
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from experiments.command import command
from experiments.track_options import MEMORIES, MODELS, PRECISIONS, check_model
from surgjax.checkpoints.atomic import atomic_folder, check_output_folder
from surgjax.checkpoints.errors import CheckpointError
from surgjax.inference.export import FILES, check, export_tracker
from surgjax.inference.frames import open_video
from surgjax.inference.programs import PRECISIONS as DTYPES
from surgjax.inference.stream import Stream
from surgjax.inference.weights import load_weights
from surgjax.memory.registry import options_for, stated

_FRAMES = 12  # longer than the short window of memories
_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}  # of the range of mask logits


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """The flags of the command; the same names and defaults."""

    output: str
    checkpoint: str | None = None
    model: str | None = None
    image_size: int | None = None
    precision: str = "fp32"
    memory: str = "recent"
    memory_options: str = ""
    objects: int = 4
    points: int = 4
    platforms: tuple[str, ...] = ()
    random_weights: bool = False
    overwrite: bool = False


def run(options: ExportOptions, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Writes the folder and says what is in it."""
    check_model(options)
    check_output_folder(options.output, options.overwrite)
    backend = jax.default_backend()
    here = {"gpu": "cuda"}.get(backend, backend)
    if options.platforms and here not in options.platforms:
        raise ValueError(
            f"--platforms={','.join(options.platforms)}: {here} expected among them; the folder is "
            "reloaded and checked on this machine."
        )
    policy = options_for(options.memory, options.memory_options)
    name = options.checkpoint or options.model or "nano"
    params, config, sha256 = load_weights(name, options.image_size, options.random_weights)
    if options.checkpoint and options.model not in (None, config.name):
        raise ValueError(f"--model={options.model}, but {name} holds {config.name}.")
    stream = Stream.create(
        config, DTYPES[options.precision], memory=options.memory, memory_options=policy
    )
    about = {
        "model": config.name,
        "weights": "random" if options.random_weights else name,
        "weights_sha256": sha256,
        "precision": options.precision,
        "memory": stated(options.memory, policy),
    }
    with atomic_folder(options.output, options.overwrite, FILES) as work:
        say(f"lowering {config.name}, {config.image_size} px, {options.objects} objects...")
        shapes = (options.objects, options.points, options.platforms)
        export_tracker(work, stream, params, *shapes, about=about)
        say(f"reloading, and tracking {_FRAMES} frames of the bundled clip with both...")
        frames = _frames(config.image_size)
        worst = check(work, stream, params, frames, _TOLERANCE[options.precision])
        sizes = {file: (work / file).stat().st_size for file in FILES}
    say(f"largest difference of mask logits after reloading: {worst:.2g} of their range")
    say("results:\n" + "\n".join(f"  {options.output}/{k}: {n:,} bytes" for k, n in sizes.items()))
    return {"difference": worst, "sizes": sizes}


def _frames(side: int) -> list[np.ndarray]:
    asset = importlib.resources.files("surgjax").joinpath("assets", "demo_clip.mp4")
    with importlib.resources.as_file(asset) as path, open_video(path) as source:
        images = [Image.fromarray(source[t]) for t in range(_FRAMES)]
    return [np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in images]


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("export_tracker", argv, errors=(CheckpointError,)):
        values: dict[str, Any] = {flag.name: flag.value for flag in _FLAGS}
        values["platforms"] = tuple(values["platforms"])
        run(ExportOptions(**values))


_FLAGS = (
    flags.DEFINE_string("output", None, "Folder to write.", required=True),
    flags.DEFINE_string("checkpoint", None, ".pt, .safetensors or Orbax folder."),
    flags.DEFINE_enum("model", None, MODELS, "Default: nano, or what --checkpoint holds."),
    flags.DEFINE_integer("image_size", None, "Default: 256 for nano, else 1024."),
    flags.DEFINE_enum("precision", "fp32", PRECISIONS, "Compute precision."),
    flags.DEFINE_enum("memory", "recent", MEMORIES, "Which frames are remembered."),
    flags.DEFINE_string("memory_options", "", "Of that policy: delta=30,long=3,gamma=0.9."),
    flags.DEFINE_integer("objects", 4, "Object slots; those that are empty cost nothing."),
    flags.DEFINE_integer("points", 4, "Clicks of one object on one frame, a box being two."),
    flags.DEFINE_list("platforms", [], "cpu, cuda, rocm, tpu; default: this machine's."),
    flags.DEFINE_bool("random_weights", False, "Untrained weights, to try the command."),
    flags.DEFINE_bool("overwrite", False, "Write into a folder that is not empty."),
)


if __name__ == "__main__":
    app.run(main)
