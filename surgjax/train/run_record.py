"""What a run was started with: config, versions, commit, devices; kept in its folder.

Path:    config -> [run_record] -> WORKDIR/config.json, starts.jsonl
Units:   times in UTC.
Errors:  none: what cannot be found out is null.
Differs: starts.jsonl has a line for every start of the run, so that a resumed run tells which code
         and which machine made which steps; config.json is that of the last start, and what it
         changes is said in the log.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging

import surgjax
from surgjax.checkpoints.atomic import atomic_file
from surgjax.versions import package_versions

PACKAGES = (  # what training computes, reads and writes with
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain", "array_record",
    "tensorflow-datasets", "opencv-python-headless", "pillow",
)  # fmt: skip


def git_commit() -> dict[str, Any]:
    """Commit of the checkout that this code runs from, and whether tracked files differ from it."""
    folder = pathlib.Path(surgjax.__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "is_changed": None if changes is None else bool(changes)}


def config_json(config: Any) -> str:
    """A ConfigDict, a mapping, or None as JSON text."""
    if hasattr(config, "to_json_best_effort"):
        text = config.to_json_best_effort()
    else:
        text = json.dumps(config, default=str)
    return json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def changes(before: Any, after: Any, prefix: str = "") -> list[str]:
    """Entries that differ between two parsed configs, as "name: old -> new"."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = sorted({*before, *after})
        found = [changes(before.get(n), after.get(n), f"{prefix}{n}.") for n in names]
        return [line for lines in found for line in lines]
    return [] if before == after else [f"{prefix.rstrip('.')}: {before} -> {after}"]


def record_start(workdir: str | os.PathLike, config: Any, step: int) -> None:
    """Writes config.json and a line of starts.jsonl; says what the config changes on a resume."""
    if jax.process_index() != 0:
        return
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    text, path = config_json(config), folder / "config.json"
    if step and path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError:
            before = None
        for line in changes(before, json.loads(text)):
            logging.warning("the config differs from this run's last start: %s", line)
    with atomic_file(path) as temporary:
        temporary.write_text(text)
    start = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "step": step,
        "git": git_commit(),
        "versions": package_versions(PACKAGES),
        "devices": [f"{d.platform}:{d.device_kind}" for d in jax.devices()],
        "processes": jax.process_count(),
        "command": sys.argv,
    }
    with open(folder / "starts.jsonl", "a") as file:
        file.write(json.dumps(start) + "\n")
