"""J, F and Dice of objects in folders of masks, by one of the presets of `object_scores`.

Path:    mask_folders (a Pair) -> [score_by -> report_by] -> folder_protocols
Axes:    label maps are uint8 (H, W); rows of per_object, per_sequence, per_frame are lists.
Units:   fractions of 1.
Errors:  MaskFolderError naming the file; for davis17 also an id that the ground truth never shows.
Source:  `surgjax.metrics.object_scores`.
Differs: see there.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from surgjax.evaluation.mask_folders import MaskFolderError, Pair, read_pairs
from surgjax.evaluation.object_masks import read_object_masks
from surgjax.evaluation.options import Options
from surgjax.evaluation.protocol import Scored
from surgjax.metrics import object_scores


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


def score_by(name: str) -> Callable[[Pair, Options], Scored]:
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


def report_by(name: str) -> Callable[[Scored, Options], dict[str, Any]]:
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
