"""The report on SA-SV as files: report.json and report.md.

Path:    sa_sv_evaluation.evaluate -> [write_report] -> OUTPUT
Axes:    none.
Units:   the table in percent; report.json in fractions of 1.
Source:  ours.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.sam2s.long_report import percent, table
from experiments.sam2s.long_scores import horizon_names
from surgjax.checkpoints.atomic import atomic_file

_SHOWN = ("JF", *horizon_names())


def _horizon(row: Mapping[str, Any], name: str) -> str:
    if name != "JF" and not row["videos_with_times"]:
        return "no times"
    return percent(row["scores"][name])


def _average(group: str, average: Mapping[str, Any]) -> list[str]:
    cells = [
        f"{percent(average['scores'][name])} ({average['sets'][name]} sets)" for name in _SHOWN
    ]
    return [f"average, {group}", "", "", "", "", *cells]


def markdown(report: Mapping[str, Any]) -> str:
    """The table of sets, their averages, and what is missing."""
    head = ["set", "procedure", "zero-shot", "videos", "objects", "J&F", *horizon_names()]
    rows = [
        [
            f"{row['name']}/{row['split']}",
            row["procedure"],
            "zero-shot" if row["zero_shot"] else "",
            str(row["videos"]),
            str(row["objects"]["JF"]),
            *(_horizon(row, name) for name in _SHOWN),
        ]
        for row in report["sets"]
    ]
    rows += [_average(group, average) for group, average in report["average"].items()]
    done, asked = len(report["sets"]), report["sets_asked"]
    policies = dict.fromkeys(row["policy"] for row in report["sets"])
    lines = [
        "# SA-SV",
        "",
        f"Weights: {report['weights']['name']}, {report['image_size']} px, {report['precision']}; "
        f"memory: {', '.join(f'`{one}`' for one in policies)}; prompt: {report['prompt']} on the "
        "first visible frame, which is not scored. In percent; averages count every set once.",
        "",
    ]
    if done < asked:
        lines += [f"**Partial: the averages are over {done} of {asked} sets.**", ""]
    lines += table(head, rows)
    for name, reason in report["left_out"].items():
        lines += [f"- Left out: {name}, {reason}"]
    lines += [
        f"- Single images, where nothing is tracked: {', '.join(report['single_images'])}.",
        f"- Absent, as no builder or no public data: {', '.join(report['absent'])}.",
        "- Zero-shot: sets that the config does not train on; what the weights have seen, no file "
        "says.",
    ]
    return "\n".join(lines) + "\n"


def write_report(output: Path, report: Mapping[str, Any]) -> str:
    """Writes report.json and report.md; returns the markdown."""
    text = markdown(report)
    for name, content in (
        ("report.json", json.dumps(report, indent=1) + "\n"),
        ("report.md", text),
    ):
        with atomic_file(output / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return text
