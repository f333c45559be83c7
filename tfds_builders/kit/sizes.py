"""Image sizes of an archive against the published one, from headers alone.

Path:    builder.check -> [sizes] -> report
Axes:    none.
Units:   pixels, width x height.
Errors:  a header that cannot be read becomes a finding; a file that is not there is left to the
         check of files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tfds_builders.kit import archive
from tfds_builders.kit.archive import CorruptImage
from tfds_builders.kit.report import Report


def compare(
    report: Report,
    root: Path,
    what: str,
    names: Iterable[str],
    expected: Sequence[tuple[int, int]],
    *,
    sure: bool,
) -> None:
    """Every image of `names` (relative paths) should have one of the `expected` sizes.

    Nothing expected: no size was published, and those found are told.
    """
    found: set[tuple[int, int]] = set()
    for name in names:
        if (root / name).is_file():
            try:
                found.add(archive.size_of(root / name))
            except CorruptImage as error:
                report.error("corrupt", name, "an image", error)
    if found <= set(expected) or not expected:
        report.fact(what, _told(found))
    else:
        report.compare(what, _told(expected), _told(found), sure=sure, kind="size")


def _told(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{width}x{height}" for width, height in sorted(sizes)) or "none"
