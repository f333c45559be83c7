"""Converts a checkpoint of any kind into a folder with the weights and the table of its tensors.

Path:    file, folder or "nano" -> loading -> [conversion] -> folder
Axes:    see `tables.sam2`.
Units:   none.
Errors:  CheckpointError for a bad input or an output that must not be replaced; OSError when the
         disk is full. Either leaves the output as it was.
Source:  ours.
Differs: the input is read and checked in full before anything is written.
"""

import dataclasses
import json
import os
from pathlib import Path

from surgjax.checkpoints.atomic import atomic_folder, check_output_folder
from surgjax.checkpoints.fingerprint import (
    TensorRecord,
    content_sha256,
    tensor_records,
    write_table,
)
from surgjax.checkpoints.loading import Loaded, load
from surgjax.checkpoints.orbax import CONFIG_FILE, PARAMS_FOLDER, write_params
from surgjax.checkpoints.torch_export import save_hugging_face, save_pt, save_safetensors
from surgjax.models.variants import OFFICIAL, Sam2Config

FORMATS = ("orbax", "safetensors", "pt", "hugging_face")
TABLE_FILE = "tensors.json"
_TABLE_FORMAT = "surgjax-tensors-1"


@dataclasses.dataclass(frozen=True)
class Converted:
    """What was read and what was written."""

    loaded: Loaded
    records: list[TensorRecord]
    content_sha256: str
    files: list[str]


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    output_format: str = "orbax",
    overwrite: bool = False,
) -> Converted:
    """Reads `source`, writes the folder `output` whole or not at all."""
    check_output_folder(output, overwrite)
    loaded = load(source)
    params, config = loaded.params, loaded.config
    records = tensor_records(params, config)
    with atomic_folder(output, overwrite, _written_before(Path(output))) as folder:
        if output_format == "orbax":
            write_params(folder, params, config, source=loaded.source)
        elif output_format == "safetensors":
            save_safetensors(folder / f"{file_stem(config)}.safetensors", params, config)
        elif output_format == "pt":
            save_pt(folder / f"{file_stem(config)}.pt", params, config)
        elif output_format == "hugging_face":
            save_hugging_face(folder / "model.safetensors", params, config)
        else:
            raise ValueError(f"format {output_format!r}, expected one of {', '.join(FORMATS)}.")
        files = sorted([*(p.name for p in folder.iterdir()), TABLE_FILE])
        content = content_sha256(records)
        header = {
            "format": _TABLE_FORMAT,
            "model": config.name,
            "version": config.version,
            "content_sha256": content,
            "source": loaded.source,
            "source_kind": loaded.kind,
            "source_sha256": loaded.sha256,
            "files": files,
        }
        write_table(folder / TABLE_FILE, records, header)
    return Converted(loaded, records, content, files)


def file_stem(config: Sam2Config) -> str:
    """The name of the official file, without its ending; our own variants go by their name."""
    if config.name not in OFFICIAL:
        return config.name
    return f"sam2{'.1' if config.version == '2.1' else ''}_hiera_{config.name}"


def _written_before(output: Path) -> set[str]:
    """Entries an earlier conversion left in `output`: two formats in one folder are ambiguous."""
    try:
        table = json.loads((output / TABLE_FILE).read_text())
        names = set(table["files"]) if table["format"] == _TABLE_FORMAT else set()
    except (OSError, ValueError, TypeError, KeyError):
        return set()
    ours = {CONFIG_FILE, PARAMS_FOLDER, TABLE_FILE}
    return {n for n in names if n in ours or n == os.path.basename(n) and _is_weights(n)}


def _is_weights(name: str) -> bool:
    return name.endswith((".pt", ".safetensors"))
