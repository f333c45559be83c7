"""Turns our params back into the tensors of the official or the Hugging Face files.

Path:    params -> [torch_export] -> torch_writer or safetensors -> file
Axes:    see `tables.sam2`.
Units:   none.
Errors:  CheckpointError if the params are not exactly those of the config.
Source:  names as in `tables.sam2`.
Differs: nothing is lost on the way: import and export are permutations, equal bit for bit.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.checkpoints.atomic import atomic_file
from surgjax.checkpoints.config_json import METADATA_KEY, config_to_json
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.key_check import find_problems, raise_problems, shapes_of
from surgjax.checkpoints.tables import sam2 as tables
from surgjax.checkpoints.torch_writer import write_state_dict
from surgjax.models.variants import Sam2Config


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """Path with slashes -> array, of a nested dict of arrays (NumPy or JAX)."""
    flat: dict[str, np.ndarray] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = np.asarray(value)
    return flat


def check_params(params: Mapping[str, Any], config: Sam2Config) -> dict[str, np.ndarray]:
    """The flattened params, after a strict check against the table."""
    flat = flatten(params)
    expected = {"/".join(row.path): row.params_shape for row in tables.table(config)}
    problems = find_problems(shapes_of(flat), expected)
    raise_problems(problems, f"params do not fit SAM {config.version} {config.name}")
    return flat


def export_official(params: Mapping[str, Any], config: Sam2Config) -> dict[str, np.ndarray]:
    """The state dict under the official names, float32, contiguous."""
    flat = check_params(params, config)
    return {
        row.official: np.ascontiguousarray(
            row.from_params(flat["/".join(row.path)]).astype(np.float32, copy=False)
        )
        for row in tables.table(config)
    }


def export_hugging_face(params: Mapping[str, Any], config: Sam2Config) -> dict[str, np.ndarray]:
    """The state dict of transformers' Sam2VideoModel."""
    official = export_official(params, config)
    stacked: dict[str, list[np.ndarray]] = {}
    for row in tables.table(config):
        stacked.setdefault(row.hugging_face, []).append(official[row.official])
    state = {n: a[0] if len(a) == 1 else np.concatenate(a) for n, a in stacked.items()}
    for copy, kept in tables.HUGGING_FACE_COPIES.items():
        state[copy] = state[kept]
    return state


def save_safetensors(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    config: Sam2Config,
    dtype: str = "float32",
) -> None:
    """Writes official names, with the config in the metadata, so that any size loads again.

    float16 halves the file and rounds the weights; they load as float32 again.
    """
    state = export_official(params, config)
    if dtype == "float16":
        state = {name: _to_float16(name, array) for name, array in state.items()}
    elif dtype != "float32":
        raise ValueError(f"dtype {dtype!r}, expected float32 or float16.")
    _write_safetensors(path, state, config)


def _to_float16(name: str, array: np.ndarray) -> np.ndarray:
    limit = np.finfo(np.float16).max
    if not (np.abs(array) <= limit).all():
        raise CheckpointError(f"{name} holds values beyond ±{limit:g}, the range of float16.")
    return array.astype(np.float16)


def save_hugging_face(
    path: str | os.PathLike[str], params: Mapping[str, Any], config: Sam2Config
) -> None:
    """Writes the `model.safetensors` of Sam2VideoModel (without its config.json)."""
    _write_safetensors(path, export_hugging_face(params, config), config)


def save_pt(path: str | os.PathLike[str], params: Mapping[str, Any], config: Sam2Config) -> None:
    """Writes `{"model": state dict}`, as torch and the original code load it."""
    write_state_dict(path, export_official(params, config))


def _write_safetensors(
    path: str | os.PathLike[str], state: dict[str, np.ndarray], config: Sam2Config
) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # "format" is what transformers looks for before it takes a file
    metadata = {"format": "pt", METADATA_KEY: config_to_json(config)}
    with atomic_file(Path(path)) as temporary:
        try:
            save_file(state, temporary, metadata)
        except SafetensorError as error:  # a full disk is no OSError here
            raise CheckpointError(f"{path}: cannot be written ({error}).") from None
