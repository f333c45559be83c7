"""The averaged parameters of a training run, for export or for another run to start from.

Path:    checkpoint file -> [averaged] -> params
Errors:  ValueError naming the folder without a checkpoint, or the file of another model.
"""

import os
from typing import Any, cast

import flax.serialization
import jax
import numpy as np

from surgjax.models import sam2, variants
from surgjax.train import auxiliary_head, recipes
from surgjax.train.state import checkpoints_in


def averaged_params(
    workdir: str | os.PathLike, variant: str, keep_head: bool = False
) -> tuple[dict, int]:
    """The running mean of the newest checkpoint, checked against the variant, and its step.

    With keep_head the auxiliary head comes too, if the run had one: a further run needs it, since
    a fresh head would shake the encoder for its first steps.
    """
    saved = checkpoints_in(workdir)
    if not saved:
        raise ValueError(f"{workdir}: no checkpoint_*.msgpack found.")
    tree = cast(dict[str, Any], flax.serialization.msgpack_restore(saved[-1].read_bytes()))
    averaged = recipes.overlay(tree["params"], tree["ema_params"])
    params = auxiliary_head.without(averaged)
    wanted = sam2.abstract_params(variants.get_config(variant))
    if jax.tree.map(np.shape, params) != jax.tree.map(lambda leaf: leaf.shape, wanted):
        raise ValueError(f"{saved[-1]}: parameters are not those of {variant!r}.")
    return (averaged if keep_head else params), int(tree["step"])
