"""Writes `{"model": state_dict}` as a `.pt` file that torch.load(weights_only=True) reads.

Path:    params -> torch_export -> {name: array} -> [torch_writer] -> file
Axes:    as given; arrays are stored row-major.
Units:   sizes in bytes; strides in elements, as torch counts them.
Errors:  CheckpointError for an array type torch has no storage for.
Source:  the zip format of torch >= 1.6, measured on files written by torch 2.13.
Differs: no torch needed; dates are fixed, so equal weights give equal bytes.
"""

import os
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from surgjax.checkpoints.atomic import atomic_file
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.pickle_reader import STORAGE_NAMES

_ALIGNMENT = 64  # torch aligns records so that a file can be memory-mapped
_LOCAL_HEADER = 30  # bytes of a zip local header before the name
_STORAGE_OF = {dtype: name for name, dtype in STORAGE_NAMES.items()}


def write_state_dict(path: str | os.PathLike[str], state: Mapping[str, np.ndarray]) -> None:
    """Writes the file whole or not at all."""
    root = "archive"  # not the file's name, as torch does: a renamed file keeps its bytes
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _write(archive, f"{root}/data.pkl", _pickle(state))
        _write(archive, f"{root}/byteorder", b"little")
        for key, array in enumerate(state.values()):
            _write(archive, f"{root}/data/{key}", _little_endian(array))
        _write(archive, f"{root}/version", b"3\n")


def _little_endian(array: np.ndarray) -> bytes:
    array = np.ascontiguousarray(array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    record = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    record.compress_type = zipfile.ZIP_STORED
    start = archive.start_dir + _LOCAL_HEADER + len(name.encode()) + 4
    padding = -start % _ALIGNMENT
    record.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(record, data)


def _pickle(state: Mapping[str, np.ndarray]) -> bytes:
    out = [b"\x80\x02}", _text("model"), b"}("]  # PROTO 2, EMPTY_DICT, key, EMPTY_DICT, MARK
    for key, (name, array) in enumerate(state.items()):
        out += [_text(name), _tensor(name, key, array)]
    out.append(b"us.")  # SETITEMS, SETITEM, STOP
    return b"".join(out)


def _tensor(name: str, key: int, array: np.ndarray) -> bytes:
    kind = _STORAGE_OF.get(array.dtype.name)
    if kind is None:
        raise CheckpointError(f"{name} has type {array.dtype}, which torch has no storage for.")
    stride, step = [], 1
    for n in reversed(array.shape):
        stride.append(step)
        step *= max(n, 1)
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n(",  # GLOBAL, MARK of the arguments
            b"(" + _text("storage") + f"ctorch\n{kind}\n".encode(),
            _text(str(key)) + _text("cpu") + _integer(array.size) + b"tQ",  # TUPLE, BINPERSID
            _integer(0) + _integers(array.shape) + _integers(tuple(reversed(stride))),
            b"\x89",  # requires_grad: NEWFALSE
            b"ccollections\nOrderedDict\n)R",  # no backward hooks: EMPTY_TUPLE, REDUCE
            b"tR",  # TUPLE, REDUCE
        ]
    )


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(data)) + data


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_integer(v) for v in values) + b"t"
