"""Our own checkpoint folder: the params in Orbax, the config beside them.

Path:    params, Sam2Config -> [orbax] -> folder -> params, Sam2Config
Axes:    ours (see `tables.sam2`).
Units:   none.
Errors:  CheckpointError naming the folder: not one of ours, a missing or damaged part, tensors
         that do not fit the config, or values that differ from the stored sum.
Source:  orbax-checkpoint 0.12, StandardCheckpointer.
Differs: Orbax alone restores whatever tree it finds. Here the files' sizes and the tree are
         checked before a weight is read, and the restored values against their sum.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from surgjax.checkpoints.atomic import atomic_folder, reserve
from surgjax.checkpoints.config_json import config_from_dict, config_to_json
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.fingerprint import content_sha256, tensor_records
from surgjax.checkpoints.key_check import find_problems, raise_problems
from surgjax.checkpoints.tables import sam2 as tables
from surgjax.checkpoints.torch_export import check_params
from surgjax.checkpoints.torch_import import set_leaf
from surgjax.models.variants import Sam2Config

FORMAT = "surgjax-params-1"
CONFIG_FILE = "config.json"
PARAMS_FOLDER = "params"
_OVERHEAD = 2**20  # bytes that Orbax's own records and ours take, generously


def is_params_folder(path: Path) -> bool:
    """Whether `path` looks like a folder that `save_params` wrote."""
    return (path / CONFIG_FILE).is_file() and (path / PARAMS_FOLDER).is_dir()


def save_params(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    config: Sam2Config,
    *,
    source: str = "",
    overwrite: bool = False,
) -> str:
    """Writes the folder whole or not at all; returns the sha256 of its content."""
    with atomic_folder(path, overwrite) as temporary:
        return write_params(temporary, params, config, source=source)


def tree_of(metadata: Any) -> Any:
    """The tree of leaves in what Orbax says of a checkpoint or of one of its items."""
    tree = getattr(metadata, "item_metadata", metadata)
    return getattr(tree, "tree", tree)


def own_checkpointer() -> Any:
    """Orbax's checkpointer for files that this process reads or writes by itself.

    Left to itself Orbax waits for every process of the run, in reading too.
    """
    import jax
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    index = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=index,
            active_processes={index},
            barrier_sync_key_prefix=f"process_{index}",
        )
    )


def write_params(
    folder: Path, params: Mapping[str, Any], config: Sam2Config, *, source: str = ""
) -> str:
    """Writes into an existing empty folder, for callers that add files of their own."""
    tree: dict[str, Any] = {}
    flat = check_params(params, config)
    for row in tables.table(config):
        set_leaf(tree, row.path, flat["/".join(row.path)].astype("float32", copy=False))
    sha256 = content_sha256(tensor_records(tree, config))
    reserve(folder, sum(array.nbytes for array in flat.values()) + _OVERHEAD)
    try:
        with _quiet(), own_checkpointer() as checkpointer:
            checkpointer.save(folder.absolute() / PARAMS_FOLDER, tree)
            checkpointer.wait_until_finished()
    except Exception as error:  # a full disk comes as whatever type the storage layer has
        raise CheckpointError(
            f"{folder / PARAMS_FOLDER}: cannot be written ({_first_line(error)})."
        ) from None
    about = {
        "format": FORMAT,
        "config": json.loads(config_to_json(config)),
        "sha256": sha256,
        "source": source,
        "files": _file_sizes(folder / PARAMS_FOLDER),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(about, indent=1) + "\n")
    return sha256


def load_params(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Sam2Config, str]:
    """The params as NumPy arrays, their config, and the sha256 of the content."""
    path = Path(os.path.abspath(path))
    try:
        about = json.loads((path / CONFIG_FILE).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path / CONFIG_FILE}: cannot be read ({error}).") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(f"{path / CONFIG_FILE}: expected format {FORMAT!r}.")
    try:
        config = config_from_dict(about.get("config"))
        _check_files(path / PARAMS_FOLDER, about.get("files"))
        params = _restore(path / PARAMS_FOLDER, config)
        sha256 = content_sha256(tensor_records(params, config))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if sha256 != about.get("sha256"):
        raise CheckpointError(
            f"{path}: is damaged: the weights have sha256 {sha256}, "
            f"{CONFIG_FILE} says {about.get('sha256')}."
        )
    return params, config, sha256


def _restore(folder: Path, config: Sam2Config) -> dict[str, Any]:
    import jax
    import numpy as np

    expected = {"/".join(row.path): row.params_shape for row in tables.table(config)}
    target: dict[str, Any] = {}
    for row in tables.table(config):
        set_leaf(target, row.path, np.empty(row.params_shape, np.float32))
    with _quiet(), own_checkpointer() as checkpointer:
        try:
            found = _shapes(tree_of(checkpointer.metadata(folder)))
        except Exception as error:  # Orbax has no base class of its own for a damaged folder
            raise CheckpointError(
                f"has no readable Orbax metadata ({_first_line(error)})."
            ) from None
        problems = find_problems(found, expected)
        raise_problems(problems, f"does not fit SAM {config.version} {config.name}")
        try:
            restored = checkpointer.restore(folder, target)
        except Exception as error:
            raise CheckpointError(f"cannot be restored ({_first_line(error)}).") from None
    return jax.tree.map(np.asarray, restored)


def _file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file of the Orbax folder, by relative name."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}


def _check_files(folder: Path, expected: Any) -> None:
    """Finds a folder that was copied in part; Orbax would report it from threads, at length."""
    if not isinstance(expected, dict):
        raise CheckpointError(f"lists no files in its {CONFIG_FILE}.")
    found = _file_sizes(folder)
    for name, size in expected.items():
        if found.get(name) != size:
            state = f"{found[name]} bytes" if name in found else "no such file"
            raise CheckpointError(
                f"is damaged: {PARAMS_FOLDER}/{name}: expected {size} bytes, found {state}."
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the thirty lines Orbax logs per folder at INFO; --verbosity=1 keeps them."""
    before = logging.get_verbosity()
    if before == logging.INFO:
        logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _shapes(tree: Any, prefix: str = "") -> dict[str, tuple[tuple[int, ...], str]]:
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _shapes(value, f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = (tuple(value.shape), str(value.dtype))
    return found


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
