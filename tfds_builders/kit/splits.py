"""Splits committed as text files: `<split> <video or patient id>` per line.

Path:    <builder>/splits/*.txt -> [splits] -> builder
Axes:    none.
Units:   none.
Errors:  ArchiveError for a line that is no pair, or an id in two splits.
Differs: `official.txt` is what is built on disk. Any other file NAME.txt holds further splits over
         the same records, called `<split>_NAME` (see surgjax.data.index.SetIndex).
"""

from collections.abc import Iterable
from pathlib import Path

from tfds_builders.kit.archive import ArchiveError

_CHOLEC80_FAMILY = Path(__file__).with_name("cholec80_family.txt")


def read(path: Path) -> dict[str, str]:
    """{id: split}, in the file's order. `#` starts a comment."""
    result: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        words = line.split()
        if len(words) != 2:
            raise ArchiveError(f"{path}:{number}: expected '<split> <id>', found {line!r}.")
        split, name = words
        if result.setdefault(name, split) != split:
            raise ArchiveError(f"{path}:{number}: {name} is in {result[name]} and in {split}.")
    return result


def official(folder: Path) -> dict[str, str]:
    """{id: split} of a builder's own folder."""
    return read(folder / "splits" / "official.txt")


def named(folder: Path) -> dict[str, dict[str, str]]:
    """{NAME: {id: split}} of every further split file of a builder."""
    files = sorted((folder / "splits").glob("*.txt"))
    return {path.stem: read(path) for path in files if path.stem != "official"}


def cholec80_family(number: int) -> str:
    """The split of a Cholec80 / CholecT50 video that no data set of the family may contradict.

    Source: the split table of CholecInstanceSeg, which covers the most videos; the rest trains.
    """
    return read(_CHOLEC80_FAMILY).get(f"{number:02d}", "train")


def cholec80_patient(number: int) -> str:
    """The name that every data set of the Cholec80 family gives to a video's patient."""
    return f"cholec80_{number:02d}"


def cholec80_global(patients: Iterable[str]) -> dict[str, dict[str, str]]:
    """The named split `global` as {"global": {patient: split}}: one table for the whole family."""
    table = {name: cholec80_family(int(name.rpartition("_")[2])) for name in sorted(set(patients))}
    return {"global": table}
