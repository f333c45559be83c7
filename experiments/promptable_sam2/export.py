"""Writes the averaged parameters of a training checkpoint as official-layout safetensors.

python -m experiments.promptable_sam2.export --workdir RUN_DIR --output nano.safetensors

A finished run has written RUN_DIR/export already, of its last step; this takes any step that is
kept, `--best` the one with the best evaluation. `--blend FIRST` takes the mean of these parameters
and those of the checkpoint the run started from, which keeps more of what that one could
(weight-space interpolation, arXiv:2109.01903); `--share` is the weight of the run's own.
"""

from absl import app, flags

from experiments.promptable_sam2.blending import blend
from surgjax import checkpoints
from surgjax.models import sam2, variants
from surgjax.train.averaged import averaged_params, best_step

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Safetensors file to write.", required=True)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "Numbers in the file.")
_VARIANT = flags.DEFINE_string("variant", "nano", "Variant that was trained.")
_BEST = flags.DEFINE_bool("best", False, "The step with the best evaluation, not the newest.")
_STEP = flags.DEFINE_integer("step", None, "This step.")
_BLEND = flags.DEFINE_string("blend", None, "Name, file or folder of weights to mix in.")
_SHARE = flags.DEFINE_float("share", 0.5, "Weight of the run's parameters in the mix, 0..1.")


def main(_):
    if _BEST.value and _STEP.value is not None:
        raise app.UsageError("--best and --step: give one of them.")
    wanted = best_step(_WORKDIR.value) if _BEST.value else _STEP.value
    params, step = averaged_params(_WORKDIR.value, _VARIANT.value, step=wanted)
    if _BLEND.value is not None:
        params = blend(params, checkpoints.load(_BLEND.value).params, _SHARE.value)
    config = variants.get_config(_VARIANT.value)
    checkpoints.save_safetensors(_OUTPUT.value, params, config, _DTYPE.value)
    print(f"{_OUTPUT.value}: step {step}, {sam2.count_params(params):,} parameters")


if __name__ == "__main__":
    app.run(main)
