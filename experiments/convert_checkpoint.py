"""Converts a SAM 2 checkpoint: official .pt, Hugging Face safetensors or our own, to any of them.

python -m experiments.convert_checkpoint --input=FILE --output=DIR
    [--format=orbax|safetensors|pt|hugging_face] [--overwrite]
"""

import sys

from absl import app, flags

from surgjax.checkpoints import conversion
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.fingerprint import format_table

_INPUT = flags.DEFINE_string(
    "input",
    None,
    'Official .pt, .safetensors, a folder with one of them, or "nano".',
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format", "orbax", conversion.FORMATS, "How to write the weights; orbax is our own folder."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Write into a folder that is not empty.")


def run(source: str, output: str, output_format: str = "orbax", overwrite: bool = False) -> None:
    """Converts and prints the table of tensors."""
    done = conversion.convert(source, output, output_format, overwrite)
    config = done.loaded.config
    print(format_table(done.records))
    print(f"{done.loaded.kind}: SAM {config.version} {config.name}, {len(done.records)} tensors")
    print(f"input sha256    {done.loaded.sha256}  {done.loaded.source}")
    print(f"content sha256  {done.content_sha256}")
    print(f"wrote {', '.join(done.files)} to {output}")


def main(_):
    try:
        run(_INPUT.value, _OUTPUT.value, _FORMAT.value, _OVERWRITE.value)
    except CheckpointError as error:
        sys.exit(f"convert_checkpoint: {error}")
    except OSError as error:
        sys.exit(f"convert_checkpoint: cannot write --output {_OUTPUT.value} ({error}).")


if __name__ == "__main__":
    app.run(main)
