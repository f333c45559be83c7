"""Protocols that score folders of masks: how one sequence becomes a state, and states a report.

Path:    mask_folders -> [PROTOCOLS: score -> join -> report] -> report_files
Axes:    label maps are uint8 (H, W); rows of per_object, per_sequence, per_class are lists.
Units:   fractions of 1; CD_T in pixels.
Errors:  MaskFolderError naming the file; ValueError from the metrics if nothing can be scored.
Source:  the modules of `surgjax.metrics`, which say where each definition comes from.
Differs: see those modules.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from surgjax.evaluation import object_folders, temporal_folders, track_folders
from surgjax.evaluation.mask_folders import MaskFolderError, Pair, read_pairs
from surgjax.evaluation.options import Options
from surgjax.evaluation.protocol import Protocol, Scored
from surgjax.metrics import dice, endovis_type, label_maps, object_scores, temporal


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
        frames[frame] = label_maps.class_areas(*cleared)
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


def _join_temporal(states: Sequence[temporal_folders.State]) -> temporal_folders.State:
    pairs, flowed = zip(*states, strict=True)
    return temporal.join(pairs), temporal.join(flowed)


def _score_tracks(pair: Pair, options: Options) -> Scored:
    found, notes = track_folders.read_tracks(pair, options.similarity)
    state = track_folders.score_sequence(found, pair.name)
    if not any(map(len, found.truth_ids)):
        notes += (f"the ground truth of {pair.name!r} shows no object",)
    return Scored(state, notes)


def _report_tracks(scored: Scored, options: Options) -> dict[str, Any]:
    return track_folders.report(scored.state)


def _object_protocol(name: str, *options: str) -> Protocol:
    score, report = object_folders.score_by(name), object_folders.report_by(name)
    return Protocol(name, score, object_scores.join, report, frozenset(options))


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _object_protocol("davis17", "keep_first_and_last", "mode"),
        _object_protocol("sav", "keep_first_and_last"),
        _object_protocol("resurg"),
        Protocol(
            "endovis_type",
            _score_endovis,
            label_maps.join,
            _report_endovis,
            frozenset({"num_classes"}),
        ),
        Protocol("dice", _score_classes, label_maps.join, _report_dice, frozenset({"num_classes"})),
        Protocol(
            "temporal",
            _score_temporal,
            _join_temporal,
            _report_temporal,
            frozenset({"flow", "mode"}),
            needs_ground_truth=False,
        ),
        Protocol(
            "hota",
            _score_tracks,
            track_folders.join,
            _report_tracks,
            frozenset({"similarity"}),
        ),
    )
}
