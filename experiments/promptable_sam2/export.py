"""Writes the averaged parameters of a training checkpoint as official-layout safetensors.

python -m experiments.promptable_sam2.export --workdir RUN_DIR --output nano.safetensors

A finished run has written RUN_DIR/export already, of its last step; this takes any step that is
kept, `--best` the one with the best evaluation. `--blend FIRST` takes the mean of these parameters
and those of the checkpoint the run started from, which keeps more of what that one could
(weight-space interpolation, arXiv:2109.01903); `--share` is the weight of the run's own. What SAM2S
adds (semantic token, embedding of long memories) is the run's where FIRST lacks it; the output says
so. The model and the text bank it was trained with are those of RUN_DIR/config.json.
"""

from absl import app, flags

from experiments.command import command
from experiments.promptable_sam2.exporting import run

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Safetensors file to write.", required=True)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "Numbers in the file.")
_VARIANT = flags.DEFINE_string("variant", None, "Of a run without config.json; nano by default.")
_BEST = flags.DEFINE_bool("best", False, "The step with the best evaluation, not the newest.")
_STEP = flags.DEFINE_integer("step", None, "This step.")
_BLEND = flags.DEFINE_string(
    "blend", None, "Name, file or folder of weights to mix in; parts they lack are the run's."
)
_SHARE = flags.DEFINE_float("share", 0.5, "Weight of the run's parameters in the mix, 0..1.")
_BANK = flags.DEFINE_string(
    "text_bank", None, "Where the bank lies that the run was trained with, if it was moved."
)


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("export", argv):
        run(
            _WORKDIR.value,
            _OUTPUT.value,
            variant=_VARIANT.value,
            dtype=_DTYPE.value,
            best=_BEST.value,
            step=_STEP.value,
            first=_BLEND.value,
            share=_SHARE.value,
            bank=_BANK.value,
        )


if __name__ == "__main__":
    app.run(main)
