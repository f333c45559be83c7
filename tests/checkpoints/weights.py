"""Random weights and files for the tests: official layout, written with and without torch.

Path:    Sam2Config -> key table -> [weights] -> arrays, files
Units:   none.
Source:  ours.
"""

import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from surgjax.checkpoints.tables.sam2 import table
from surgjax.checkpoints.torch_import import Layout, expected_shapes
from surgjax.models.variants import Sam2Config, get_config

DEBUG = get_config("debug")
_POOL = 8_000_000  # numbers drawn once; a weight is a slice of them at an offset of its own


def random_state(
    config: Sam2Config = DEBUG, layout: Layout = "official", dtype: str = "float32", seed: int = 0
) -> dict[str, np.ndarray]:
    """Arrays of the right names and shapes, all different, cheap to make for 900 MB."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    shapes = expected_shapes(config, layout)
    largest = max(int(np.prod(shape)) for shape in shapes.values())
    pool = rng.standard_normal(min(_POOL, 2 * largest), np.float32).astype(kind)
    state = {}
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        start = int(rng.integers(0, pool.size - size))
        state[name] = pool[start : start + size].reshape(shape).copy()
    if layout == "hugging_face":
        copy, kept = "prompt_encoder.shared_embedding", "shared_image_embedding"
        state[f"{copy}.positional_embedding"] = state[f"{kept}.positional_embedding"]
    return state


def random_params(config: Sam2Config = DEBUG, seed: int = 0) -> dict[str, Any]:
    """Params built leaf by leaf from the table's paths, without the importer."""
    rng = np.random.default_rng(seed)
    params: dict[str, Any] = {}
    for row in table(config):
        level = params
        for name in row.path[:-1]:
            level = level.setdefault(name, {})
        level[row.path[-1]] = rng.standard_normal(row.params_shape, np.float32)
    return params


def save_with_torch(torch: Any, path: Path, state: dict[str, np.ndarray]) -> None:
    """An official file: torch tensors under the key "model"."""
    torch.save({"model": {n: torch.from_numpy(a) for n, a in state.items()}}, path)


def same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Equal names, types, shapes and bytes."""
    return left.keys() == right.keys() and all(
        left[n].dtype == right[n].dtype
        and left[n].shape == right[n].shape
        and np.array_equal(left[n].reshape(-1).view(np.uint8), right[n].reshape(-1).view(np.uint8))
        for n in left
    )


def write_zip(path: Path, records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """A zip archive with exactly these records."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(name, data)


def rewrite_zip(path: Path, changes: dict[str, bytes | None]) -> None:
    """Replaces, adds or (None) drops records, named without their root folder."""
    with zipfile.ZipFile(path) as archive:
        records = {n: archive.read(n) for n in archive.namelist()}
    root = next(iter(records)).split("/")[0]
    for name, data in changes.items():
        if data is None:
            del records[f"{root}/{name}"]
        else:
            records[f"{root}/{name}"] = data
    write_zip(path, records)
