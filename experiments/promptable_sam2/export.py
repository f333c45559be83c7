"""Writes the averaged parameters of a training checkpoint as official-layout safetensors.

python -m experiments.promptable_sam2.export --workdir RUN_DIR --output nano.safetensors
"""

import flax.serialization
import jax
import numpy as np
from absl import app, flags

from surgjax import checkpoints
from surgjax.models import sam2, variants
from surgjax.train.state import checkpoints_in

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the training run.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Safetensors file to write.", required=True)
_VARIANT = flags.DEFINE_string("variant", "nano", "Variant that was trained.")


def averaged_params(workdir: str, variant: str) -> tuple[dict, int]:
    """The running mean of the newest checkpoint, checked against the variant, and its step."""
    saved = checkpoints_in(workdir)
    if not saved:
        raise ValueError(f"{workdir}: no checkpoint_*.msgpack found.")
    tree = flax.serialization.msgpack_restore(saved[-1].read_bytes())
    params = tree["ema_params"]
    wanted = sam2.abstract_params(variants.get_config(variant))
    if jax.tree.map(np.shape, params) != jax.tree.map(lambda leaf: leaf.shape, wanted):
        raise ValueError(f"{saved[-1]}: parameters are not those of {variant!r}.")
    return params, int(tree["step"])


def main(_):
    params, step = averaged_params(_WORKDIR.value, _VARIANT.value)
    config = variants.get_config(_VARIANT.value)
    checkpoints.save_safetensors(_OUTPUT.value, params, config)
    print(f"{_OUTPUT.value}: step {step}, {sam2.count_params(params):,} parameters")


if __name__ == "__main__":
    app.run(main)
