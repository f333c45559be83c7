"""What a run keeps of each finished video, so that it can go on where it was stopped.

Path:    model_run -> [check_run, write_result, read_result] -> OUTPUT/run.json, results
Axes:    rows of object_scores: one for each annotated frame and object.
Units:   frames count from 0 in the video; seconds of wall time.
Errors:  ValueError naming file and setting where a folder holds results of another run, or of a
         video that has changed since.
Source:  ours.
Differs: numbers are written in full, so scores from files are those from memory to the last bit.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgjax.checkpoints.atomic import atomic_file
from surgjax.metrics.object_scores import FrameRows, Row

FORMAT = 1
RUN_FILE = "run.json"
RESULTS = "results"


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """One finished video: rows, not masks."""

    video: str
    stems: tuple[str, ...]  # of all frames
    annotated: tuple[int, ...]  # frames with ground truth
    prompted: Mapping[int, tuple[int, ...]]  # object id -> frames
    fps: float
    rows: tuple[FrameRows, ...]  # for each annotated frame
    notes: tuple[str, ...] = ()
    # Interactive rounds: the rows of each, and what had been spent by then.
    rounds: tuple[tuple[FrameRows, ...], ...] = ()
    clicks: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()
    seconds: float = 0.0  # of tracking and scoring


def digest(settings: Mapping[str, Any]) -> str:
    """A short name of the settings of a run."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping)
        found |= _flat(value, f"{above}{key}.") if nested else {f"{above}{key}": value}
    return found


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Every setting that is not the same in both, by its dotted name, with both values.

    `old` comes from a file; `new` may hold what JSON writes in another way, such as tuples.
    """
    before, now = _flat(old), _flat(json.loads(json.dumps(new)))
    keys = sorted(before.keys() | now.keys())
    return [(k, before.get(k), now.get(k)) for k in keys if before.get(k) != now.get(k)]


def check_run(output: Path, settings: Mapping[str, Any]) -> None:
    """Refuses a folder with results of other settings, naming what differs."""
    path = output / RUN_FILE
    if not any((output / RESULTS).glob("*.json")):
        return
    if not path.exists():
        raise ValueError(f"{path} is missing, but there are results of a run in {output}.")
    for key, old, new in differing(read_json(path), settings):
        raise ValueError(
            f"--output {output} holds a run with {key} = {old!r}, this one has {new!r}: results of "
            "both would mix. Take another folder, or remove it."
        )


def write_run(output: Path, settings: Mapping[str, Any]) -> None:
    """Writes run.json."""
    with atomic_file(output / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError naming the file where there is none."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: it cannot be read as JSON ({error}).") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: an object expected, {type(value).__name__} found.")
    return value


def result_path(output: Path, video: str) -> Path:
    """Where the result of a video lies."""
    return output / RESULTS / f"{video}.json"


def write_result(output: Path, run: str, result: VideoResult) -> None:
    """Writes one finished video, whole or not at all; `run` is the digest of the settings."""
    prompted = {str(i): frames for i, frames in result.prompted.items()}
    value = {"format": FORMAT, "run": run} | dataclasses.asdict(
        dataclasses.replace(result, rows=(), rounds=(), prompted={})
    )
    value |= {"prompted": prompted, "rows": _listed(result.rows)}
    value |= {"rounds": [_listed(rows) for rows in result.rounds]}
    with atomic_file(result_path(output, result.video)) as temporary:
        temporary.write_text(json.dumps(value) + "\n")


def _listed(rows: Sequence[FrameRows]) -> list[dict[str, Row | None]]:
    return [{str(i): row for i, row in frame.items()} for frame in rows]


def _unlisted(value: Sequence[Mapping[str, Any]]) -> tuple[FrameRows, ...]:
    return tuple(
        {int(i): None if row is None else Row(*row) for i, row in frame.items()} for frame in value
    )


def read_result(output: Path, run: str, video: str) -> VideoResult | None:
    """The result of a video; None if it is not finished."""
    path = result_path(output, video)
    if not path.exists():
        return None
    value = read_json(path)
    if (value.pop("format", None), value.pop("run", None)) != (FORMAT, run):
        raise ValueError(f"{path}: a result of another run; remove {path.parent.parent}.")
    try:
        rows = _unlisted(value.pop("rows"))
        value["rounds"] = tuple(_unlisted(each) for each in value["rounds"])
        prompted = {int(i): tuple(frames) for i, frames in value.pop("prompted").items()}
        for key in ("stems", "annotated", "notes", "clicks", "stops"):
            value[key] = tuple(value[key])
        return VideoResult(**value, rows=rows, prompted=prompted)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not a result of format {FORMAT} ({error!r}).") from None
