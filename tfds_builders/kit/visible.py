"""An archive's folder without what operating systems and tools put there.

Path:    folder of the user's -> [visible] -> builder.find, builder.check
Axes:    none.
Units:   none.
Errors:  none of its own.
Differs: `pathlib` lists `._0001.jpg`, `.DS_Store` and `__MACOSX` as it lists frames; a disk that
         was written by a Mac holds one such file beside every frame.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PosixPath

_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini")


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name belongs to no archive."""
    return name.startswith(".") or name in _NAMES


class VisiblePath(PosixPath):
    """A path that lists no hidden files or folders; nor do the paths derived from it."""

    def iterdir(self) -> Iterator["VisiblePath"]:  # type: ignore[override]
        return (path for path in super().iterdir() if not is_hidden(path.name))

    def glob(self, pattern: str, **kwargs) -> Iterator["VisiblePath"]:  # type: ignore[override]
        return self._seen(super().glob(pattern, **kwargs))

    def rglob(self, pattern: str, **kwargs) -> Iterator["VisiblePath"]:  # type: ignore[override]
        return self._seen(super().rglob(pattern, **kwargs))

    def _seen(self, paths) -> Iterator["VisiblePath"]:
        for path in paths:
            if not any(map(is_hidden, path.relative_to(self).parts)):
                yield path


def visible(root: Path) -> VisiblePath:
    """The same folder, without its hidden files."""
    return VisiblePath(root)


def by_numbers(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts names with their numbers as numbers: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
