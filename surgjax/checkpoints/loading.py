"""Loads any checkpoint surgjax knows: bundled, official, Hugging Face, or our own folder.

Path:    name or path -> [loading] -> Loaded(params, config, sha256, source)
Axes:    ours (see `tables.sam2`).
Units:   none.
Errors:  CheckpointError naming the path: missing, of no known kind, or refused by a reader.
Source:  ours.
Differs: the kind of a file follows from its content, not from its name.
"""

import dataclasses
import importlib.resources
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.checkpoints import torch_reader
from surgjax.checkpoints.config_json import METADATA_KEY, config_from_json
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.fingerprint import file_sha256
from surgjax.checkpoints.orbax import is_params_folder, load_params
from surgjax.checkpoints.torch_import import find_layout, import_params, infer_config
from surgjax.models.variants import VARIANTS, Sam2Config

BUNDLED = ("nano",)
_MAX_SAFETENSORS_HEADER = 100 * 2**20  # the limit of the safetensors format itself


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Weights ready for the model, and where they are from."""

    params: dict[str, Any]  # nested dict of float32 NumPy arrays
    config: Sam2Config
    sha256: str  # of the file; of the weights (see `fingerprint`) where the source is a folder
    source: str  # absolute path, or "bundled:nano"
    kind: str  # e.g. "official torch file"


def load(path_or_name: str | os.PathLike[str]) -> Loaded:
    """Loads "nano", a .pt, a .safetensors, or a folder with one of them or our own params in it."""
    if path_or_name in BUNDLED:
        return _load_bundled(str(path_or_name))
    path = Path(path_or_name)
    if not path.exists():
        if str(path_or_name) in VARIANTS:
            raise CheckpointError(
                f"no weights for {path_or_name} are bundled (bundled: {', '.join(BUNDLED)}); "
                "give the path of a file, see docs/checkpoints.md."
            )
        raise CheckpointError(f"{path}: no such file or folder.")
    path = Path(os.path.abspath(path))
    if path.is_dir():
        if is_params_folder(path):
            params, config, sha256 = load_params(path)
            return Loaded(params, config, sha256, str(path), "surgjax folder")
        path = _only_file(path)
    return _load_file(path, str(path))


def _load_bundled(name: str) -> Loaded:
    asset = importlib.resources.files("surgjax").joinpath("assets", f"{name}.safetensors")
    if not asset.is_file():
        raise CheckpointError(
            f"the bundled checkpoint {name} is not in this installation "
            f"(expected surgjax/assets/{name}.safetensors)."
        )
    with importlib.resources.as_file(asset) as path:
        return _load_file(path, f"bundled:{name}")


def _only_file(folder: Path) -> Path:
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".pt", ".pth", ".safetensors")]
    hugging_face = folder / "model.safetensors"
    if hugging_face in files and (folder / "config.json").is_file():
        return hugging_face  # a download of the whole repository has the official .pt beside it
    if len(files) != 1:
        names = ", ".join(p.name for p in files) or "none"
        raise CheckpointError(
            f"{folder}: expected a folder that convert_checkpoint wrote, or one with a single .pt "
            f"or .safetensors file in it; found {names}."
        )
    return files[0]


def _load_file(path: Path, source: str) -> Loaded:
    tensors, metadata, container = read_file(path)
    try:
        if METADATA_KEY in metadata:
            config = config_from_json(metadata[METADATA_KEY])
        else:
            config = infer_config(tensors)
        layout = "Hugging Face" if find_layout(tensors) == "hugging_face" else "official"
        params = import_params(tensors, config)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Loaded(params, config, file_sha256(path), source, f"{layout} {container}")


def read_file(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str], str]:
    """Tensors by the names in the file, its metadata, and the kind of container."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if _is_safetensors(head, path):
        return *_read_safetensors(path, size), "safetensors file"
    return torch_reader.read_state_dict(path), {}, "torch file"


def _is_safetensors(head: bytes, path: Path) -> bool:
    """A header length, then JSON; or a file too damaged to tell that says so by its name."""
    if head.startswith(torch_reader.ZIP_MAGIC):
        return False
    if len(head) == 9 and head[8:] == b"{":
        (length,) = struct.unpack("<Q", head[:8])
        return length <= _MAX_SAFETENSORS_HEADER
    return path.suffix == ".safetensors"


def _read_safetensors(path: Path, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: is not a whole safetensors file ({size} bytes): {error}."
        ) from None
    return tensors, metadata
