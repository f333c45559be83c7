"""Tracks and scores a data set and writes masks, results and report: what the command calls.

Path:    EvaluationOptions -> [evaluate_model] -> OUTPUT/masks, results, report.json, report.html
Axes:    none.
Units:   as in the report.
Errors:  ValueError or OSError naming flag, file or setting.
Source:  ours.
Differs: nothing to compare with.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from surgjax.evaluation import (
    html_report,
    model_options,
    model_report,
    report_files,
    video_results,
)
from surgjax.evaluation.model_options import EvaluationOptions
from surgjax.evaluation.model_run import MASKS, TRUTH, Evaluation
from surgjax.evaluation.shares import Share
from surgjax.inference.output_folder import OutputError, OutputFolder

_OURS = (video_results.RUN_FILE, video_results.RESULTS, MASKS, TRUTH, *report_files.FILES)


def check_output(output: str, data_folder: str) -> OutputFolder:
    """Refuses a folder of other things, or one that would hold or lie in the data."""
    path = Path(output)
    folder = OutputFolder(path, report_files.FILES, overwrite=True)
    if data_folder and Path(data_folder).exists():
        OutputFolder(path, _OURS, overwrite=True).check_input("data", data_folder)
        if Path(data_folder).resolve() in path.resolve().parents:
            raise OutputError(
                f"--output {path} lies in the data, {data_folder}; results would be taken for them."
            )
    entries = [e.name for e in path.iterdir() if e.name[0] != "."] if path.is_dir() else []
    if entries and video_results.RUN_FILE not in entries:
        raise OutputError(
            f"--output {path} is not empty and holds no run to go on with: {sorted(entries)[0]} is "
            f"there, {video_results.RUN_FILE} is not. Take another folder."
        )
    return folder


def run(
    options: EvaluationOptions,
    output: str,
    share: Share | None = None,
    devices: Sequence[Any] | None = None,
    say: Callable[[str], None] = print,
    compare: Sequence[str] = (),
) -> dict[str, Any] | None:
    """Goes on where an earlier run in `output` was stopped. The report; None but in process 0.

    `compare`: folders of earlier reports that the page shows this one beside.
    """
    share, run_options = share or Share(), options.run_options()
    others = {earlier: report_files.read_report(earlier) for earlier in compare}
    html_report.check_comparable(model_report.stated_scoring(run_options), others)
    folder = check_output(output, getattr(options.data, "folder", ""))
    videos = options.data.find()
    corrected = options.prompts.corrections(options.protocol) is not None
    model = model_options.open_model(
        options.model, options.per_object_png, corrected, options.policy()
    )
    evaluation = Evaluation(output, videos, model, options.data.identity(), run_options)
    say(f"model: {model.name}; prompts: {options.prompts.stated()}")
    evaluation.track(share, devices, say)
    if share.index:
        return None
    report = model_report.build_report(evaluation, options.stated_split())
    page = model_report.build_page(evaluation, report, output, others)
    files = report_files.write_report(report, folder, page)
    say(report_files.summary_text(report))
    say(f"\n{', '.join(path.name for path in files)} and {MASKS}/ in {output}")
    return report
