"""Reads CLIP's text tower from a Hugging Face download: safetensors or torch file, whole or split.

Path:    folder or file -> [clip_import] -> params, ClipTextConfig -> text.clip_text_encoder
Axes:    see `tables.clip_text`.
Units:   none.
Errors:  CheckpointError naming the file: missing, no CLIP text tower, every missing, unexpected and
         ill-shaped tensor in one message, a config.json that does not fit the tensors.
Source:  files of `save_pretrained` in transformers 5.23, and of the releases before it.
Differs: sizes follow from the tensors; config.json is asked for what they cannot say (heads,
         activation, epsilon), and without it these are ViT-B/32's. Nothing in a file is executed.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.fingerprint import file_sha256
from surgjax.checkpoints.key_check import find_problems, raise_problems, shapes_of
from surgjax.checkpoints.loading import read_file
from surgjax.checkpoints.tables import clip_text as tables
from surgjax.checkpoints.torch_import import set_leaf
from surgjax.text.clip_text_encoder import ACTIVATIONS, VIT_B_32, ClipTextConfig

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # each may be split, see INDEX
INDEX = ".index.json"
CONFIG_FILE = "config.json"
_LAYER = re.compile(re.escape(tables.LAYER) + r"(\d+)\.")
_HEAD_WIDTH = 64  # of every CLIP text tower


@dataclasses.dataclass(frozen=True)
class LoadedClipText:
    """A text tower ready to run, and where it is from."""

    params: dict[str, Any]  # nested dict of float32 NumPy arrays
    config: ClipTextConfig
    sha256: str  # of the file; of the sums of all files, in the order of their names, if split
    files: tuple[str, ...]  # names inside the folder


def load_clip_text(path: str | os.PathLike[str]) -> LoadedClipText:
    """Loads a folder as Hugging Face has it, or one file with its config.json beside it."""
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder.")
    files = _weight_files(path) if path.is_dir() else [path]
    folder = path if path.is_dir() else path.parent
    tensors: dict[str, np.ndarray] = {}
    for file in files:
        part, _, _ = read_file(file)
        twice = sorted(part.keys() & tensors.keys())
        if twice:
            raise CheckpointError(f"{file}: holds {twice[0]} a second time.")
        tensors.update(part)
    try:
        tensors = select_text(tensors)
        config = infer_clip_config(tensors, _settings(folder / CONFIG_FILE))
        params = import_clip_text(tensors, config)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return LoadedClipText(params, config, _sha256(files), tuple(file.name for file in files))


def clip_sha256(path: str | os.PathLike[str]) -> str:
    """The `sha256` of `load_clip_text`, without reading a tensor."""
    path = Path(path)
    return _sha256(_weight_files(path) if path.is_dir() else [path])


def select_text(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors without CLIP's other parts and without buffers, which are known by name."""
    other = (*tables.OTHER_PARTS, *tables.BUFFERS)
    return {name: array for name, array in tensors.items() if not name.startswith(other)}


