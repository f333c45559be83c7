"""What each sequence adds to the scores of a protocol, so that any choice of sequences is scored.

Path:    folder_run, model_report -> [sums_of] -> "sums" of report.json -> [scores_of] -> bootstrap
Axes:    R choices of sequences, S sequences, A thresholds of HOTA.
Units:   sums of fractions of 1 (CD_T: pixels) and counts of what they are sums over.
Errors:  none.
Source:  the modules of `surgjax.metrics`: a score is a ratio of sums, a mean of such ratios over
         classes or labels, or (HOTA) a function of several.
Differs: the mean of the scores of sequences is another number than the score of all, where
         sequences differ in length; sums give the latter.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from surgjax.evaluation.protocol import Scored
from surgjax.metrics import clear, dice, hota, identity, label_maps

# Name -> what is added up: a number, or one for each threshold. Classes have names such as iou/3.
Values = dict[str, Any]
Totals = Mapping[str, np.ndarray]  # [R], or [R, A]


class Sums(NamedTuple):
    """Of one protocol: the values of each sequence, and scores from their totals."""

    collect: Callable[[Scored, Mapping[str, Any]], Mapping[str, Values]]
    evaluate: Callable[[Totals], dict[str, np.ndarray]]


def _add(values: Values, **more: float) -> None:
    for name, value in more.items():
        values[name] = values.get(name, 0) + value


def _ratio(totals: Totals, above: str, below: str) -> np.ndarray:
    """NaN where there is nothing to divide by."""
    shape = next(iter(totals.values())).shape[:1]
    numerator, count = (np.asarray(totals.get(n, np.zeros(shape)), float) for n in (above, below))
    return np.divide(numerator, count, out=np.full(shape, np.nan), where=count > 0)


def _ratios(totals: Totals, above: str, below: str) -> np.ndarray:
    """[classes, R]: the ratio of every class, NaN where a choice of sequences lacks it."""
    labels = [name.removeprefix(f"{below}/") for name in totals if name.startswith(f"{below}/")]
    rows = [_ratio(totals, f"{above}/{label}", f"{below}/{label}") for label in labels]
    return np.array(rows).reshape(len(labels), len(next(iter(totals.values()))))


def _mean_ratio(totals: Totals, above: str, below: str) -> np.ndarray:
    """Mean over the classes that a choice of sequences has."""
    ratios = _ratios(totals, above, below)
    known = ~np.isnan(ratios)
    count = known.sum(0)
    total = np.where(known, ratios, 0).sum(0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


_OF_OBJECTS = ("J", "F", "Dice", "J_recall", "J_decay", "F_recall", "F_decay")


def _collect_objects(scored: Scored, report: Mapping[str, Any]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for row in report["tables"]["per_object"]:
        values = found.setdefault(row["sequence"], {})
        names = (*_OF_OBJECTS, "absent_frames", "false_positives")
        _add(values, objects=1, **{name: row[name] for name in names})
    for row in report.get("per_absent_object", ()):
        values = found.setdefault(row["sequence"], {})
        _add(values, asked_in_vain=row["frames"], found_in_vain=row["false_positives"])
    return found


def _evaluate_objects(totals: Totals) -> dict[str, np.ndarray]:
    scores = {name: _ratio(totals, name, "objects") for name in _OF_OBJECTS}
    scores["JF"] = (scores["J"] + scores["F"]) / 2
    scores["false_positive_rate"] = _ratio(totals, "false_positives", "absent_frames")
    scores["absent_false_positive_rate"] = _ratio(totals, "found_in_vain", "asked_in_vain")
    return scores


def _collect_classes(scored: Scored, report: Mapping[str, Any]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for video, state in label_maps.by_video(scored.state).items():
        values = found.setdefault(video, {})
        for areas in state.values():
            _add_frame(values, areas)
        if any(state.values()):
            for row in dice.compute(state)["per_object"]:
                _add(values, dice_object=row["dice"], objects=1)
    return found


def _add_frame(values: Values, areas: label_maps.FrameAreas) -> None:
    if not areas:
        return
    ious = {label: area.shared / area.union for label, area in areas.items()}
    _add(values, isi=sum(ious.values()) / len(ious), isi_frames=1)
    if wanted := [iou for label, iou in ious.items() if areas[label].target]:
        _add(values, challenge=sum(wanted) / len(wanted), challenge_frames=1)
    for label, area in areas.items():
        fraction = 2 * area.shared / (area.predicted + area.target)
        _add(values, **{f"iou/{label}": ious[label], f"dice/{label}": fraction})
        _add(values, **{f"frames/{label}": 1, f"samples/{label}": int(area.target > 0)})
    if any(area.predicted for area in areas.values()):
        shared = sum(area.shared for area in areas.values())
        _add(values, shared=shared, union=sum(area.union for area in areas.values()))


def _evaluate_classes(totals: Totals) -> dict[str, np.ndarray]:
    pooled, isi = _ratio(totals, "shared", "union"), _ratio(totals, "isi", "isi_frames")
    dices = _ratios(totals, "dice", "frames")
    labels = [name.removeprefix("frames/") for name in totals if name.startswith("frames/")]
    samples = np.array([totals[f"samples/{label}"] for label in labels]).reshape(dices.shape)
    weighted = np.where(np.isnan(dices), 0, dices) * samples
    sums = {"weighted": weighted.sum(0), "samples": samples.sum(0)}
    return {
        "challenge_iou": _ratio(totals, "challenge", "challenge_frames"),
        "isi_iou": isi,
        "mc_iou": _mean_ratio(totals, "iou", "frames"),
        "pooled_iou": np.where(np.isnan(pooled) & ~np.isnan(isi), 0.0, pooled),
        "dice_class": _mean_ratio(totals, "dice", "frames"),
        "dice_object": _ratio(totals, "dice_object", "objects"),
        "wmdc": _ratio(sums, "weighted", "samples"),
    }


_TEMPORAL = (("IoU_T", "CD_T"), ("IoU_OF", "Dice_OF"))


def _collect_pairs(scored: Scored, report: Mapping[str, Any]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for names, state in zip(_TEMPORAL, scored.state, strict=True):
        for (video, _), labels in sorted(state.items()):
            values = found.setdefault(video, {})
            for label, scores in labels.items():
                for name, score in zip(names, scores, strict=True):
                    if not np.isnan(score):
                        _add(values, **{f"{name}/{label}": score, f"{name}_pairs/{label}": 1})
    return found


def _evaluate_pairs(totals: Totals) -> dict[str, np.ndarray]:
    names = [name for names in _TEMPORAL for name in names]
    return {name: _mean_ratio(totals, name, f"{name}_pairs") for name in names}


_FAMILIES = {"hota": hota, "clear": clear, "identity": identity}


def _collect_tracks(scored: Scored, report: Mapping[str, Any]) -> dict[str, Values]:
    return {
        video: {
            f"{family}.{name}": value.tolist() if isinstance(value, np.ndarray) else value
            for family in _FAMILIES
            for name, value in vars(getattr(counts, family)).items()
        }
        for video, counts in scored.state.items()
    }


def _evaluate_tracks(totals: Totals) -> dict[str, np.ndarray]:
    of = {
        family: {
            name.removeprefix(f"{family}."): total
            for name, total in totals.items()
            if name.startswith(f"{family}.")
        }
        for family in _FAMILIES
    }
    counts = hota.SequenceCounts(**of.pop("hota"))
    scores = {name: values.mean(-1) for name, values in hota.per_alpha(counts).items()}
    lowest = {name: values[:, 0] for name, values in hota.per_alpha(counts).items()}
    scores |= {"HOTA(0)": lowest["HOTA"], "LocA(0)": lowest["LocA"]}
    scores["HOTALocA(0)"] = lowest["HOTA"] * lowest["LocA"]
    scores["HOTA_TP"] = counts.true_positives.mean(-1)
    scores["HOTA_FN"] = counts.false_negatives.mean(-1)
    scores["HOTA_FP"] = counts.false_positives.mean(-1)
    for family, values in of.items():
        metric = _FAMILIES[family]
        columns = zip(*(total.tolist() for total in values.values()), strict=True)
        rows = [
            metric.compute({"": metric.SequenceCounts(**dict(zip(values, column, strict=True)))})
            for column in columns
        ]
        names = [name for name, value in rows[0].items() if isinstance(value, float)]
        scores |= {name: np.array([row[name] for row in rows]) for name in names}
    return scores


_OBJECTS = Sums(_collect_objects, _evaluate_objects)
_CLASSES = Sums(_collect_classes, _evaluate_classes)
# By protocol; the comparison of one without an entry has no intervals, and says so.
SUMS: dict[str, Sums] = {
    "davis17": _OBJECTS,
    "sav": _OBJECTS,
    "resurg": _OBJECTS,
    "endovis_type": _CLASSES,
    "dice": _CLASSES,
    "temporal": Sums(_collect_pairs, _evaluate_pairs),
    "hota": Sums(_collect_tracks, _evaluate_tracks),
}


def sums_of(protocol: str, scored: Scored, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`{"sequence", "values"}` of every sequence, for report.json; `report` is the protocol's."""
    if protocol not in SUMS:
        return []
    found = SUMS[protocol].collect(scored, report)
    return [{"sequence": name, "values": values} for name, values in sorted(found.items())]


def totals_of(rows: Sequence[Mapping[str, Any]], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Values added up: weights [R, S] says how often each choice has each sequence."""
    shapes = {name: np.shape(v) for row in rows for name, v in row["values"].items()}
    return {
        name: weights @ np.array([row["values"].get(name, np.zeros(shape)) for row in rows], float)
        for name, shape in shapes.items()
    }


def scores_of(
    protocol: str, rows: Sequence[Mapping[str, Any]], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Measure -> score of every choice of sequences, [R]; NaN where a choice has no sample."""
    return SUMS[protocol].evaluate(totals_of(rows, weights))
