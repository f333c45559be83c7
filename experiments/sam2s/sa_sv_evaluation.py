"""Evaluates one set of weights on the sets of SA-SV: a `LongRun` for each, and their average.

Path:    c.test of configs/sam2s/sa_sv.py, prepared sets, weights -> [open_sets, evaluate] -> report
Axes:    none.
Units:   fractions of 1; null where nothing was there to measure.
Errors:  ValueError naming every set that cannot be evaluated, before any of them is.
Source:  protocol of SAM2S, arXiv:2511.16618: J&F, three clicks on the first visible frame.
Differs: the authors' lists of videos are not public, so splits are the sets' own. Objects of all
         kinds count. Sets of single images are left out: behind the prompted frame is nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.sam2s.long_data import LongOptions, find_videos
from experiments.sam2s.long_run import LongRun, Trackers, file_name
from experiments.sam2s.long_scores import horizon_names
from experiments.sam2s.long_tables import MEASURES, finished_videos, sums_of
from surgjax.data.reader import version_folder
from surgjax.evaluation.shares import Share

PROMPT = "3-click"
SCORES = ("JF", "J", "F", "JF in sight", *horizon_names())
GROUPS = ("all", "seen in training", "zero-shot")
_ABSENCE = 100  # for measures of `long_tables` that are not reported here


@dataclasses.dataclass(frozen=True)
class SaSvOptions:
    """What is evaluated; the sets are the config's."""

    data: str = ""
    checkpoint: str = "nano"
    memory: str = "recent"
    memory_options: str = ""
    image_size: int | None = None
    precision: str = "fp32"
    share: Share = Share()  # this process does every N-th video of each set, from K on
    partial: bool = False

    def of_set(self, name: str, split: str) -> LongOptions:
        """One set: all its objects, tissue too."""
        options = self.memory_options.replace(",", ";")
        return LongOptions(
            checkpoints=(self.checkpoint,),
            memory=f"{self.memory}:{options}" if options else self.memory,
            data=self.data,
            dataset=name,
            split=split,
            instruments=False,
            prompt=PROMPT,
            image_size=self.image_size,
            precision=self.precision,
            share=self.share,
        )


@dataclasses.dataclass(frozen=True)
class TestSet:
    """One set of the config."""

    name: str
    split: str
    procedure: str
    zero_shot: bool


def sets_of(test: Mapping[str, Any]) -> list[TestSet]:
    """Those that are tracked: first the ones that the config trains on, then the held out."""
    return [
        TestSet(each["name"], each["split"], each["procedure"], key == "held_out")
        for key in ("sets", "held_out")
        for each in test[key]
    ]


def find_sets(options: SaSvOptions, sets: Sequence[TestSet]) -> tuple[list[TestSet], dict]:
    """The sets that can be evaluated, and why the others cannot: name -> reason."""
    options.of_set("", "").check()
    found, problems = [], {}
    for one in sets:
        try:
            version_folder(options.data, one.name)
        except ValueError:
            problems[one.name] = (
                f"not prepared: python -m experiments.prepare_data --dataset={one.name} "
                f"--manual_dir=ARCHIVE --data_dir={options.data}"
            )
            continue
        try:
            find_videos(options.of_set(one.name, one.split))
        except ValueError as error:
            problems[one.name] = str(error)
            continue
        found.append(one)
    if problems and not (options.partial and found):
        hint = "" if options.partial else " --partial evaluates the others."
        listed = "".join(f"\n  {name}: {reason}" for name, reason in problems.items())
        raise ValueError(
            f"--data {options.data}: {len(problems)} of {len(sets)} sets cannot be evaluated."
            f"{hint}{listed}"
        )
    return found, problems


def open_sets(
    options: SaSvOptions, sets: Sequence[TestSet], output: Path
) -> list[tuple[TestSet, LongRun]]:
    """All runs, checked before the first frame is tracked; the weights are kept once."""
    opened: list[tuple[TestSet, LongRun]] = []
    for one in sets:
        folder = output / file_name(one.name)
        run = LongRun.open(options.of_set(one.name, one.split), folder)
        if opened:
            run.weights = opened[0][1].weights
        opened.append((one, run))
    return opened


def evaluate(
    options: SaSvOptions,
    test: Mapping[str, Any],
    output: Path,
    say: Callable[[str], None],
    trackers: Trackers | None = None,
) -> dict[str, Any] | None:
    """Tracks what is missing; the report, or None while other processes still have videos.

    trackers: compiled ones of an earlier call; those made here are added.
    """
    sets = sets_of(test)
    found, problems = find_sets(options, sets)
    opened = open_sets(options, found, output)
    trackers = {} if trackers is None else trackers
    for number, (one, run) in enumerate(opened):
        say(f"set {number + 1}/{len(opened)}: {one.name}/{one.split}, {len(run.videos)} videos")
        run.track(say, trackers)
    if options.share.count > 1:
        opened = open_sets(options, found, output)  # other processes may have finished some
    if any(len(finished_videos(run)) < len(run.videos) for _, run in opened):
        return None
    rows = [_row(one, run) for one, run in opened]
    weights = opened[0][1].weights[0]
    return {
        "weights": {"name": weights.label, "sha256": weights.sha256},
        "image_size": weights.config.image_size,
        "precision": options.precision,
        "prompt": PROMPT,
        "sets_asked": len(sets),
        "sets": rows,
        "average": averages(rows),
        "left_out": problems,
        "single_images": [each["name"] for each in test["images"]],
        "absent": list(test["absent"]),
    }


def _row(one: TestSet, run: LongRun) -> dict[str, Any]:
    """Every object counts once, whatever its video; see `object_sums`."""
    spec = run.specs[0]
    sums = sums_of(run, finished_videos(run), _ABSENCE)[spec.label]
    samples = dict(zip(MEASURES, sums.counts.sum((0, 1)).tolist(), strict=True))
    scores = dict(zip(MEASURES, sums.whole().tolist(), strict=True))
    return {
        **dataclasses.asdict(one),
        "policy": spec.stated,
        "videos": len(run.videos),
        "videos_with_times": sum(video.entry.fps > 0 for video in run.videos),
        "scores": {name: scores[name] if samples[name] else None for name in SCORES},
        "objects": {name: int(samples[name]) for name in SCORES},
    }


def averages(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Group -> mean over its sets, each counted once, and over how many each measure goes."""
    groups = (rows, *([r for r in rows if r["zero_shot"] == held] for held in (False, True)))
    found = {}
    for group, members in zip(GROUPS, groups, strict=True):
        scores, counts = {}, {}
        for name in SCORES:
            known = [row["scores"][name] for row in members if row["scores"][name] is not None]
            scores[name] = sum(known) / len(known) if known else None
            counts[name] = len(known)
        found[group] = {"scores": scores, "sets": counts}
    return found