def infer_clip_config(
    tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any] | None = None
) -> ClipTextConfig:
    """Sizes by the tensors; heads, activation and epsilon by `settings` (a config.json)."""
    tokens, positions = tensors.get(tables.TOKENS), tensors.get(tables.POSITIONS)
    if tokens is None or positions is None or tokens.ndim != 2 or positions.ndim != 2:
        some = ", ".join(list(tensors)[:5]) or "none"
        raise CheckpointError(
            f"is no CLIP text tower: expected {tables.TOKENS} and {tables.POSITIONS} with two axes "
            f"each among the tensors; the first are {some}."
        )
    hidden = tensors.get(f"{tables.LAYER}0.mlp.fc1.bias")
    projection = tensors.get(tables.PROJECTION)
    layers = [int(found[1]) for name in tensors if (found := _LAYER.match(name))]
    width = tokens.shape[1]
    sizes = dict(
        vocabulary=tokens.shape[0],
        context=positions.shape[0],
        width=width,
        hidden=hidden.size if hidden is not None else 4 * width,
        layers=len(set(layers)),  # a number left out shows up among the missing names
        projection=projection.shape[0] if projection is not None else VIT_B_32.projection,
    )
    # left out of a config.json it is transformers' default; without one, what every CLIP has
    heads = VIT_B_32.heads if settings is not None else max(width // _HEAD_WIDTH, 1)
    wanted = _text_settings(settings or {}, heads)
    try:
        config = ClipTextConfig(**sizes, **wanted)
    except ValueError as error:
        raise CheckpointError(f"is no CLIP text tower: {error}") from None
    _compare_sizes(config, settings or {})
    return config


def import_clip_text(tensors: Mapping[str, np.ndarray], config: ClipTextConfig) -> dict[str, Any]:
    """Our params, float32; raises unless the tensors are exactly those of the config."""
    rows = tables.table(config)
    problems = find_problems(shapes_of(dict(tensors)), {row.key: row.shape for row in rows})
    raise_problems(
        problems,
        f"does not fit a CLIP text tower of {config.layers} layers and width {config.width}",
    )
    params: dict[str, Any] = {}
    for row in rows:
        set_leaf(params, row.path, row.to_params(tensors[row.key]))
    return params


def _text_settings(settings: Mapping[str, Any], heads: int) -> dict[str, Any]:
    """What the tensors cannot say. A whole CLIP keeps it under text_config, a text tower on top."""
    text = _text_part(settings)
    heads = text.get("num_attention_heads", heads)
    activation = text.get("hidden_act", VIT_B_32.activation)
    epsilon = text.get("layer_norm_eps", VIT_B_32.epsilon)
    if type(heads) is not int or heads < 1:
        raise CheckpointError(f"{CONFIG_FILE}: num_attention_heads is {heads!r}, expected a count.")
    if activation not in ACTIVATIONS:
        known = " or ".join(ACTIVATIONS)
        raise CheckpointError(f"{CONFIG_FILE}: hidden_act is {activation!r}, expected {known}.")
    if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise CheckpointError(f"{CONFIG_FILE}: layer_norm_eps is {epsilon!r}, expected 1e-5 or so.")
    return dict(heads=heads, activation=activation, epsilon=float(epsilon))


def _text_part(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = settings.get("text_config", settings)
    if not isinstance(nested, Mapping):
        raise CheckpointError(f"{CONFIG_FILE}: text_config is no object.")
    return nested


def _compare_sizes(config: ClipTextConfig, settings: Mapping[str, Any]) -> None:
    """A config.json of another model is refused, not half believed."""
    text = _text_part(settings)
    names = dict(
        vocab_size=config.vocabulary,
        max_position_embeddings=config.context,
        hidden_size=config.width,
        intermediate_size=config.hidden,
        num_hidden_layers=config.layers,
    )
    for name, found in names.items():
        if text.get(name, found) != found:
            raise CheckpointError(
                f"{CONFIG_FILE} says {name} {text[name]}, the tensors say {found}; do both belong "
                "to one model?"
            )


def _settings(path: Path) -> Mapping[str, Any] | None:
    """The config.json, or None where there is none."""
    if not path.is_file():
        return None
    values = _read_json(path)
    kind = values.get("model_type", "clip")
    if kind not in ("clip", "clip_text_model"):
        raise CheckpointError(f"{path.name} says model_type {kind!r}, expected a CLIP.")
    return values


def _weight_files(folder: Path) -> list[Path]:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / (name + INDEX)
        if index.is_file():
            return _parts(index)
    wanted = " or ".join(f"{name} (or {name}{INDEX})" for name in WEIGHTS)
    present = ", ".join(sorted(p.name for p in folder.iterdir())[:12]) or "nothing"
    raise CheckpointError(f"{folder}: expected {wanted}, found {present}.")


def _parts(index: Path) -> list[Path]:
    names = _read_json(index).get("weight_map")
    if not isinstance(names, Mapping) or not all(isinstance(n, str) for n in names.values()):
        raise CheckpointError(f"{index}: expected a weight_map from tensors to files.")
    files = [index.parent / name for name in sorted(set(names.values()))]
    for file in files:
        if file.parent != index.parent or not file.is_file():
            raise CheckpointError(f"{index}: names {file.name}, which is not beside it.")
    return files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not JSON ({error}).") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected an object, found a {type(values).__name__}.")
    return values


def _sha256(files: list[Path]) -> str:
    sums = [file_sha256(file) for file in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()
