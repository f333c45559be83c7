"""One page that shows a report: tables, curves, the worst frames, and how runs compare.

Path:    folder_run (a report) -> [build_page] -> report.html
Axes:    see charts and worst_frames.
Units:   as in the report.
Errors:  ValueError if runs of different protocols, presets or objects are to be compared.
Source:  ours.
Differs: everything is in the one file, pictures too; it asks no network and runs no script.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from surgjax.evaluation import bootstrap, charts, mask_folders, worst_frames
from surgjax.evaluation.report_files import TABLES, measures
from surgjax.metrics.object_scores import PRESETS

MAX_CURVES, MAX_PICTURES, MAX_ROWS = 40, 24, 200
Prompted = Mapping[str | tuple[str, int], Sequence[str]]

STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#111}
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #bbb}
h3{font-size:1em;margin-bottom:.2em}
table{border-collapse:collapse;margin:.6em 0;display:block;overflow-x:auto}
td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd}
td.text,th.text{text-align:left}svg{max-width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:#333}
svg .grid{stroke:#ccc}svg .unscored{fill:#ddd}svg .prompt{fill:#111}
.sheet{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;max-width:360px}figcaption{font-size:12px;overflow-wrap:anywhere}
.key{display:inline-block;width:1.1em;height:.8em;margin:0 .3em 0 1em}.note{color:#555}
"""


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "<td>–</td>"
    if isinstance(value, float):
        return f"<td>{value:.4f}</td>"
    kind = "" if isinstance(value, int) else ' class="text"'
    return f"<td{kind}>{escape(str(value))}</td>"


def _header(name: str) -> str:
    """A name that may be broken after its underscores, so that wide tables fit."""
    return escape(name).replace("_", "_<wbr>")


def _table(rows: Sequence[Mapping[str, Any]], ident: str = "") -> str:
    names = list(rows[0])
    text = [isinstance(rows[0][name], str) for name in names]
    head = "".join(
        f"<th{' class=text' * t}>{_header(n)}</th>" for n, t in zip(names, text, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(row.get(name)) for name in names)}</tr>" for row in rows[:MAX_ROWS]
    )
    more = f"<p class=note>{len(rows) - MAX_ROWS} more rows in the CSV file.</p>"
    return f'<table id="{ident}"><tr>{head}</tr>{body}</table>' + more * (len(rows) > MAX_ROWS)


def _settings(report: Mapping[str, Any]) -> str:
    values = {"protocol": report["protocol"], "preset": report["preset"]}
    values |= {"prompts": report["prompt_source"], "split": report["split"]}
    values |= {name: value for name, value in report["settings"].items() if value is not None}
    values |= report.get("run", {})
    values |= {"predictions": report["predictions"], "ground truth": report["ground_truth"] or "–"}
    rows = "".join(
        f"<tr><th class=text>{escape(k)}</th><td class=text>{escape(str(v))}</td></tr>"
        for k, v in values.items()
    )
    notes = "".join(f"<p class=note>Note: {escape(note)}</p>" for note in report["notes"])
    return f'<table id="settings">{rows}</table>{notes}'


