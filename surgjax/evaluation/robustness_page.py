"""Tables of robustness as text, CSV and one page of coloured cells.

Path:    robustness_tables (a report) -> [write] -> report.json, report.html, *.csv, terminal
Axes:    none.
Units:   as in the report.
Errors:  OSError if the folder cannot be written.
Source:  colours from white to the blue of Okabe and Ito, Color Universal Design (2008).
Differs: everything is in the one file; it asks no network and runs no script. Numbers stand in
         every cell, so no score is told by its colour alone.
"""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from surgjax.evaluation.html_report import STYLE
from surgjax.evaluation.report_files import csv_bytes, text_table, without_nan
from surgjax.evaluation.robustness_tables import SETS, TABLES
from surgjax.inference.mask_writer import write_file

_BLUE = (0, 114, 178)
_TITLES = {"corruptions": "The 18 corruptions", "surgical": "The surgical six"}
_MORE = "td.heat{text-align:center;min-width:4em}tr.mean td,tr.mean th{border-top:2px solid #333}"


def _heat(value: Any, largest: float) -> str:
    """A cell that is the bluer, the higher the value."""
    if value is None or math.isnan(value):
        return "<td class=heat>–</td>"
    share = min(max(value / largest, 0.0), 1.0) if largest else 0.0
    colour = tuple(round(255 + share * (c - 255)) for c in _BLUE)
    ink = "#fff" if share > 0.9 else "#111"  # at 0.9 both have a contrast of about 4.5
    return f'<td class=heat style="background:rgb{colour};color:{ink}">{value:.3f}</td>'


def _row(name: str, row: Mapping[str, Any], keys: Sequence[str], largest: float, kind: str) -> str:
    cells = "".join(_heat(row.get(key), largest) for key in ("clean", *keys, "mean"))
    relative = row["relative_drop"]
    lost = "–" if math.isnan(relative) else f"{100 * relative:.1f} %"
    return f"<tr{kind}><th class=text>{escape(name)}</th>{cells}<td>{lost}</td></tr>"


def _block(report: Mapping[str, Any], row: Mapping[str, Any], largest: float) -> str:
    """The heat table of one mode, task and set."""
    same = ("mode", "task", "set")
    rows = [r for r in report["per_corruption"] if all(r[k] == row[k] for k in same)]
    keys = [key for key in row if key.startswith("severity_")]
    titles = ["clean", *(key.replace("_", " ") for key in keys), "mean", "relative drop"]
    head = "<th></th>" + "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(_row(r["corruption"], r, keys, largest, "") for r in rows)
    groups = [r for r in report["per_group"] if all(r[k] == row[k] for k in same)]
    body += "".join(_row(f"mean: {r['group']}", r, keys, largest, "") for r in groups)
    name = f"mean of {len(rows)}" + ("" if row["complete"] else " (not all were run)")
    last = _row(name, row, keys, largest, " class=mean")
    classes = [r for r in report["per_class"] if all(r[k] == row[k] for k in same)]
    label = "class" if row["task"] == "type" else "part"
    last += "".join(_row(f"mean: {label} {r['class']}", r, keys, largest, "") for r in classes)
    title = f"{row['mode'].replace('_', ' ')}, {row['task']}"
    return f"<h3>{escape(title)}</h3><table><tr>{head}</tr>{body}{last}</table>"


def _answers(report: Mapping[str, Any]) -> str:
    falls, boxes = (report["shape"][key] for key in ("falls_with_severity", "box_minus_point"))
    lines = [f"{name}: {'yes' if fell else 'no'}" for name, fell in falls.items()]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    text = f"<h2>Does the mean fall from each severity to the next?</h2><ul>{items}</ul>"
    if boxes:
        items = "".join(
            f"<li>{escape(name)}: {gain['clean']:+.3f} clean, {gain['mean']:+.3f} corrupted</li>"
            for name, gain in boxes.items()
        )
        text += f"<h2>Box less point</h2><ul>{items}</ul>"
    return text


def build_page(report: Mapping[str, Any]) -> str:
    """The page of a report."""
    made = {"prompts": report["prompt_source"], "split": report["split"], **report["settings"]}
    about = "".join(
        f"<tr><th class=text>{escape(key)}</th><td class=text>{escape(str(value))}</td></tr>"
        for key, value in made.items()
    )
    values = [v for row in report["per_cell"] for k, v in row.items() if k == "mean_iou"]
    largest = max(values)
    parts = []
    for kind in SETS:
        rows = [row for row in report["summary"] if row["set"] == kind]
        if rows:
            parts.append(f"<h2>{_TITLES[kind]}</h2>")
            parts += [_block(report, row, largest) for row in rows]
    if not parts:
        parts.append("<p>No corruption was asked for.</p>")
    title = f"Robustness: {report['settings']['data']}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{STYLE}{_MORE}</style></head><body><h1>{escape(title)}</h1>"
        f"<table>{about}</table><p>Mean IoU: over the labels of a frame, then over frames. "
        "Relative drop: what is lost of the clean score. Means over the surgical six are "
        f"comparable with nobody's.</p>{''.join(parts)}{_answers(report)}</body></html>\n"
    )


def write(report: Mapping[str, Any], output: str | Path) -> list[Path]:
    """Writes every file whole; earlier ones are replaced. Returns where they are."""
    folder = Path(output)
    data = json.dumps(without_nan(report), indent=2, allow_nan=False) + "\n"
    files = {"report.json": data.encode(), "report.html": build_page(report).encode()}
    files |= {f"{name}.csv": csv_bytes(report[name]) for name in TABLES}
    for name, content in files.items():
        write_file(folder / name, content)
    return [folder / name for name in files]


def summary_text(report: Mapping[str, Any]) -> str:
    """Settings and the table of means, for the terminal."""
    settings = ", ".join(f"{key}={value}" for key, value in report["settings"].items())
    made = f"prompts: {report['prompt_source']}   split: {report['split']}"
    lines = [f"protocol: {report['protocol']}", made, f"settings: {settings}", ""]
    return "\n".join(lines + ([text_table(report["summary"])] if report["summary"] else []))
