"""Gives weights without it the temporal embedding of long memories; only where it is asked for.

Path:    loading -> [long_embedding] -> params, Sam2Config -> training with long memories
Axes:    long_tpos_enc [1, 1, 1, D].
Units:   none.
Errors:  CheckpointError where the weights have one already, or have no embedding to copy.
Source:  SAM2S, arXiv:2511.16618: three kinds of temporal embedding, read off its figure.
Differs: the start is our choice: a copy of the conditioning frames' row, so that until it is
         trained the model answers as one without the embedding, whose long memories use that row.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from surgjax.checkpoints.errors import CheckpointError
from surgjax.models.variants import Sam2Config

NAME = "long_tpos_enc"


def add_long_memory_embedding(
    params: Mapping[str, Any], config: Sam2Config
) -> tuple[dict[str, Any], Sam2Config]:
    """The params with `long_tpos_enc`, and the config that says so. Nothing else is touched."""
    if config.long_memory_embedding or NAME in params:
        raise CheckpointError(f"{NAME}: the weights of {config.name} have it already.")
    table = params.get("maskmem_tpos_enc")
    want = (config.num_maskmem, 1, 1, config.memory_dim)
    if table is None or tuple(table.shape) != want:
        found = "none" if table is None else tuple(table.shape)
        raise CheckpointError(f"maskmem_tpos_enc {want} expected to copy a row of, found {found}.")
    row = np.array(table[-1:], np.float32)
    return {**params, NAME: row}, config.replace(long_memory_embedding=True)
