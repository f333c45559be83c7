"""The report of a model's run: what `experiments.evaluate` reports, and scores by horizon.

Path:    Evaluation, VideoResult -> [build_report, build_page] -> report_files, html_report
Axes:    none.
Units:   fractions of 1; seconds in per_horizon.
Errors:  ValueError where a protocol has nothing to score.
Source:  ours.
Differs: nothing to compare with. No time that was measured is in it, so a run that was stopped and
         went on has the report of one that was not.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgjax.evaluation import html_report, sequence_sums
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.folder_run import NOT_STATED
from surgjax.evaluation.horizons import elapsed, per_horizon
from surgjax.evaluation.model_run import MASKS, TRUTH, Evaluation, RunOptions
from surgjax.evaluation.options import Options
from surgjax.evaluation.protocol import Scored
from surgjax.evaluation.video_results import VideoResult
from surgjax.metrics import object_scores
from surgjax.metrics.object_scores import PRESETS, Preset


def build_report(
    evaluation: Evaluation, split: str = "", truth: str | None = None
) -> dict[str, Any]:
    """What report.json holds, and `tables`, `stems`, `pairs` and `prompted` for CSV and page.

    `truth`: the folder of the ground truth, where it is not the one below the output.
    """
    options, results = evaluation.options, evaluation.results()
    results = sorted(results, key=lambda result: result.video)
    state = {r.video: object_scores.pack(dict(enumerate(r.rows))) for r in results}
    stems = {r.video: tuple(r.stems[t] for t in r.annotated) for r in results}
    protocol = PROTOCOLS[options.protocol]
    scoring = _scoring(options)
    scored = Scored(state, (), stems)
    result = protocol.report(scored, scoring)
    result["sums"] = sequence_sums.sums_of(options.protocol, scored, result)
    preset = PRESETS[options.protocol]
    if options.keep_first_and_last:
        preset = dataclasses.replace(preset, drop_first_and_last=False)
    notes = [note for r in results for note in r.notes]
    if options.prompts.use_all_masks:
        notes.append("every annotated frame was given as a prompt: scores are of prompted frames")
    if unknown := [r.video for r in results if not r.fps]:
        notes.append(
            f"no frame rate, so not in per_horizon: {len(unknown)} videos, {unknown[0]} first; "
            "--fps gives one"
        )
    if len(unknown) < len(results):
        result["per_horizon"] = per_horizon(results, preset, options.horizons_s)
    if options.prompts.corrections(options.protocol):
        result["per_round"] = per_round(results, preset)
    by_name = {r.video: r for r in results}

    def since_prompt(row: Mapping[str, Any]) -> dict[str, float]:
        r = by_name[row["sequence"]]
        seconds = elapsed(r, row["object"], r.stems.index(row["frame"]))
        return {"seconds_since_prompt": math.nan if seconds is None else seconds}

    tables = result["tables"]
    tables["per_frame"] = tables["per_frame"].with_columns(since_prompt)
    return {
        **stated_scoring(options),
        "preset": result.pop("preset"),
        "prompt_source": options.prompts.stated(),
        "split": split or NOT_STATED,
        "run": {"model": evaluation.model.name} | _flat(evaluation.settings),
        "notes": notes,
        "predictions": str(evaluation.output / MASKS),
        "ground_truth": truth or str(evaluation.output / TRUTH),
        "sequences": len(results),
        **result,
        "pairs": {video.name: evaluation.pair(video) for video in evaluation.videos},
        "prompted": {
            (r.video, object_id): [r.stems[t] for t in frames]
            for r in results
            for object_id, frames in r.prompted.items()
        },
    }


def _scoring(options: RunOptions) -> Options:
    return Options(keep_first_and_last=options.keep_first_and_last)


def stated_scoring(options: RunOptions) -> dict[str, Any]:
    """How a run scores, in a report's words: those of `experiments.evaluate` on its masks."""
    settings = _scoring(options).stated(PROTOCOLS[options.protocol].options)
    return {"protocol": options.protocol, "settings": settings | {"missing": "error"}}


def per_round(results: Sequence[VideoResult], preset: Preset) -> list[dict[str, Any]]:
    """Scores after each interactive round over all videos, and what had been spent by then."""
    table = []
    for number in range(max(len(r.rounds) for r in results)):
        state = {r.video: object_scores.pack(dict(enumerate(r.rounds[number]))) for r in results}
        found = object_scores.compute(state, preset)
        spent = {n: sum(getattr(r, n)[number] for r in results) for n in ("clicks", "stops")}
        table.append({"round": number + 1} | spent | {n: found[n] for n in ("J", "F", "JF")})
    return table


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{part}.{key}": value
        for part, values in settings.items()
        if isinstance(values, Mapping)
        for key, value in values.items()
    }


def build_page(
    evaluation: Evaluation,
    report: Mapping[str, Any],
    name: str,
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The page of the report, beside `others`, with its worst frames drawn over the images."""
    videos = {video.name: video for video in evaluation.videos}

    @functools.lru_cache(4)
    def opened(sequence: str):
        return videos[sequence].open_frames()

    def frame(sequence: str, stem: str) -> np.ndarray:
        return opened(sequence)[videos[sequence].stems.index(stem)]

    return html_report.build_page(
        report, others=others, prompted=report["prompted"], frames=frame, name=name
    )
