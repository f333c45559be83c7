"""Files and folders that appear whole under their name, or not at all.

Path:    writers -> temporary name beside the target -> [atomic] -> target
Axes:    none.
Units:   none.
Errors:  CheckpointError for a target that must not be replaced; OSError (a full disk, say) passes
         through after the temporary name and any folder made for it are gone.
Source:  ours.
Differs: torch.save and safetensors write in place, and leave half a file when the disk is full.
"""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from surgjax.checkpoints.errors import CheckpointError


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path; renames it to `path` when the block ends without an error."""
    path = Path(os.path.abspath(path))
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder, expected the name of a file to write.")
    with _parents_of(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes the file private
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def atomic_folder(
    path: str | os.PathLike[str], overwrite: bool = False, stale: Collection[str] = ()
) -> Iterator[Path]:
    """Yields a temporary folder whose content becomes that of `path`.

    With `overwrite`, entries of `path` named in `stale` go, and so do those a new entry of the
    same name replaces. Everything else stays: the folder may hold more than we put there.
    """
    path = Path(os.path.realpath(path))
    check_output_folder(path, overwrite)
    with _parents_of(path):
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            if path.exists() and any(path.iterdir()):
                _replace_entries(temporary, path, stale)
            else:
                os.rename(temporary, path)  # POSIX lets a folder replace an empty one
        finally:
            _remove(temporary)


def reserve(folder: Path, size: int) -> None:
    """Raises the OSError of a full disk before `size` bytes are written, not halfway.

    Orbax writes from threads of its own, which report a full disk with tracebacks on stderr.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if hasattr(os, "posix_fallocate"):  # knows quotas and limits too
        with tempfile.TemporaryFile(dir=folder) as file:  # has no name, so nothing can stay
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # not on this file system
                    raise


def check_output_folder(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raises if `path` cannot become an output folder; touches nothing."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise CheckpointError(f"--output {path}: is a file, expected a folder.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise CheckpointError(f"--output {path}: is not empty; pass --overwrite to write there.")


def _replace_entries(new: Path, path: Path, stale: Collection[str]) -> None:
    """Moves each entry of `new` into `path`; puts the old ones back if that fails."""
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    entries = sorted(p.name for p in new.iterdir())
    moved: list[tuple[Path, Path]] = []
    try:
        for name in sorted({*entries, *stale}):
            if os.path.lexists(path / name):
                os.rename(path / name, old / name)
                moved.append((path / name, old / name))
        for name in entries:
            os.rename(new / name, path / name)
            moved.append((new / name, path / name))
    except BaseException:
        for before, after in reversed(moved):
            os.rename(after, before)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _parents_of(path: Path) -> Iterator[None]:
    """Makes the parent folders of `path`, and removes those it made if the block fails."""
    made = [p for p in path.parents if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in made:  # deepest first
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _remove(folder: Path) -> None:
    """Removes a tree, though a writer's thread may still add to it for a moment."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
