"""Sizes and sums of a checkpoint's files: written with it, checked before it is read.

Path:    checkpointing -> files.json -> [checkpoint_files] -> checkpointing
Units:   bytes; crc32 as zlib computes it.
Errors:  none raised; what is wrong comes back as a line of text.
Differs: Orbax reports a damaged file from threads of its own, or, where an array's bytes changed
         but can still be decoded, not at all.
"""

import json
import pathlib
import zlib

FILES_NAME = "files.json"
# Orbax writes or changes these when it commits, after the list is made.
_NOT_LISTED = {FILES_NAME, "_CHECKPOINT_METADATA", "commit_success.txt"}
_CHUNK = 1 << 22


def _record(path: pathlib.Path) -> list[int]:
    size = crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return [size, crc]


def _listed(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix(): p for p in paths if p.name not in _NOT_LISTED}


def write_list(folder: pathlib.Path) -> None:
    """Lists every file of a checkpoint that is about to be committed."""
    records = {name: _record(path) for name, path in _listed(folder).items()}
    (folder / FILES_NAME).write_text(json.dumps(records, indent=0) + "\n")


def find_damage(folder: pathlib.Path) -> str:
    """What is wrong with a checkpoint's files in one line; empty if nothing is."""
    try:
        expected = json.loads((folder / FILES_NAME).read_text())
    except (OSError, ValueError) as error:
        return f"{FILES_NAME} cannot be read ({error})"
    if not isinstance(expected, dict) or not expected:
        return f"{FILES_NAME} lists no files"
    found = _listed(folder)
    for name, record in expected.items():
        if name not in found:
            return f"{name} is missing"
        try:
            size, crc = _record(found[name])
        except OSError as error:
            return f"{name} cannot be read ({error})"
        if size != record[0]:
            return f"{name} has {size} bytes, expected {record[0]}"
        if crc != record[1]:
            return f"{name} has other content than was written"
    return ""
