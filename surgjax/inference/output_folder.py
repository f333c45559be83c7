"""A folder of results that appears when it is finished, and never half.

Path:    mask_writer, viz -> [output_folder] -> the user's folder
Errors:  OutputError if the folder holds other things, or would swallow its own input.
Source:  ours.
Differs: nothing to compare with.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_PREFIX = ".unfinished-"


class OutputError(ValueError):
    """An output folder that cannot be used."""


class OutputFolder:
    """Results are made in `work`, a hidden folder inside, and moved out by `finish`."""

    def __init__(self, path: str | Path, items: Sequence[str], overwrite: bool = False):
        """Refuses a non-empty folder unless `overwrite`; then only `items` are ever replaced."""
        self.path, self.items = Path(path), tuple(items)
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"output {self.path} is a file; a folder expected.")
        # What a killed run left is no content; `open` removes it.
        if (
            not overwrite
            and self.path.is_dir()
            and any(not entry.name.startswith(_PREFIX) for entry in self.path.iterdir())
        ):
            raise OutputError(
                f"output {self.path} is not empty; --overwrite replaces {', '.join(items)} in it "
                "and leaves other files alone."
            )
        self._made: list[Path] = []
        self.work: Path

    def check_input(self, name: str, path: str | Path) -> None:
        """An input that lies among the results would be lost, one that is the folder spoiled."""
        path = Path(path).resolve()
        if path == self.path.resolve():
            raise OutputError(
                f"{name} {path} is the output folder too; results would be taken for frames."
            )
        for item in self.items:
            result = (self.path / item).resolve()
            if path == result or result in path.parents:
                raise OutputError(f"{name} {path} lies in the results to be written, {result}.")

    def open(self) -> Path:
        """Makes the folders. Returns `work`."""
        try:
            for folder in (*reversed(self.path.parents), self.path):
                if not folder.exists():
                    folder.mkdir()
                    self._made.append(folder)
            for stale in self.path.glob(f"{_PREFIX}*"):  # left by a run that was killed
                shutil.rmtree(stale, ignore_errors=True)
            self.work = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.path))
        except OSError as error:
            self._remove_made()
            raise OutputError(f"output {self.path} cannot be written: {error.strerror}.") from error
        return self.work

    def finish(self) -> list[Path]:
        """Moves the results out, replacing those of an earlier run. Returns where they are."""
        for item in self.items:
            old = self.path / item
            if old.exists() or old.is_symlink():
                os.replace(old, self.work / f"old-{item}")
        results = []
        for item in self.items:
            if (self.work / item).exists():
                os.replace(self.work / item, self.path / item)
                results.append(self.path / item)
        shutil.rmtree(self.work, ignore_errors=True)
        return results

    def discard(self) -> None:
        """Removes what was made; an earlier run's results stay as they were."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._remove_made()

    def _remove_made(self) -> None:
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                return
