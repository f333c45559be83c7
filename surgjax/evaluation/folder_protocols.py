"""Protocols that score folders of masks: how one sequence becomes a state, and states a report.

Path:    mask_folders -> [PROTOCOLS: score -> merge -> report] -> report_files
Axes:    label maps are uint8 (H, W); rows of per_object, per_sequence, per_class are lists.
Units:   fractions of 1; CD_T in pixels.
Errors:  MaskFolderError naming the file; ValueError from the metrics if nothing can be scored.
Source:  the modules of `surgjax.metrics`, which say where each definition comes from.
Differs: see those modules.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from surgjax.evaluation import temporal_folders
from surgjax.evaluation.mask_folders import MaskFolderError, Pair, read_pairs
from surgjax.evaluation.object_masks import read_object_masks
from surgjax.evaluation.options import Options
from surgjax.metrics import dice, endovis_type, label_maps, object_scores, temporal


@dataclasses.dataclass(frozen=True)
class Scored:
    """What was found in some sequences."""

    state: Any
    notes: tuple[str, ...] = ()
    stems: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to score; new ones are added to PROTOCOLS."""

    name: str
    score: Callable[[Any, Options], Scored]  # of one Pair, or one SequenceFiles without target
    merge: Callable[[Any, Any], Any]
    report: Callable[[Scored, Options], dict[str, Any]]  # "tables", "stems": not for JSON
    options: frozenset[str] = frozenset()  # fields of Options that it reads
    needs_ground_truth: bool = True


def merge_scored(protocol: Protocol, first: Scored, second: Scored) -> Scored:
    """The result of both, over different sequences."""
    return Scored(
        protocol.merge(first.state, second.state),
        first.notes + second.notes,
        {**first.stems, **second.stems},
    )


def _preset(name: str, options: Options) -> object_scores.Preset:
    preset = object_scores.PRESETS[name]
    if options.keep_first_and_last:
        preset = dataclasses.replace(preset, drop_first_and_last=False)
    return preset


def object_rows(pair: Pair) -> tuple[dict[int, object_scores.FrameRows], dict[int, str]]:
    """Rows of every annotated frame, and the first file that holds each predicted id."""
    frames, seen = {}, {}
    if pair.target.objects or (pair.prediction and pair.prediction.objects):
        for frame, masks in enumerate(read_object_masks(pair)):
            frames[frame] = {
                i: None if both is None else object_scores.score_mask(*both)
                for i, both in masks.items()
            }
        return frames, seen
    for frame, (prediction, target) in enumerate(read_pairs(pair)):
        rows = object_scores.score_label_map(prediction.label_map, target.label_map)
        frames[frame] = rows
        for object_id, row in rows.items():
            if row.in_mask:
                seen.setdefault(object_id, str(prediction.path))
    return frames, seen


def _score_objects(name: str) -> Callable[[Pair, Options], Scored]:
    def score(pair: Pair, options: Options) -> Scored:
        frames, seen = object_rows(pair)
        known = {i for rows in frames.values() for i, row in rows.items() if row and row.in_target}
        notes = () if known else (f"the ground truth of {pair.name!r} shows no object",)
        if unknown := sorted(set(seen) - known):
            message = (
                f"{seen[unknown[0]]}: it holds id {unknown[0]}, which the ground truth of "
                f"{pair.name!r} never shows (ids {sorted(known)})"
            )
            if name == "davis17":  # the reference stops too
                raise MaskFolderError(f"{message}: a wrong palette, or other ids.")
            notes += (f"{message}: such ids are not scored",)
        state = object_scores.update(object_scores.init_state(), pair.name, frames)
        return Scored(state, notes, {pair.name: pair.stems})

    return score


