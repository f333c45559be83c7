"""Reads a torch `.pt` file (the zip format of torch >= 1.6) with NumPy alone, executing nothing.

Path:    file -> [torch_reader] -> {name: array} -> torch_import -> params
Axes:    as stored by torch.
Units:   sizes in bytes unless a name says elements.
Errors:  CheckpointError naming the file: missing, empty, truncated, not a zip, damaged (CRC), the
         legacy format, a TorchScript archive, big-endian, compressed records, a tensor that
         reaches outside its storage, or anything `pickle_reader` refuses.
Source:  the format as torch 2.13 writes it: `<root>/data.pkl`, `<root>/data/<key>`,
         `<root>/byteorder`, records stored without compression.
Differs: torch.load maps or copies storages and, without weights_only, runs the pickle. Here
         arrays are read-only views into bounds-checked buffers, so that neither compressed
         records nor overlapping or expanded views can claim more memory than the file's size.
"""

import os
import reprlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.pickle_reader import read_pickle

ZIP_MAGIC = b"PK\x03\x04"
# protocol 2 and the number torch < 1.6 wrote first
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_MAX_RECORDS = 65_536  # SAM 2.1 large has 905


def read_torch_file(path: str | os.PathLike[str]) -> Any:
    """The object the file holds, tensors as read-only NumPy arrays."""
    path = Path(path)
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from None


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The state dict of a file that holds one, either alone or under the key `model`."""
    found = read_torch_file(path)
    if isinstance(found, Mapping) and isinstance(found.get("model"), Mapping):
        found = found["model"]
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(
            f"{path}: expected a state dict or {{'model': state dict}}, "
            f"found a {type(found).__name__}."
        )
    wrong = [reprlib.repr(k) for k, v in found.items() if not _is_named_array(k, v)]
    if wrong:
        listed = ", ".join(wrong[:8])
        raise CheckpointError(
            f"{path}: a state dict holds names and tensors, but {len(wrong)} of {len(found)} "
            f"entries are something else: {listed}."
        )
    return dict(found)


def _is_named_array(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, np.ndarray)


def _read(path: Path) -> Any:
    if path.is_dir():
        raise CheckpointError("is a folder, expected a file.")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        _check_head(head, size)
        try:
            with zipfile.ZipFile(file) as archive:
                return _Archive(archive, size).load()
        except zipfile.BadZipFile as error:
            raise CheckpointError(
                f"begins like a zip archive but is truncated or damaged ({error})."
            ) from None
        except (EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
            # zipfile's reports of a short record, an unknown method, encryption, a bad name
            raise CheckpointError(f"is a damaged zip archive ({error}).") from None


def _check_head(head: bytes, size: int) -> None:
    if not head:
        raise CheckpointError("is empty.")
    if head.startswith(ZIP_MAGIC):
        return
    if head.startswith(_LEGACY_MAGIC[:6]):
        raise CheckpointError(
            "is in torch's legacy format (before 1.6), which is not supported; "
            "load and save it once with a recent torch."
        )
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError("is a Git LFS pointer, not the checkpoint it stands for.")
    raise CheckpointError(
        f"is not a torch checkpoint: it begins with {head[:12]!r} ({size} bytes in all), "
        f"expected a zip archive ({ZIP_MAGIC!r})."
    )


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, file_bytes: int):
        records = archive.infolist()
        if len(records) > _MAX_RECORDS:
            raise CheckpointError(f"has {len(records)} records, expected at most {_MAX_RECORDS}.")
        self._records = {r.filename: r for r in records}
        if len(self._records) != len(records):
            raise CheckpointError("is a zip archive in which a name occurs twice.")
        packed = [r.filename for r in records if r.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise CheckpointError(
                f"holds compressed records ({packed[0]}, ...); torch stores them uncompressed."
            )
        # overlapping records could add up to far more than the file
        if sum(r.file_size for r in records) > file_bytes:
            raise CheckpointError("is a damaged zip archive (records larger than the file).")
        self._archive = archive
        self._storages: dict[str, np.ndarray] = {}

    def load(self) -> Any:
        roots = [n[: -len("data.pkl")] for n in self._records if _is_main_pickle(n)]
        if len(roots) != 1:
            raise CheckpointError(
                f"is a zip archive with {len(roots)} data.pkl records, expected 1; "
                "not a torch checkpoint."
            )
        self._root = roots[0]
        if self._root + "constants.pkl" in self._records:
            raise CheckpointError("is a TorchScript archive, expected a state dict.")
        if self._root + "byteorder" in self._records:
            order = self._bytes("byteorder")
            if order != b"little":
                raise CheckpointError(f"has byte order {order[:12]!r}, expected b'little'.")
        return read_pickle(self._bytes("data.pkl"), self._storage, self._tensor)

    def _bytes(self, name: str) -> bytes:
        record = self._records.get(self._root + name)
        if record is None:
            raise CheckpointError(f"lacks the record {name} that its data.pkl refers to.")
        return self._archive.read(record)  # checks the CRC

    def _storage(self, dtype_name: str, key: str, elements: int) -> np.ndarray:
        dtype = np.dtype(ml_dtypes.bfloat16 if dtype_name == "bfloat16" else dtype_name)
        name = f"data/{key}"
        if key not in self._storages:
            data = self._bytes(name)
            if len(data) != elements * dtype.itemsize:
                raise CheckpointError(
                    f"record {name} has {len(data)} bytes, expected {elements} elements of "
                    f"{dtype} ({elements * dtype.itemsize} bytes)."
                )
            self._storages[key] = np.frombuffer(data, dtype)
        storage = self._storages[key]
        if storage.dtype != dtype or storage.size != elements:
            raise CheckpointError(f"record {name} is used with two types or sizes.")
        return storage

    def _tensor(
        self, storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
    ) -> np.ndarray:
        if not isinstance(storage, np.ndarray) or storage.ndim != 1:
            raise CheckpointError("data.pkl builds a tensor from something not a storage.")
        elements = 1
        for n in size:
            elements *= n
        last = sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        # More elements than the storage has means an expanded view, never a weight.
        if elements and (offset + last >= storage.size or elements > storage.size):
            raise CheckpointError(
                f"data.pkl holds a tensor of shape {size}, stride {stride}, offset {offset} that "
                f"reaches outside its storage of {storage.size} elements."
            )
        if not elements:
            return np.zeros(size, storage.dtype)
        # the stride of an axis of length 1 is arbitrary, and unbounded in a hostile file
        steps = [s * storage.itemsize if n > 1 else 0 for n, s in zip(size, stride, strict=True)]
        return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _is_main_pickle(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")
