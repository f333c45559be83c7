"""What a run leaves to be looked at: metrics.jsonl, TensorBoard, pictures. Process 0 writes.

Path:    loop -> [recording] -> WORKDIR/metrics.jsonl, tensorboard/, pictures/step_0001000/*.png
Axes:    pictures uint8 [H, W, 3], RGB.
Units:   step counts updates done.
Errors:  ValueError naming the picture that is not uint8 [H, W, 3], or has no name for a file.
Differs: TensorBoard's event files come from tensorboardX, if it is installed; without TensorFlow.
"""

import contextlib
import importlib.util
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from PIL import Image

from surgjax.checkpoints.atomic import atomic_file
from surgjax.train.metrics_file import MetricsFile

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def check_pictures(pictures: Mapping[str, np.ndarray]) -> None:
    """Refuses what cannot be written, before anything of an evaluation is."""
    for name, picture in pictures.items():
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"picture {name!r}: expected a name of letters, digits, '_', '-' and '.'."
            )
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
            raise ValueError(
                f"picture {name!r}: expected uint8 [H, W, 3], found {array.dtype} {array.shape}."
            )


def write_pictures(folder: pathlib.Path, pictures: Mapping[str, np.ndarray]) -> None:
    """One PNG each."""
    for name, picture in pictures.items():
        with atomic_file(folder / f"{name}.png") as temporary:
            Image.fromarray(np.asarray(picture)).save(temporary, format="PNG")


@contextlib.contextmanager
def _no_torch() -> Iterator[None]:
    """tensorboardX imports torch where it is installed: seconds, and memory, for nothing."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules["torch"]


def _open_tensorboard(folder: pathlib.Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboardX") is None:
        logging.info("no TensorBoard files: pip install 'surgjax[tb]' brings tensorboardX.")
        return None
    with _no_torch():
        from tensorboardX import SummaryWriter

    # What an interrupted run wrote beyond its checkpoint is not shown.
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


class Recorder:
    """Writes on process 0; on the others it takes everything and does nothing. Close it."""

    def __init__(self, workdir: str | os.PathLike, step: int, tensorboard: bool = True):
        """step: where the run begins, 0 or that of the restored checkpoint."""
        self._folder = pathlib.Path(workdir)
        self._file = self._board = None
        self._evaluated: set[int] = set()
        if jax.process_index() == 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = MetricsFile(self._folder, step)
            self._evaluated = self._file.evaluated
            if tensorboard:
                self._board = _open_tensorboard(self._folder / "tensorboard", step)

    def is_evaluated(self, step: int) -> bool:
        """Whether an evaluation of this step is on record; all processes hear the same."""
        found = step in self._evaluated
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            found = bool(multihost_utils.broadcast_one_to_all(np.array(found)))
        return found

    def step(
        self, step: int, kind: str, seconds: float | None, metrics: Mapping[str, float]
    ) -> None:
        """The line of one update; no time if it was compiled first."""
        if self._file is not None:
            step_ms = None if seconds is None else round(1000 * seconds, 1)
            self._file.write(step, {"kind": kind, "step_ms": step_ms} | dict(metrics))

    def means(self, step: int, kind: str, metrics: Mapping[str, float]) -> None:
        """Means since the last report, for TensorBoard."""
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def evaluation(
        self, step: int, metrics: Mapping[str, float], pictures: Mapping[str, np.ndarray]
    ) -> None:
        """An evaluation's scores and pictures."""
        check_pictures(pictures)
        if self._file is None:
            return
        write_pictures(self._folder / "pictures" / f"step_{step:07d}", pictures)
        self._file.write(step, {"eval": dict(metrics)})
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(f"eval/{name.replace('&', '_')}", value, step)
            for name, picture in pictures.items():
                self._board.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def flush(self) -> None:
        """Hands everything to the operating system: it outlives this process."""
        if self._file is not None:
            self._file.flush()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
