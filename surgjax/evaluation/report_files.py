"""Reports as files and as text: report.json, one CSV for each table, and what the terminal shows.

Path:    folder_protocols (a report) -> [write_report, summary_text] -> report.json, *.csv, terminal
Axes:    none.
Units:   as in the report; numbers are written in full.
Errors:  OutputError, an OSError or ValueError, if the folder cannot be used; ValueError naming file
         and key for a report that is none.
Source:  ours.
Differs: a measure without a single sample is NaN in Python, null in JSON and empty in CSV.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgjax.evaluation.video_results import RUN_FILE
from surgjax.inference.mask_writer import write_file
from surgjax.inference.output_folder import OutputError, OutputFolder

TABLES = (
    "per_object",
    "per_absent_object",
    "per_horizon",
    "per_round",
    "per_sequence",
    "per_class",
    "per_label",
    "per_frame",
)
# What every report says about itself.
_STATED = {"protocol": str, "preset": str, "settings": dict, "prompt_source": str, "split": str}
FILES = ("report.json", "report.html", "summary.csv", *(f"{name}.csv" for name in TABLES))


def without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON and CSV do not know."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def csv_bytes(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> bytes:
    """A CSV file; the columns are `names`, or all keys that a row has."""
    text = io.StringIO(newline="")
    names = names or list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(without_nan, rows))
    return text.getvalue().encode()


def measures(report: Mapping[str, Any]) -> dict[str, float]:
    """The scores of a report, without its tables and settings."""
    return {key: value for key, value in report.items() if isinstance(value, float)}


def read_report(folder: str | Path) -> dict[str, Any]:
    """The report.json that an earlier run left in a folder, with all that a comparison states."""
    path = Path(folder) / "report.json"
    try:
        report = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: no report can be read ({error.strerror}).") from None
    except ValueError as error:
        raise ValueError(f"{path}: it is no JSON ({error}).") from None
    if not isinstance(report, dict) or "protocol" not in report:
        raise ValueError(f"{path}: it is no report of experiments.evaluate.")
    for key, kind in _STATED.items():
        if not isinstance(report.get(key), kind):
            found = repr(report[key]) if key in report else "nothing"
            raise ValueError(f"{path}: {key}: {kind.__name__} expected, {found} found.")
    for table in ("per_object", "per_sequence", "sums"):
        rows = report.get(table, [])
        if not isinstance(rows, list) or not all(_is_row(row, table) for row in rows):
            raise ValueError(f"{path}: {table}: a list of rows that name a sequence expected.")
    return report


def _is_row(row: Any, table: str) -> bool:
    named = isinstance(row, dict) and "sequence" in row
    return named and (table != "sums" or isinstance(row.get("values"), dict))


def open_output(folder: str | Path) -> OutputFolder:
    """The --output of experiments.evaluate; an earlier report there will be replaced.

    Refuses the folder of a run of experiments.evaluate_model, whose report would be lost.
    """
    if (run := Path(folder) / RUN_FILE).exists():
        raise OutputError(
            f"--output {folder} holds a run of experiments.evaluate_model ({run.name}), whose "
            "report would be replaced. Take another folder."
        )
    return OutputFolder(folder, FILES, overwrite=True)


def write_report(
    report: Mapping[str, Any], output: OutputFolder, page: str | None = None
) -> list[Path]:
    """Writes all files into the folder, whole or not at all. Returns where they are."""
    report = dict(report)
    tables = {name: report[name] for name in TABLES if report.get(name)}
    tables |= report.pop("tables", {})
    for name in ("stems", "pairs", "prompted"):
        report.pop(name, None)
    folder = output.open()
    try:
        data = json.dumps(without_nan(report), indent=2, allow_nan=False) + "\n"
        write_file(folder / "report.json", data.encode())
        scores = [{"measure": k, "value": v} for k, v in measures(report).items()]
        write_file(folder / "summary.csv", csv_bytes(scores))
        if page is not None:
            write_file(folder / "report.html", page.encode())
        for name, rows in tables.items():
            if rows:
                write_file(folder / f"{name}.csv", csv_bytes(rows, list(rows[0])))
        return output.finish()
    except BaseException:
        output.discard()
        raise


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4f}"
    return str(value)


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys, in columns."""
    names = list(rows[0])
    cells = [names, *([_number(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(names))]
    numeric = [all(isinstance(row[name], int | float) for row in rows) for name in names]
    lines = []
    for row in cells:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def summary_text(report: Mapping[str, Any], max_rows: int = 30) -> str:
    """What made the scores, the scores, and the first rows of the main table."""
    settings = ", ".join(f"{k}={v}" for k, v in report["settings"].items() if v is not None)
    lines = [
        f"protocol: {report['protocol']}   preset: {report['preset']}",
        f"prompts: {report['prompt_source']}   split: {report['split']}",
        f"settings: {settings or 'none'}",
        *([f"model: {report['run']['model']}"] if "run" in report else []),
        *(f"note: {note}" for note in report["notes"]),
        "",
    ]
    tables = [name for name in ("per_object", "per_class", "per_label", "per_sequence")]
    for name in tables:
        if rows := report.get(name):
            lines.append(text_table(rows[:max_rows]))
            if len(rows) > max_rows:
                lines.append(f"... {len(rows) - max_rows} more in {name}.csv")
            lines.append("")
            break
    if rows := report.get("per_horizon"):
        lines += ["by seconds since the prompt", text_table(rows), ""]
    lines += [f"{name:<20} {_number(value)}" for name, value in measures(report).items()]
    return "\n".join(lines)
