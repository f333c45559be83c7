"""metrics.jsonl: one line per step, and one per evaluation; each once, however often one resumes.

Path:    loop -> [metrics_file] -> WORKDIR/metrics.jsonl
Units:   step counts updates done, so the line of the first update has step 1.
Errors:  none of its own; the operating system's.
Differs: a run that is killed has lines beyond its last checkpoint, the last one perhaps half
         written. They are cut off when it goes on, and written again by the steps taken again.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from absl import logging

from surgjax.checkpoints.atomic import atomic_file

NAME = "metrics.jsonl"


def read_lines(path: str | os.PathLike) -> Iterable[dict[str, Any]]:
    """Lines of a metrics file that are whole."""
    path = pathlib.Path(path)
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            yield line


def cut_after(path: pathlib.Path, step: int) -> None:
    """Drops lines beyond a step and what is no whole line; the file is replaced in one go."""
    if not path.exists():
        return
    before = path.read_text()
    kept = [json.dumps(line) for line in read_lines(path) if line["step"] <= step]
    after = "".join(line + "\n" for line in kept)
    if after != before:
        dropped = before.count("\n") + (not before.endswith("\n")) - len(kept)
        logging.info("%s: %d lines beyond step %d are dropped.", path, dropped, step)
        with atomic_file(path) as temporary:
            temporary.write_text(after)


def _number(value: Any) -> Any:
    """JSON has no NaN and no infinity; null stands for them."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.9g}") if math.isfinite(value) else None  # 9 digits tell float32s apart


class MetricsFile:
    """Appends lines. Flush before a checkpoint, so that its steps' lines outlive the process."""

    def __init__(self, folder: str | os.PathLike, step: int):
        """step: where the run begins; lines beyond it go."""
        self.path = pathlib.Path(folder, NAME)
        cut_after(self.path, step)
        self.evaluated = {line["step"] for line in read_lines(self.path) if "eval" in line}
        self._file = open(self.path, "a")

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """One line; `values` may hold a mapping of further ones."""
        line: dict[str, Any] = {"step": step}
        for name, value in values.items():
            is_group = isinstance(value, Mapping)
            line[name] = {k: _number(v) for k, v in value.items()} if is_group else _number(value)
        self._file.write(json.dumps(line) + "\n")
        if "eval" in values:
            self.evaluated.add(step)

    def flush(self) -> None:
        """Hands the lines to the operating system."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()
