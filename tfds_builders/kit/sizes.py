"""Image sizes of an archive against the published one, from headers alone.

Path:    builder.check -> [sizes] -> report
Axes:    none.
Units:   pixels, width x height.
Errors:  a header that cannot be read becomes a finding; a file that is not there is left to the
         check of files.
"""

from collections.abc import Iterable
from pathlib import Path

from tfds_builders.kit import archive
from tfds_builders.kit.archive import CorruptImage
from tfds_builders.kit.report import Report


def compare(
    report: Report,
    root: Path,
    what: str,
    names: Iterable[str],
    expected: tuple[int, int] | tuple[tuple[int, int], ...] | None,
    *,
    sure: bool,
) -> None:
    """All images `names` (relative paths) should be `expected` (width, height), or one of several.

    None: no size was published; the sizes found are told.
    """
    found: set[tuple[int, int]] = set()
    for name in names:
        if (root / name).is_file():
            try:
                found.add(archive.size_of(root / name))
            except CorruptImage as error:
                report.error("corrupt", name, "an image", error)
    told = _told(found)
    if expected is None:
        report.fact(what, told)
        return
    wanted = expected if isinstance(expected[0], tuple) else (expected,)
    wrong = found - set(wanted)
    # Only what is wrong is compared: one of two allowed sizes alone is no difference.
    report.compare(what, _told(wanted), told if wrong else _told(wanted), sure=sure, kind="size")


def _told(sizes) -> str:
    return ", ".join(f"{width}x{height}" for width, height in sorted(sizes)) or "none"
