"""Tables of robustness: what a score loses to every corruption, and on average.

Path:    states of cells -> [score] -> robustness_run -> [build_report] -> CSV, robustness_page
Axes:    one row for each mode and task, group of corruptions, class, corruption, or cell.
Units:   IoU as fractions of 1; `drop` is clean minus corrupted, `relative_drop` that over clean.
Errors:  ValueError if there is no clean cell, or nothing to score in a task.
Source:  the tables' shape is that of arXiv:2304.14674 and arXiv:2408.04593.
Differs: those papers' tables could not be read, so which mean of IoU they print is not known; the
         one used here is said in docs/robustness.md, with two others beside it.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from surgjax.metrics import endovis_type
from surgjax.metrics.label_maps import State
from surgjax.metrics.means import mean
from surgjax.robustness import CORRUPTIONS, SEVERITIES, SURGICAL

SETS = {"corruptions": tuple(CORRUPTIONS), "surgical": SURGICAL}
MODES = ("image_point", "image_box", "video_point")
TABLES = ("summary", "per_group", "per_class", "per_corruption", "per_cell")
CLASSES = ("parts", "type")  # tasks with more than one label
PROMPTS = "true masks: a point or the box of every object, in a video a point where it first shows"


class Cell(NamedTuple):
    """One damage at one severity."""

    kind: str  # "clean", or one of SETS
    name: str
    severity: int


CLEAN = Cell("clean", "", 0)
Scores = Mapping[tuple[str, str, Cell], Mapping[str, Any]]  # of a mode, a task and a cell
GROUPS = tuple(dict.fromkeys(corruption.group for corruption in CORRUPTIONS.values()))


def score(state: State) -> dict[str, Any]:
    """`mean_iou`: per frame the mean over the labels in truth or prediction, then over frames.

    `per_class`: label -> mean over the frames with it in truth or prediction.
    """
    if not any(area.target for areas in state.values() for area in areas.values()):
        raise ValueError("nothing to score: the truth shows no label on any frame.")
    found = endovis_type.compute(state)
    return {
        "mean_iou": found["isi_iou"],
        "challenge_iou": found["challenge_iou"],
        "mc_iou": found["mc_iou"],
        "frames": sum(1 for areas in state.values() if areas),
        "per_class": {row["class"]: row["iou"] for row in found["per_class"]},
    }


def _losses(clean: float, value: float) -> dict[str, float]:
    relative = (clean - value) / clean if clean else math.nan
    return {"mean": value, "drop": clean - value, "relative_drop": relative}


def _corruption_rows(scores: Scores, mode: str, task: str, kind: str) -> list[dict[str, Any]]:
    clean = scores[mode, task, CLEAN]["mean_iou"]
    cells = {
        c: s["mean_iou"] for (m, t, c), s in scores.items() if (m, t, c.kind) == (mode, task, kind)
    }
    rows = []
    for name in SETS[kind]:
        found = {c.severity: value for c, value in cells.items() if c.name == name}
        if not found:
            continue
        levels = {f"severity_{s}": found[s] for s in SEVERITIES if s in found}
        head = {"mode": mode, "task": task, "set": kind, "corruption": name, "clean": clean}
        rows.append(head | levels | _losses(clean, mean(found.values())))
    return rows


def _summary(rows: list[dict[str, Any]], number: int = 0) -> dict[str, Any]:
    """Means over the corruptions of one mode, task and set, severity by severity too.

    `number`: how many corruptions there are; default: those of the whole set.
    """
    first = rows[0]
    keys = [key for key in first if key.startswith("severity_")]
    whole = len(rows) == (number or len(SETS[first["set"]])) and len(keys) == len(SEVERITIES)
    return {
        **{key: first[key] for key in ("mode", "task", "set", "clean")},
        **{key: mean(row[key] for row in rows) for key in keys},
        **_losses(first["clean"], mean(row["mean"] for row in rows)),
        "corruptions": len(rows),
        "complete": whole,
    }


def _group_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the noises, blurs, weathers and digital ones, of those rows that are there."""
    found = []
    for group in GROUPS:
        members = [name for name, one in CORRUPTIONS.items() if one.group == group]
        if here := [row for row in rows if row["corruption"] in members]:
            means = _summary(here, len(members))
            head = {key: means.pop(key) for key in ("mode", "task", "set")}
            found.append(head | {"group": group} | means)
    return found


