"""Scores a model on corrupted frames, cell by cell; a run that stopped goes on where it was.

Path:    robustness_cases, a model -> [run] -> cells/*.json -> robustness_tables
Axes:    none.
Units:   seconds of wall time.
Errors:  ValueError for a plan that names what is not there, or cells of another plan in the folder.
Source:  ours.
Differs: prompts come from the clean truth, so they are the same at every severity. Image, point and
         box share one encoding of a frame, and all tasks share a prompt where it is the same.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.evaluation import robustness_prompts as prompts
from surgjax.evaluation.robustness_cases import TASKS, Case, Cases
from surgjax.evaluation.robustness_tables import CLEAN, MODES, SETS, Cell, Scores, score
from surgjax.evaluation.segmenter import Segmenter
from surgjax.inference.mask_writer import write_file
from surgjax.metrics.label_maps import Areas, State
from surgjax.robustness import SEVERITIES, corrupt, corrupt_surgical

INPUTS = {"image": ("image_point", "image_box"), "video": ("video_point",)}
States = dict[tuple[str, str], State]  # mode, task -> areas of all frames


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which part of the tables is worked out."""

    modes: tuple[str, ...] = MODES
    tasks: tuple[str, ...] = TASKS
    corruptions: tuple[str, ...] = SETS["corruptions"]
    surgical: tuple[str, ...] = SETS["surgical"]
    severities: tuple[int, ...] = SEVERITIES
    seed: int = 0

    def __post_init__(self):
        known = {"modes": MODES, "tasks": TASKS, **SETS, "severities": SEVERITIES}
        for name, values in known.items():
            given = getattr(self, name)
            if odd := [value for value in given if value not in values]:
                raise ValueError(
                    f"--{name}: {odd[0]!r} is unknown; expected some of "
                    f"{', '.join(map(str, values))}."
                )
            if len(set(given)) < len(given):
                raise ValueError(f"--{name}: {', '.join(map(str, given))} names one twice.")
        for name in ("modes", "tasks", "severities"):
            if not getattr(self, name):
                raise ValueError(f"--{name}: at least one is needed.")
        if self.seed < 0:
            raise ValueError(f"--seed {self.seed}: expected a whole number from 0.")

    def cells(self) -> list[Cell]:
        """Clean first, then severity by severity of each corruption."""
        named = [(kind, name) for kind in SETS for name in getattr(self, kind)]
        return [CLEAN, *(Cell(k, n, s) for k, n in named for s in sorted(self.severities))]

    def works(self) -> list[tuple[str, Cell]]:
        """(image or video, cell): what is computed and stored at a time."""
        wanted = [kind for kind, modes in INPUTS.items() if set(modes) & set(self.modes)]
        return [(kind, cell) for kind in wanted for cell in self.cells()]


def damaged(frame_u8: np.ndarray, cell: Cell, seed: tuple[int, ...]) -> np.ndarray:
    """A frame as the cell wants it."""
    if cell == CLEAN:
        return frame_u8
    function = corrupt if cell.kind == "corruptions" else corrupt_surgical
    return function(frame_u8, cell.name, cell.severity, seed)


def _image_case(
    model: prompts.ImageModel, case: Case, place: int, cell: Cell, plan: Plan
) -> dict[tuple[str, str], dict]:
    rows: dict[tuple[str, str], dict] = {}
    for frame in range(case.length):
        labelled = case.read(frame)
        wanted = prompts.regions(labelled, plan.tasks)
        if not wanted:
            continue
        model.set_image(damaged(labelled.frame_u8, cell, (plan.seed, place, frame)))
        for mode in INPUTS["image"]:
            if mode not in plan.modes:
                continue
            found = prompts.image_masks(model, wanted, mode.removeprefix("image_"))
            for task in plan.tasks:
                areas = prompts.frame_areas(found, labelled, task, case.types)
                rows.setdefault((mode, task), {})[case.name, frame] = areas
    return rows


def _video_case(
    segmenter: Segmenter, case: Case, place: int, cell: Cell, plan: Plan
) -> dict[tuple[str, str], dict]:
    truths = [case.read(frame) for frame in range(case.length)]
    points = prompts.first_points([prompts.regions(truth, plan.tasks) for truth in truths])
    frames = np.stack(
        [damaged(t.frame_u8, cell, (plan.seed, place, k)) for k, t in enumerate(truths)]
    )
    found: list[dict] = [{} for _ in truths]
    for frame, masks in prompts.video_masks(segmenter, frames, points):
        # A few bits a pixel: all masks of all frames are there until the last group is through.
        found[frame] |= {region: np.packbits(mask) for region, mask in masks.items()}
    rows: dict[tuple[str, str], dict] = {}
    for frame, (packed, truth) in enumerate(zip(found, truths, strict=True)):
        shape = truth.instances.shape
        count = shape[0] * shape[1]
        masks = {
            region: np.unpackbits(bits, count=count).reshape(shape).astype(bool)
            for region, bits in packed.items()
        }
        for task in plan.tasks:
            areas = prompts.frame_areas(masks, truth, task, case.types)
            rows.setdefault(("video_point", task), {})[case.name, frame] = areas
    return rows


