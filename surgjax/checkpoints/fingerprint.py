"""What is in a checkpoint, tensor by tensor: official name, our path, shape, sha256.

Path:    params -> [fingerprint] -> tensors.json, printed table, content sha256
Axes:    official layout (see `tables.sam2`), so that any other reader can compare.
Units:   none.
Errors:  CheckpointError if the params do not fit the config.
Source:  ours.
Differs: the sum is over weights and names, not over a file: the same model has the same sum as
         .pt, safetensors or Orbax folder.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgjax.checkpoints.tables import sam2 as tables
from surgjax.checkpoints.torch_export import export_official
from surgjax.models.variants import Sam2Config


@dataclasses.dataclass(frozen=True)
class TensorRecord:
    """One line of the table."""

    key: str  # official name
    path: str  # in our params
    shape: tuple[int, ...]  # official layout
    dtype: str
    sha256: str  # of the little-endian bytes in official layout


def tensor_records(params: Mapping[str, Any], config: Sam2Config) -> list[TensorRecord]:
    """One record per tensor, in the order of the key table."""
    official = export_official(params, config)
    records = []
    for row in tables.table(config):
        array = official[row.official]
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        sha = hashlib.sha256(little.tobytes()).hexdigest()
        path = "/".join(row.path)
        records.append(TensorRecord(row.official, path, array.shape, array.dtype.name, sha))
    return records


def content_sha256(records: Sequence[TensorRecord]) -> str:
    """One sum over names, shapes, types and values."""
    total = hashlib.sha256()
    for r in records:
        total.update(f"{r.key} {list(r.shape)} {r.dtype} {r.sha256}\n".encode())
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """The sum that `sha256sum` prints."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def format_table(records: Sequence[TensorRecord]) -> str:
    """Aligned text: key, shape, the first 16 digits of the sum."""
    width = max(len(r.key) for r in records)
    lines = [f"{'key':<{width}}  {'shape':<18}  sha256"]
    for r in records:
        shape = "x".join(map(str, r.shape)) or "scalar"
        lines.append(f"{r.key:<{width}}  {shape:<18}  {r.sha256[:16]}")
    return "\n".join(lines)


def write_table(path: Path, records: Sequence[TensorRecord], header: Mapping[str, Any]) -> None:
    """Writes the table as JSON, `header` first."""
    tensors = [dataclasses.asdict(r) for r in records]
    path.write_text(json.dumps({**header, "tensors": tensors}, indent=1) + "\n")
