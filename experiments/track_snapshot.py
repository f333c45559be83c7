"""The file from which an interrupted run goes on, written whole or not at all.

Path:    track_job -> [track_snapshot] -> OUTPUT/.unfinished-*/snapshot.safetensors -> track_job
Axes:    see `inference.snapshot` and the parts that add arrays.
Units:   none.
Errors:  CannotGoOn naming the file: damaged, of another format. OSError of a full disk.
Source:  ours.
Differs: nothing to compare with. Reading it executes nothing: arrays, and JSON as metadata.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surgjax.checkpoints.atomic import atomic_file, reserve

FILE = "snapshot.safetensors"
FORMAT = 1
_KEY = "surgjax_track"


class CannotGoOn(ValueError):
    """What an interrupted run has left is no use to this one; beginning again would be."""


class Kept(NamedTuple):
    """What the file holds."""

    settings: dict[str, Any]  # of `track_settings`
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one part, by their names there."""
        start = f"{name}/"
        return {k[len(start) :]: v for k, v in self.arrays.items() if k.startswith(start)}


def joined(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of several parts under one name each; `Kept.part` takes them apart."""
    return {f"{part}/{name}": x for part, arrays in parts.items() for name, x in arrays.items()}


def write(folder: Path, kept: Kept) -> None:
    """Replaces the file of that folder."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    about = {"format": FORMAT, "settings": kept.settings, "facts": kept.facts}
    arrays = {name: np.ascontiguousarray(x) for name, x in kept.arrays.items()}
    reserve(folder, sum(x.nbytes for x in arrays.values()) + 2**16)
    try:
        with atomic_file(folder / FILE) as temporary:
            save_file(arrays, temporary, {_KEY: json.dumps(about)})
    except SafetensorError as error:  # a full disk is no OSError there
        raise OSError(errno.EIO, f"{folder / FILE} cannot be written ({error})") from None


def read(folder: Path) -> Kept:
    """What `write` has left in that folder."""
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["format"] != FORMAT:
            raise ValueError(f"it has format {about['format']}, this version reads {FORMAT}")
        return Kept(about["settings"], about["facts"], arrays)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CannotGoOn(
            f"--resume: {path} cannot be gone on from: {error}. --overwrite begins again."
        ) from None
