"""From rows to numbers: measures of every policy, and differences with intervals.

Path:    LongRun -> [summarise] -> report.json, report.md, chart
Axes:    sums [W, V, M]: weights (training seeds), videos, measures.
Units:   fractions of 1.
Errors:  ValueError where no video is finished under every policy and with all weights.
Source:  Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile interval.
Differs: videos are drawn with all their objects, and training seeds with all their videos, both at
         once; every draw is scored as the whole set is. Both policies of a difference see the same
         draw. With one seed only videos are drawn.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.sam2s.class_recall import balanced, recall_counts
from experiments.sam2s.long_run import LongRun
from experiments.sam2s.long_scores import ObjectRows, from_dict, gated, horizon_names, object_sums
from surgjax.evaluation.bootstrap import RESAMPLES, Interval

MEASURES = (
    "JF", "J", "F", "JF in sight", *horizon_names(), "after return", "after return, in sight",
    "swaps", "missed", "false alarms", "class per frame", "class of video",
)  # fmt: skip
BASELINES = ("recent", "random_long")
_DEFINED = 0.95  # share of draws in which both policies must have a sample


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """Values and counts of one policy."""

    values: np.ndarray  # [W, V, M]
    counts: np.ndarray  # [W, V, M]

    def scores(self, weights: np.ndarray, videos: np.ndarray) -> np.ndarray:
        """[R, M] for R draws: how often each [R, W] and each [R, V]; NaN without a sample."""
        value, count = (
            np.einsum("rw,wvm,rv->rm", weights, part, videos, optimize=True)
            for part in (self.values, self.counts)
        )
        return np.divide(value, count, out=np.full(value.shape, np.nan), where=count > 0)

    def whole(self) -> np.ndarray:
        """[M] of everything."""
        count, videos = self.values.shape[:2]
        return self.scores(np.ones((1, count)), np.ones((1, videos)))[0]

    def of_weights(self, place: int) -> "Sums":
        """One training seed."""
        return Sums(self.values[place : place + 1], self.counts[place : place + 1])


def gated_label(label: str) -> str:
    """A policy whose masks are withheld where the class has become improbable."""
    return f"{label}, class gate"


def finished_videos(run: LongRun) -> list[str]:
    """Videos that every policy has, with all weights."""
    return [
        video.name
        for video in run.videos
        if all((w.label, s.label, video.name) in run.rows for w in run.weights for s in run.specs)
    ]


def sums_of(
    run: LongRun, videos: Sequence[str], absence: int, class_gate: float = 0.0
) -> dict[str, Sums]:
    """Policy -> sums over the finished videos; with a class gate every policy comes twice."""
    shape = (len(run.weights), len(videos), len(MEASURES))
    found = {}
    kinds = [(s, s.label, 0.0) for s in run.specs]
    if class_gate:
        kinds += [(s, gated_label(s.label), class_gate) for s in run.specs]
    for spec, label, gate in kinds:
        values, counts = np.zeros(shape), np.zeros(shape)
        for w, weights in enumerate(run.weights):
            for v, video in enumerate(videos):
                content = run.rows[weights.label, spec.label, video]
                for one in content["objects"]:
                    rows = gated(from_dict(one), gate) if gate else from_dict(one)
                    sums = _sums_of(rows, content, absence)
                    for m, name in enumerate(MEASURES):
                        values[w, v, m] += sums.get(name, 0.0)
                        counts[w, v, m] += sums.get(f"{name}#", 0.0)
        found[label] = Sums(values, counts)
    return found


def _sums_of(rows: ObjectRows, content: Mapping[str, Any], absence: int) -> dict[str, float]:
    return object_sums(rows, content["fps"], absence, content.get("classes", ()))


def differences(
    first: Sums, second: Sums, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> dict[str, tuple[float, Interval | None]]:
    """Measure -> first - second and its interval; None with fewer than two videos with a sample."""
    seeds, videos = first.values.shape[:2]
    rng = np.random.default_rng(seed)
    by_seed = rng.multinomial(seeds, [1 / seeds] * seeds, resamples).astype(float)
    by_video = rng.multinomial(videos, [1 / videos] * videos, resamples).astype(float)
    drawn = first.scores(by_seed, by_video) - second.scores(by_seed, by_video)
    whole = first.whole() - second.whole()
    sampled = (first.counts.sum(0) > 0).sum(0)  # [M] videos with a sample
    found: dict[str, tuple[float, Interval | None]] = {}
    for m, name in enumerate(MEASURES):
        if np.isnan(whole[m]):
            continue
        defined = drawn[~np.isnan(drawn[:, m]), m]
        interval = None
        if sampled[m] > 1 and len(defined) >= _DEFINED * resamples:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
            interval = Interval(float(low), float(high))
        found[name] = float(whole[m]), interval
    return found


def baselines_of(run: LongRun) -> list[str]:
    """The measured policies that others are compared with: by name, the first of each."""
    labels = []
    for name in BASELINES:
        labels += [spec.label for spec in run.specs if spec.name == name][:1]
    return labels


def summarise(run: LongRun, absence: int = 100, class_gate: float = 0.0) -> dict[str, Any]:
    """The whole report as a JSON value; fractions of 1, null where nothing was there to measure."""
    videos = finished_videos(run)
    if not videos:
        raise ValueError("no video is finished under every policy and with all weights.")
    sums = sums_of(run, videos, absence, class_gate)
    policies = list(sums)
    return {
        "dataset": f"{run.options.dataset}/{run.options.split}",
        "prompt": run.options.prompt,
        "absence": absence,
        "class_gate": class_gate,
        "weights": {w.label: w.sha256 for w in run.weights},
        "policies": {spec.label: spec.stated for spec in run.specs},
        "videos": videos,
        "videos_asked": len(run.videos),
        "scores": {p: _named(sums[p].whole()) for p in policies},
        "scores_by_weights": {
            w.label: {p: _named(sums[p].of_weights(k).whole()) for p in policies}
            for k, w in enumerate(run.weights)
        },
        "samples": _named(sums[policies[0]].counts.sum((0, 1))),
        "differences": [
            _difference(run, sums, policy, baseline)
            for baseline in baselines_of(run)
            for policy in policies
            if policy != baseline
        ],
        "classes": _classes(run, videos),
        "objects": _objects(run, videos, absence),
    }


def _named(values: np.ndarray) -> dict[str, float | None]:
    pairs = zip(MEASURES, values.tolist(), strict=True)
    return {name: None if np.isnan(value) else value for name, value in pairs}


def _difference(
    run: LongRun, sums: Mapping[str, Sums], policy: str, baseline: str
) -> dict[str, Any]:
    def listed(first: Sums, second: Sums) -> dict[str, Any]:
        return {
            name: {"difference": value, "interval": None if interval is None else list(interval)}
            for name, (value, interval) in differences(first, second).items()
        }

    a, b = sums[policy], sums[baseline]
    return {
        "policy": policy,
        "baseline": baseline,
        "all": listed(a, b),
        "by_weights": {
            w.label: listed(a.of_weights(k), b.of_weights(k)) for k, w in enumerate(run.weights)
        },
    }


def _objects(run: LongRun, videos: Sequence[str], absence: int) -> list[dict[str, Any]]:
    """One row for each object, weights and policy."""
    found = []
    for (weights, policy, video), content in sorted(run.rows.items()):
        if video not in videos:
            continue
        for one in content["objects"]:
            rows = from_dict(one)
            sums = _sums_of(rows, content, absence)
            row: dict[str, Any] = {
                "weights": weights,
                "policy": policy,
                "video": video,
                "object": rows.object_id,
                "category": rows.category,
                "prompt_frame": rows.prompt_frame,
                "frames": len(rows.frames),
                "in_sight": sum(rows.in_target),
            }
            for name in MEASURES:
                if f"{name}#" in sums:
                    row[name] = sums[name] / sums[f"{name}#"]
            found.append(row)
    return found


def _classes(run: LongRun, videos: Sequence[str]) -> dict[str, Any] | None:
    """What guessing would reach: always the most frequent class, or any at random."""
    if run.bank is None:
        return None
    frames: dict[str, int] = {}
    objects: dict[str, int] = {}
    contents = [run.rows[w.label, run.specs[0].label, v] for w in run.weights for v in videos]
    known = next(
        (content.get("classes", ()) for content in contents if content.get("classes", ())), []
    )
    for content in contents:
        for one in content["objects"]:
            rows = from_dict(one)
            if rows.category in content.get("classes", ()):
                frames[rows.category] = frames.get(rows.category, 0) + sum(rows.in_target)
                objects[rows.category] = objects.get(rows.category, 0) + 1
    if not objects:
        return None
    return {
        "bank": run.bank.kind,
        "classes": len(known),
        "uniform": 1 / len(known),
        "majority per frame": max(frames.values()) / max(sum(frames.values()), 1),
        "majority of videos": max(objects.values()) / sum(objects.values()),
        "balanced": {
            s.label: found for s in run.specs if (found := _balanced(run, videos, s.label, known))
        },
    }


def _balanced(
    run: LongRun, videos: Sequence[str], policy: str, classes: Sequence[str]
) -> dict[str, Any] | None:
    """None where no object of a known class was in sight."""
    contents = [[run.rows[w.label, policy, video] for video in videos] for w in run.weights]
    hits, counts = recall_counts(contents, classes)
    if not counts.any():
        return None
    found = balanced(hits, counts)
    return found | {"recalls": {classes[k]: value for k, value in found["recalls"].items()}}
