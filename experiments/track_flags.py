"""The flags that `track` and `track_many` have in common; importing this defines them."""

from typing import Any

from absl import flags

from experiments.track_options import DIRECTIONS, MEMORIES, MODELS, PRECISIONS, TrackOptions

_DEFAULT = TrackOptions("", "", "")
_FLAGS = (
    flags.DEFINE_string("checkpoint", None, ".pt, .safetensors or Orbax folder."),
    flags.DEFINE_enum("model", None, MODELS, "Default: nano, or what --checkpoint holds."),
    flags.DEFINE_integer("image_size", None, "Default: 256 for nano, else 1024."),
    flags.DEFINE_enum("precision", _DEFAULT.precision, PRECISIONS, "Compute precision."),
    flags.DEFINE_enum("memory", _DEFAULT.memory, MEMORIES, "Which frames are remembered."),
    flags.DEFINE_string("memory_options", "", "Of that policy: delta=30,long=3,gamma=0.9."),
    flags.DEFINE_enum("direction", _DEFAULT.direction, DIRECTIONS, "Way through the video."),
    flags.DEFINE_bool("per_object_masks", False, "Also masks_per_object/<id>/."),
    flags.DEFINE_integer(
        "snapshot_every", _DEFAULT.snapshot_every, "Frames between snapshots to go on from."
    ),
    flags.DEFINE_integer("chunk", _DEFAULT.chunk, "Frames that one program tracks; 8 on a GPU."),
    flags.DEFINE_float("fps", _DEFAULT.fps, "Of overlay.mp4 where the source has no frame rate."),
    flags.DEFINE_bool("require_accelerator", False, "Fail where there is only a CPU."),
    flags.DEFINE_bool("random_weights", False, "Untrained weights, to try the command."),
    flags.DEFINE_string("text_bank", None, "Bank of text vectors: also says what objects are."),
    flags.DEFINE_bool("per_frame_classes", False, "Also classes.csv, with --text_bank."),
)


def values() -> dict[str, Any]:
    """Of `TrackOptions`, by name."""
    return {flag.name: flag.value for flag in _FLAGS}
