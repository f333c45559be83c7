"""The report of long videos as files: report.json, report.md and horizons.svg.

Path:    long_tables.summarise -> [write_report] -> OUTPUT
Axes:    none.
Units:   tables in percent; report.json in fractions of 1.
Source:  ours.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.sam2s.long_chart import horizon_chart
from experiments.sam2s.long_scores import horizon_names
from surgjax.checkpoints.atomic import atomic_file

_SCORES = ("JF", "J", "F", "JF in sight", *horizon_names())
_EVENTS = ("after return", "after return, in sight", "swaps", "missed", "false alarms")
_COMPARED = ("JF", "JF in sight", *horizon_names(), "after return", "swaps", "false alarms")
_CLASSES = ("class per frame", "class of video")
_SHOWN = {"JF": "J&F", "JF in sight": "J&F in sight"}


def percent(value: float | None, sign: bool = False) -> str:
    """0.1234 as 12.3; a dash where there is nothing."""
    if value is None:
        return "-"
    return f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a markdown table, and an empty one."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _scores(scores: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    head = ["policy", *(_SHOWN.get(name, name) for name in names)]
    rows = [[p, *(percent(values[name]) for name in names)] for p, values in scores.items()]
    return table(head, rows)


def _with_interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    text = percent(found["difference"], sign=True)
    if found["interval"] is None:
        return text
    low, high = (percent(value, sign=True) for value in found["interval"])
    return f"{text} [{low}, {high}]"


def _differences(report: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for baseline in dict.fromkeys(row["baseline"] for row in report["differences"]):
        rows = []
        for row in report["differences"]:
            if row["baseline"] != baseline:
                continue
            found = {"all": row["all"]}
            if len(report["weights"]) > 1:
                found |= row["by_weights"]
            for weights, values in found.items():
                cells = [_with_interval(values.get(name)) for name in _COMPARED]
                rows.append([row["policy"], weights, *cells])
        lines += [f"## Policy less `{baseline}`, points [95 %]", ""]
        lines += table(["policy", "weights", *(_SHOWN.get(n, n) for n in _COMPARED)], rows)
    return lines


def _recalls(found: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys(name for values in found.values() for name in values["recalls"]))
    rows = []
    for policy, values in found.items():
        gain = {"difference": values["balanced"] - values["constant"], "interval": values["gain"]}
        cells = [percent(values["recalls"].get(name)) for name in names]
        rows.append([policy, percent(values["balanced"]), _with_interval(gain), *cells])
    return table(["policy", "mean recall", "above one answer for all", *names], rows)


def markdown(report: Mapping[str, Any]) -> str:
    """All tables."""
    samples = report["samples"]
    lines = [
        f"# Long videos: {report['dataset']}",
        "",
        f"{len(report['videos'])} of {report['videos_asked']} videos, weights: "
        f"{', '.join(report['weights'])}, prompt: {report['prompt']}. In percent.",
        "",
        *_scores(report["scores"], _SCORES),
        f"Returns after absences of {report['absence']} frames or more; swaps, missed and false "
        "alarms are shares of frames.",
        "",
        *_scores(report["scores"], _EVENTS),
        "Samples, over all weights: "
        + ", ".join(f"{name} {samples[name]:g}" for name in ("JF", *horizon_names(), *_EVENTS))
        + ".",
        "",
    ]
    if report["classes"]:
        chance = report["classes"]
        lines += ["## What an object is", "", *_scores(report["scores"], _CLASSES)]
        lines += [
            f"{chance['classes']} classes ({chance['bank']}). Always the most frequent one: "
            f"{percent(chance['majority per frame'])} per frame, "
            f"{percent(chance['majority of videos'])} of videos; at random: "
            f"{percent(chance['uniform'])}.",
            "",
            "Every class counting the same (mean recall per frame in sight, points [95 %]):",
            "",
            *_recalls(chance["balanced"]),
        ]
    if len(report["weights"]) > 1:
        for label, scores in report["scores_by_weights"].items():
            lines += [f"## Weights {label}", "", *_scores(scores, (*_SCORES, *_EVENTS))]
    lines += _differences(report)
    lines += ["Policies: " + "; ".join(f"`{text}`" for text in report["policies"].values()) + "."]
    return "\n".join(lines) + "\n"


def write_report(output: Path, report: Mapping[str, Any]) -> str:
    """Writes report.json, report.md and horizons.svg; returns the markdown."""
    text = markdown(report)
    chart = horizon_chart(report["scores"], list(horizon_names()), len(report["videos"]))
    contents = {
        "report.json": json.dumps(report, indent=1) + "\n",
        "report.md": text,
        "horizons.svg": chart,
    }
    for name, content in contents.items():
        with atomic_file(output / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return text