def _frame_table(scored: Scored) -> list[dict[str, Any]]:
    """J, F, Dice and presence of every object that a frame shows; for curves over time."""
    table = []
    for (sequence, frame), rows in sorted(scored.state.items()):
        stem = scored.stems[sequence][frame]
        for object_id, row in sorted(rows.items()):
            if row is not None:
                named = {"sequence": sequence, "frame": stem, "object": object_id}
                scores = {"J": row.region, "F": row.contour, "Dice": row.dice}
                seen = {"in_ground_truth": row.in_target, "in_prediction": row.in_mask}
                table.append(named | scores | seen)
    return table


_OBJECT_KEYS = ("sequence", "object", "J", "F", "JF")


def _report_objects(name: str) -> Callable[[Scored, Options], dict[str, Any]]:
    def report(scored: Scored, options: Options) -> dict[str, Any]:
        preset = _preset(name, options)
        result = object_scores.compute(scored.state, preset, options.mode == "literal")
        full = result["per_object"]
        result["per_object"] = [{key: row[key] for key in _OBJECT_KEYS} for row in full]
        left_out = result.pop("left_out")
        result["left_out"] = [{"sequence": video, "object": i} for video, i in left_out]
        tables = {"per_object": full, "per_frame": _frame_table(scored)}
        return result | {"tables": tables, "stems": dict(scored.stems)}

    return report


def _score_classes(pair: Pair, options: Options) -> Scored:
    frames, largest = {}, options.num_classes or label_maps.IGNORED - 1
    for frame, (prediction, target) in enumerate(read_pairs(pair)):
        cleared = label_maps.clear_ignored(prediction.label_map, target.label_map)
        for file, label_map in zip((prediction, target), cleared, strict=True):
            if (found := max(label_maps.labels_of(label_map))) > largest:
                raise MaskFolderError(
                    f"{file.path}: class ids 0 to {largest} expected, {found} found: a wrong "
                    "palette, or another --num_classes."
                )
        frames[frame] = label_maps.class_areas(prediction.label_map, target.label_map)
    return Scored(label_maps.update(label_maps.init_state(), pair.name, frames))


def _score_endovis(pair: Pair, options: Options) -> Scored:
    classes = options.num_classes or endovis_type.NUM_CLASSES
    return _score_classes(pair, dataclasses.replace(options, num_classes=classes))


def _report_endovis(scored: Scored, options: Options) -> dict[str, Any]:
    result, dices = endovis_type.compute(scored.state), dice.compute(scored.state)
    for rows, others in (("per_class", "dice"), ("per_sequence", "dice_class")):
        for row, other in zip(result[rows], dices[rows], strict=True):
            row[others] = other[others]
    means = {name: dices[name] for name in ("dice_class", "dice_object")}
    return {**result, **means}


def _report_dice(scored: Scored, options: Options) -> dict[str, Any]:
    return dice.compute(scored.state)


def _score_temporal(sequence: Any, options: Options) -> Scored:
    return Scored(temporal_folders.score_sequence(sequence, options))


def _report_temporal(scored: Scored, options: Options) -> dict[str, Any]:
    return temporal_folders.report(scored.state)


def _merge_temporal(first: Any, second: Any) -> Any:
    return tuple(temporal.merge(a, b) for a, b in zip(first, second, strict=True))


def _object_protocol(name: str, *options: str) -> Protocol:
    merge, known = object_scores.merge, frozenset(options)
    return Protocol(name, _score_objects(name), merge, _report_objects(name), known)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _object_protocol("davis17", "keep_first_and_last", "mode"),
        _object_protocol("sav", "keep_first_and_last"),
        _object_protocol("resurg"),
        Protocol(
            "endovis_type",
            _score_endovis,
            label_maps.merge,
            _report_endovis,
            frozenset({"num_classes"}),
        ),
        Protocol(
            "dice", _score_classes, label_maps.merge, _report_dice, frozenset({"num_classes"})
        ),
        Protocol(
            "temporal",
            _score_temporal,
            _merge_temporal,
            _report_temporal,
            frozenset({"flow", "mode"}),
            needs_ground_truth=False,
        ),
    )
}