def compute_cell(
    kind: str, cell: Cell, cases: Cases, plan: Plan, image: prompts.ImageModel, video: Segmenter
) -> States:
    """All modes and tasks of one cell, for images or for videos."""
    states: States = {}
    for place, case in enumerate(cases.images if kind == "image" else cases.videos):
        if kind == "image":
            rows = _image_case(image, case, place, cell, plan)
        else:
            rows = _video_case(video, case, place, cell, plan)
        for key, frames in rows.items():
            states[key] = {**states.get(key, {}), **frames}
    return states


def _cell_path(folder: Path, kind: str, cell: Cell) -> Path:
    name = "clean" if cell == CLEAN else f"{cell.kind}_{cell.name}_{cell.severity}"
    return folder / "cells" / f"{kind}_{name}.json"


def _store(path: Path, states: States, about: Mapping[str, Any]) -> None:
    listed = [
        {
            "mode": mode,
            "task": task,
            "frames": [
                [case, frame, [[label, *area] for label, area in areas.items()]]
                for (case, frame), areas in state.items()
            ],
        }
        for (mode, task), state in states.items()
    ]
    write_file(path, json.dumps({"about": about, "states": listed}).encode())


def _fits(key: str, theirs: Any, wanted: Any) -> bool:
    """Stored modes and tasks must include the wanted ones; all else must be the same."""
    return set(wanted) <= set(theirs) if key in ("modes", "tasks") else theirs == wanted


def _load(path: Path, about: Mapping[str, Any]) -> States:
    """The wanted modes and tasks of a stored cell, in the order of `about`."""
    try:
        stored = json.loads(path.read_text())
        theirs = stored["about"]
        for key in {**theirs, **about}:
            if key not in theirs or key not in about or not _fits(key, theirs[key], about[key]):
                raise ValueError(
                    f"{path} was computed with {key} {theirs.get(key)!r}, this run has "
                    f"{about.get(key)!r}; choose another --output, or remove that folder."
                )
        found = {
            (row["mode"], row["task"]): {
                (case, frame): {label: Areas(*counts) for label, *counts in areas}
                for case, frame, areas in row["frames"]
            }
            for row in stored["states"]
            if row["mode"] in about["modes"] and row["task"] in about["tasks"]
        }
        keys = [(mode, task) for mode in about["modes"] for task in about["tasks"]]
        return {key: found.get(key, {}) for key in keys}
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: it is no cell of a robustness run ({error}).") from None


def _scores(path: Path, about: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The scores of a stored cell, by mode and task; its areas are let go."""
    found = {}
    for (mode, task), state in _load(path, about).items():
        try:
            found[mode, task] = score(state)
        except ValueError as error:
            raise ValueError(f"{mode}, {task}: {error}") from None
    return found


def _time_left(spent: Sequence[float], left: int) -> str:
    """At the pace of the cells so far; the first one compiles, so it counts only alone."""
    counted = spent[1:] or spent
    seconds = left * sum(counted) / len(counted)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def run(
    cases: Cases,
    plan: Plan,
    image: prompts.ImageModel,
    video: Segmenter,
    output: str | Path,
    model: str,
    say: Callable[[str], None] = print,
) -> Scores:
    """The scores of every cell of the plan; cells that the folder holds are read, not computed.

    `model` names weights and precision, so that cells of another model are refused. Areas of one
    cell at a time are in memory; what stays of it is its scores.
    """
    folder = Path(output)
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    result: dict[tuple[str, str, Cell], dict[str, Any]] = {}
    works, spent = plan.works(), {kind: [] for kind in INPUTS}
    stored = {work: _cell_path(folder, *work) for work in works}
    todo = [work for work in works if not stored[work].exists()]
    if len(todo) < len(works):
        say(f"{len(works) - len(todo)} of {len(works)} cells are there already.")
    for kind, cell in works:
        modes = [mode for mode in INPUTS[kind] if mode in plan.modes]
        tasks = [task for task in TASKS if task in plan.tasks]
        about = {
            "model": model, "seed": plan.seed, "modes": modes, "tasks": tasks,
            **cases.description,
        }  # fmt: skip
        path = stored[kind, cell]
        if (kind, cell) in todo:
            start = time.monotonic()
            _store(path, compute_cell(kind, cell, cases, plan, image, video), about)
            spent[kind].append(time.monotonic() - start)
            todo.remove((kind, cell))
            rest = sum(1 for other, _ in todo if other == kind)
            name = "clean" if cell == CLEAN else f"{cell.name} {cell.severity}"
            say(
                f"{len(works) - len(todo)}/{len(works)} {kind}, {name}: {spent[kind][-1]:.1f} s; "
                f"{_time_left(spent[kind], rest)} left for {kind}s"
            )
        for (mode, task), found in _scores(path, about).items():
            result[mode, task, cell] = found
    return result
