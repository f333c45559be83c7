"""Checkpoints in and out: official .pt, Hugging Face safetensors, our own Orbax folders.

Path:    file or folder -> [checkpoints] -> params, Sam2Config -> models
Axes:    see `tables.sam2`.
Units:   none.
Errors:  CheckpointError (a ValueError) for every file that is refused.
Source:  formats of torch, safetensors and Orbax; names of SAM 2 and of transformers.
Differs: no torch and no TensorFlow, and nothing in a file is ever executed.
"""

from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.loading import Loaded, load
from surgjax.checkpoints.long_embedding import add_long_memory_embedding
from surgjax.checkpoints.orbax import load_params, save_params
from surgjax.checkpoints.torch_export import (
    export_hugging_face,
    export_official,
    save_hugging_face,
    save_pt,
    save_safetensors,
)
from surgjax.checkpoints.torch_import import import_params, infer_config

__all__ = [
    "CheckpointError",
    "Loaded",
    "add_long_memory_embedding",
    "export_hugging_face",
    "export_official",
    "import_params",
    "infer_config",
    "load",
    "load_params",
    "save_hugging_face",
    "save_params",
    "save_pt",
    "save_safetensors",
]