def _class_rows(scores: Scores, mode: str, task: str, kind: str) -> list[dict[str, Any]]:
    """Means over the corruptions of a set for every class (or part), of its own IoU."""
    clean = scores[mode, task, CLEAN].get("per_class", {})
    cells = {
        c: s["per_class"]
        for (m, t, c), s in scores.items()
        if (m, t, c.kind) == (mode, task, kind) and "per_class" in s
    }
    rows = []
    for label in sorted({label for found in (clean, *cells.values()) for label in found}):
        levels: dict[str, float] = {}
        for severity in SEVERITIES:
            of = [f[label] for c, f in cells.items() if c.severity == severity and label in f]
            levels |= {f"severity_{severity}": mean(of)} if of else {}
        of = [found[label] for found in cells.values() if label in found]
        if of:
            first = clean.get(label, math.nan)
            head = {"mode": mode, "task": task, "set": kind, "class": label, "clean": first}
            rows.append(head | levels | _losses(first, mean(of)))
    return rows


def tables(scores: Scores) -> dict[str, list[dict[str, Any]]]:
    """`summary`, `per_group`, `per_class`, `per_corruption`, `per_cell`, in the order of modes."""
    pairs = list(dict.fromkeys((mode, task) for mode, task, _ in scores))
    pairs.sort(key=lambda pair: MODES.index(pair[0]))
    result: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for mode, task in pairs:
        if (mode, task, CLEAN) not in scores:
            raise ValueError(f"{mode}, {task}: no score without a corruption.")
        for kind in SETS:
            rows = _corruption_rows(scores, mode, task, kind)
            result["per_corruption"] += rows
            result["summary"] += [_summary(rows)] if rows else []
            result["per_group"] += _group_rows(rows) if kind == "corruptions" else []
            result["per_class"] += _class_rows(scores, mode, task, kind) if task in CLASSES else []
        for (m, t, cell), found in scores.items():
            if (m, t) == (mode, task):
                head = {"mode": mode, "task": task, "set": cell.kind, "corruption": cell.name}
                numbers = {k: v for k, v in found.items() if k != "per_class"}
                result["per_cell"].append(head | {"severity": cell.severity} | numbers)
    return result


def shape(summary: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether the means fall from severity to severity, and how a box compares with a point."""
    falls = {}
    for row in summary:
        steps = [row["clean"], *(v for k, v in row.items() if k.startswith("severity_"))]
        name = f"{row['mode']}, {row['task']}, {row['set']}"
        falls[name] = all(after <= before for before, after in zip(steps, steps[1:], strict=False))
    boxes = {}
    by_key = {(row["mode"], row["task"], row["set"]): row for row in summary}
    for (mode, task, kind), row in by_key.items():
        point = by_key.get(("image_point", task, kind))
        if mode == "image_box" and point is not None:
            gained = {key: row[key] - point[key] for key in ("clean", "mean")}
            boxes[f"{task}, {kind}"] = gained
    return {"falls_with_severity": falls, "box_minus_point": boxes}


def build_report(
    scores: Scores,
    settings: Mapping[str, Any],
    split: str = "not stated",
) -> dict[str, Any]:
    """What `report.json` holds; `scores` are those of `score`, cell by cell."""
    found = tables(scores)
    head = {"protocol": "robustness", "preset": "robustness", "prompt_source": PROMPTS}
    return {
        **head, "split": split, "settings": dict(settings),
        **found, "shape": shape(found["summary"]),
    }  # fmt: skip
