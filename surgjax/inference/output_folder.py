"""A folder of results that appears when it is finished, and never half.

Path:    mask_writer, viz -> [output_folder] -> the user's folder
Errors:  OutputError if the folder holds other things, would swallow its own input, is being
         written by another process, or holds an unfinished run that nobody asked to go on with.
Source:  ours.
Differs: nothing to compare with.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_PREFIX = ".unfinished-"
_LOCK = "lock"


class OutputError(ValueError):
    """An output folder that cannot be used."""


class OutputFolder:
    """Results are made in `work`, a hidden folder inside, and moved out by `finish`.

    A run that leaves the file `marker` in `work` can be gone on with after it was killed: then
    `resume` makes `open` take that folder again. Without `marker` what a killed run left is removed
    by the next one.
    """

    def __init__(
        self,
        path: str | Path,
        items: Sequence[str],
        overwrite: bool = False,
        *,
        marker: str | None = None,
        resume: bool = False,
    ):
        """Refuses a non-empty folder unless `overwrite` or `resume`; only `items` are ever
        replaced."""
        self.path, self.items = Path(path), tuple(items)
        self.marker = marker
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"output {self.path} is a file; a folder expected.")
        self._made: list[Path] = []
        self._lock: int | None = None
        self.work: Path
        found = [f for f in self._left() if marker is not None and (f / marker).exists()]
        self.unfinished: Path | None = None
        if resume and found:
            self.unfinished = max(found, key=lambda f: (f / str(marker)).stat().st_mtime)
        if found and not (overwrite or resume):
            raise OutputError(
                f"output {self.path} holds a run that was interrupted: --resume goes on with it, "
                "--overwrite begins again."
            )
        if self.has_content and not (overwrite or resume):
            raise OutputError(
                f"output {self.path} is not empty; --overwrite replaces {', '.join(items)} in it "
                "and leaves other files alone."
            )

    def _left(self) -> list[Path]:
        """What runs that were killed have left."""
        return [f for f in self.path.glob(f"{_PREFIX}*") if f.is_dir()]

    @property
    def has_content(self) -> bool:
        """Whether anything lies in the folder but what a killed run left."""
        return self.path.is_dir() and any(
            not entry.name.startswith(_PREFIX) for entry in self.path.iterdir()
        )

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

    def open(self, recover: Sequence[str] = ()) -> Path:
        """Makes the folders, or takes those of the interrupted run. Returns `work`.

        `recover` are items that such a run needs back if it had moved them out already.
        """
        try:
            for folder in (*reversed(self.path.parents), self.path):
                if not folder.exists():
                    folder.mkdir()
                    self._made.append(folder)
            for stale in self._left():  # by a run that was killed
                if stale != self.unfinished:
                    os.close(self._locked(stale))
                    shutil.rmtree(stale, ignore_errors=True)
            if self.unfinished is not None:
                self.work, self._lock = self.unfinished, self._locked(self.unfinished)
                for item in recover:
                    if (self.path / item).exists() and not (self.work / item).exists():
                        os.replace(self.path / item, self.work / item)
                return self.work
            self.work = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.path))
            self._lock = self._locked(self.work)
        except OSError as error:
            self._remove_made()
            raise OutputError(f"output {self.path} cannot be written: {error.strerror}.") from error
        return self.work

    def _locked(self, work: Path) -> int:
        """The lock of a folder at work; the system frees it when its process ends in any way."""
        handle = os.open(work / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise OutputError(
                f"output {self.path} is being written by another process; wait for it, or end it."
            ) from None
        except OSError:
            pass  # this file system has no locks: then two runs are not told apart, as before
        return handle

    def release(self) -> None:
        """Frees the lock; `finish` and `discard` do so too."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def finish(self, keep_work: bool = False) -> list[Path]:
        """Moves the results out, replacing those of an earlier run. Returns where they are.

        keep_work leaves what a later run needs to go on from here.
        """
        try:
            return self._move_out(keep_work)
        finally:
            self.release()

    def _move_out(self, keep_work: bool) -> list[Path]:
        for item in self.items:
            old = self.path / item
            if old.exists() or old.is_symlink():
                _remove(self.work / f"old-{item}")  # of a run that ended right here
                os.replace(old, self.work / f"old-{item}")
        results = []
        for item in self.items:
            if (self.work / item).exists():
                os.replace(self.work / item, self.path / item)
                results.append(self.path / item)
        if keep_work:
            for item in self.items:
                _remove(self.work / f"old-{item}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)
        return results

    def discard(self) -> None:
        """Removes what was made; an earlier run's results stay as they were.

        With the marker in it there is something to go on from, and that stays too.
        """
        if self.marker is None or not (self.work / self.marker).exists():
            shutil.rmtree(self.work, ignore_errors=True)
            self._remove_made()
        self.release()

    def _remove_made(self) -> None:
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                return


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
