"""JSON files of archives, with errors that name the file and what it should hold.

Path:    archive -> [json_files] -> builder
Axes:    none.
Units:   none.
Errors:  ArchiveError for a file that is no JSON, or whose outermost value is of another kind.
"""

import json
from pathlib import Path
from typing import Any

from tfds_builders.kit.archive import ArchiveError

_NAMES = {dict: "an object", list: "a list"}


def read(path: Path, kind: type | tuple[type, ...] = dict, keys: tuple[str, ...] = ()) -> Any:
    """The decoded file: an object (that has all `keys`), a list, or either."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: expected a JSON file, found nothing.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path}: not JSON ({error}).") from error
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(_NAMES[one] for one in kinds)
        raise ArchiveError(f"{path}: expected {wanted}, found {type(value).__name__}.")
    missing = [key for key in keys if key not in value]
    if missing:
        raise ArchiveError(f"{path}: expected the keys {', '.join(keys)}; {missing[0]} is missing.")
    return value