def check_comparable(stated: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses reports scored otherwise than `stated`: its protocol, preset, settings, if given.

    What was done about missing predictions may differ: a note of each report tells it.
    """

    def scoring(report: Mapping[str, Any], key: str) -> Any:
        value = report[key]
        return {k: v for k, v in value.items() if k != "missing"} if key == "settings" else value

    for name, other in others.items():
        for key in ("protocol", "preset", "settings"):
            if key in stated and scoring(other, key) != scoring(stated, key):
                raise ValueError(
                    f"--compare {name}: {key} {other[key]} cannot be compared with {stated[key]}."
                )


def _compare(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores of every run beside the first, with paired intervals of the difference."""
    names = list(runs)
    first = runs[names[0]]
    check_comparable(first, {name: runs[name] for name in names[1:]})
    intervals = {}
    for name in names[1:]:
        bootstrap.check_pairs(first, runs[name], name)
        intervals[name] = bootstrap.paired_intervals(first, runs[name])
    rows = []
    for measure, value in measures(first).items():
        rows.append({"measure": measure, "run": names[0], "score": value, "difference": "",
                     "95 % interval": ""})  # fmt: skip
        for name in names[1:]:
            score = runs[name].get(measure)
            row = {"measure": "", "run": name, "score": score, "difference": "–"}
            if score is not None and not math.isnan(score) and not math.isnan(value):
                row["difference"] = f"{score - value:+.4f}"
            found = intervals[name].get(measure)
            row["95 % interval"] = f"{found.low:+.4f} to {found.high:+.4f}" if found else "–"
            rows.append(row)
    sources = {
        name: f"prompts: {r['prompt_source']}, split: {r['split']}" for name, r in runs.items()
    }
    listed = "".join(f"<li>{escape(name)}: {escape(text)}</li>" for name, text in sources.items())
    return (
        "<h2>Comparison</h2><p>Difference of the score of each run from that of the first; the "
        "interval draws the sequences again 10 000 times and scores each draw. One that holds 0 "
        "shows no difference. With few sequences it is too narrow. There is none (–) with one "
        "sequence, for a score without a sample in some draws, and for a report that does not "
        f"hold the sums of its sequences.</p><ul>{listed}</ul>"
        f"{_table(rows, 'comparison')}"
    )


def _unscored(report: Mapping[str, Any], stems: Sequence[str]) -> set[str]:
    drops = PRESETS[report["preset"]].drop_first_and_last
    kept = report["settings"].get("keep_first_and_last")
    return {stems[0], stems[-1]} if drops and not kept else set()


def _curves(report: Mapping[str, Any], prompted: Prompted) -> str:
    by_object: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
    listed = sorted(report["per_object"], key=lambda row: row["JF"])
    drawn = {(row["sequence"], row["object"]) for row in listed[:MAX_CURVES]}
    for row in report["tables"]["per_frame"]:  # many more rows than those that are drawn
        if (row["sequence"], row["object"]) in drawn:
            by_object.setdefault((row["sequence"], row["object"]), {})[row["frame"]] = row
    parts = ["<h2>Scores over the frames</h2><p>"]
    for name in ("J", "F"):
        parts.append(f'<span class=key style="background:{charts.SERIES[name][0]}"></span>{name}')
    parts.append(" (dashed: F). Triangles: prompted frames. Grey: frames that do not count. A gap: "
                 "neither ground truth nor prediction shows the object.</p>")  # fmt: skip
    for row in listed[:MAX_CURVES]:
        sequence, object_id = row["sequence"], row["object"]
        stems, rows = report["stems"][sequence], by_object.get((sequence, object_id), {})
        series = {n: [rows[s][n] if s in rows else None for s in stems] for n in ("J", "F")}
        parts.append(f"<h3>{escape(sequence)}, object {object_id}: J&amp;F {row['JF']:.3f}</h3>")
        unscored = _unscored(report, stems)
        marked = prompted.get((sequence, object_id), prompted.get(sequence, ()))
        parts.append(charts.score_chart(stems, series, marked, unscored))
        truth = [bool(rows.get(stem, {}).get("in_ground_truth")) for stem in stems]
        found = [bool(rows.get(stem, {}).get("in_prediction")) for stem in stems]
        parts.append("<br>" + charts.presence_strip(truth, found))
    if len(listed) > MAX_CURVES:
        parts.append(f"<p class=note>The {MAX_CURVES} worst of {len(listed)} objects.</p>")
    return "".join(parts)


def _picture(pixels: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pairs(report: Mapping[str, Any]) -> Mapping[str, mask_folders.Pair]:
    """The files that were scored, of every sequence."""
    if "pairs" in report:
        return report["pairs"]
    folders = [
        mask_folders.find_sequences(report[key], f"--{key}")
        for key in ("predictions", "ground_truth")
    ]
    missing = report["settings"]["missing"]
    pairs, _ = mask_folders.pair_sequences(folders[0], folders[1], missing)
    return {pair.name: pair for pair in pairs}


def _sheet(report: Mapping[str, Any], frames: worst_frames.Frames) -> str:
    """Pictures of the worst scored frames, the worst of each object first."""
    pairs = _pairs(report)
    listed = {(row["sequence"], row["object"]) for row in report["per_object"]}
    rows = (
        row
        for row in report["tables"]["per_frame"]
        if (row["sequence"], row["object"]) in listed
        and row["frame"] not in _unscored(report, report["stems"][row["sequence"]])
    )
    keys = (("found", worst_frames.RIGHT), ("missed", worst_frames.MISSED),
            ("false", worst_frames.FALSE))  # fmt: skip
    key = "".join(
        f'<span class=key style="background:rgb{colour}"></span>{name}' for name, colour in keys
    )
    figures, lacking = [], []
    for row in worst_frames.worst_rows(rows, MAX_PICTURES):
        sequence, stem, object_id = row["sequence"], row["frame"], row["object"]
        drawn = worst_frames.draw(pairs[sequence], object_id, stem, frames)
        lacking += [drawn.lacks] * bool(drawn.lacks)
        caption = f"{sequence} {stem}, object {object_id}: J {row['J']:.2f}, F {row['F']:.2f}"
        figures.append(f'<figure><img src="{_picture(drawn.pixels)}" alt="{escape(caption)}">'
                       f"<figcaption>{escape(caption)}</figcaption></figure>")  # fmt: skip
    note = ""
    if lacking:
        why = f"{len(lacking)} of {len(figures)} pictures lack their image; {lacking[0]}."
        note = f"<p class=note>Note: {escape(why)}</p>"
    sheet = f'<div class="sheet">{"".join(figures)}</div>'
    return f"<h2>Worst frames</h2><p>{key}</p>{note}{sheet}"


def build_page(
    report: Mapping[str, Any],
    *,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    prompted: Prompted | None = None,
    frames: worst_frames.Frames = None,
    name: str = "this run",
) -> str:
    """The page of a report of `score_folders`.

    `others`: name -> report of earlier runs to compare with. `prompted`: (sequence, object) ->
    stems of its prompted frames, or a sequence alone for all its objects. `frames`: folder of
    images to draw the worst frames over, or what gives the image of a sequence and stem.
    """
    scores = [{"measure": key, "score": value} for key, value in measures(report).items()]
    parts = ["<h2>Scores</h2>", _table(scores, "scores")]
    if others:
        parts.append(_compare({name: report} | dict(others)))
    tables = {key: report[key] for key in TABLES if report.get(key)} | report.get("tables", {})
    for key, rows in tables.items():
        if rows and key != "per_frame":
            parts.append(f"<h2>{escape(key.replace('_', ' ').capitalize())}</h2>")
            parts.append(_table(rows, key))
    if "stems" in report:
        parts += [_curves(report, prompted or {}), _sheet(report, frames)]
    title = f"{report['protocol']}: {report['split']}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"{_settings(report)}{''.join(parts)}</body></html>\n"
    )
