"""J, F and Dice of objects in folders of masks, by one of the presets of `object_scores`.

Path:    mask_folders (a Pair) -> [score_by -> report_by] -> folder_protocols
Axes:    label maps are uint8 (H, W); rows of per_object, per_sequence, per_frame are lists.
Units:   fractions of 1.
Errors:  MaskFolderError naming the file; for davis17 also an id that the ground truth never shows.
Source:  `surgjax.metrics.object_scores`.
Differs: see there.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.evaluation.mask_folders import MaskFolderError, Pair, object_folder, read_pairs
from surgjax.evaluation.object_masks import read_object_masks
from surgjax.evaluation.options import Options
from surgjax.evaluation.protocol import Scored
from surgjax.metrics import object_scores


def _preset(name: str, options: Options) -> object_scores.Preset:
    preset = object_scores.PRESETS[name]
    if options.keep_first_and_last:
        preset = dataclasses.replace(preset, drop_first_and_last=False)
    return preset


def object_rows(pair: Pair) -> tuple[dict[int, object_scores.FrameRows], dict[int, Path]]:
    """Rows of every annotated frame, and the first file that holds each predicted id."""
    frames: dict[int, object_scores.FrameRows] = {}
    seen: dict[int, Path] = {}
    if pair.target.objects or (pair.prediction and pair.prediction.objects):
        for frame, found in enumerate(read_object_masks(pair)):
            frames[frame] = {
                i: None if both is None else object_scores.score_mask(*both)
                for i, both in found.masks.items()
            }
            seen = found.shown | seen
        return frames, seen
    for frame, (prediction, target) in enumerate(read_pairs(pair)):
        rows = object_scores.score_label_map(prediction.label_map, target.label_map)
        frames[frame] = rows
        for object_id, row in rows.items():
            if row.in_mask:
                seen.setdefault(object_id, prediction.path)
    return frames, seen


def _ids_in_target(frames: Iterable[object_scores.FrameRows]) -> set[int]:
    return {i for rows in frames for i, row in rows.items() if row and row.in_target}


def _unknown(pair: Pair, ids: Collection[int], seen: Mapping[int, Path]) -> str:
    """What to say of predicted ids that the ground truth never shows."""
    first = min(ids)
    return f"{seen[first]}: it holds id {first}, which the ground truth of {pair.name!r} "


def _check_davis17(
    pair: Pair,
    frames: Mapping[int, object_scores.FrameRows],
    seen: Mapping[int, Path],
    options: Options,
) -> None:
    """Refuses ids on which davis2017-evaluation stops; corrected, any that the truth lacks."""
    if options.mode == "literal":
        largest = max(_ids_in_target([frames[0]]), default=0)
        if above := [i for i in seen if i > largest]:
            raise MaskFolderError(
                f"{_unknown(pair, above, seen)}counts no object for: its first frame ends with id "
                f"{largest}; the reference stops there too."
            )
        return
    known = _ids_in_target(frames.values()) | set(pair.target.objects)
    if unknown := set(seen) - known:
        raise MaskFolderError(
            f"{_unknown(pair, unknown, seen)}never shows (ids {sorted(known)}): a wrong palette, "
            "or other ids."
        )


def _notes(
    pair: Pair, frames: Mapping[int, object_scores.FrameRows], seen: Mapping[int, Path]
) -> Iterator[str]:
    """What a reader of the scores should know about the ids of a sequence."""
    known = _ids_in_target(frames.values())
    if not known:
        yield f"the ground truth of {pair.name!r} shows no object"
    side = pair.prediction
    if side and side.objects and not pair.target.objects:
        for i in sorted(known - set(side.objects)):
            yield f"{object_folder(side, i)}: missing, object {i} counted as empty"
    if unasked := set(seen) - set(pair.target.objects) if pair.target.objects else set():
        yield (
            f"{_unknown(pair, unasked, seen)}has no folder for (objects "
            f"{sorted(pair.target.objects)}): such ids are not annotated and not scored"
        )
    elif unknown := set(seen) - known - set(pair.target.objects):
        yield (
            f"{_unknown(pair, unknown, seen)}never shows (ids {sorted(known)}): such ids are not "
            "scored, and count in absent_false_positive_rate"
        )


def score_by(name: str) -> Callable[[Pair, Options], Scored]:
    def score(pair: Pair, options: Options) -> Scored:
        frames, seen = object_rows(pair)
        if name == "davis17":
            _check_davis17(pair, frames, seen, options)
        state = {pair.name: object_scores.pack(frames)}
        return Scored(state, tuple(_notes(pair, frames, seen)), {pair.name: pair.stems})

    return score


class FrameTable(Sequence[dict[str, Any]]):
    """J, F, Dice and presence of every object that a frame shows; for curves over time.

    Rows are made when they are asked for, by sequence, frame and object: they would take fifty
    times the memory of the numbers in them.
    """

    def __init__(
        self,
        scored: Scored,
        extra: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    ):
        self._scored, self._extra = scored, extra

    def with_columns(self, extra: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> "FrameTable":
        """The table with more columns; `extra` is given a row."""
        return FrameTable(self._scored, extra)

    def __len__(self) -> int:
        return sum(
            int(np.count_nonzero(shown))
            for rows in self._scored.state.values()
            for shown in rows.shown().values()
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrameTable) or len(self) != len(other):
            return False
        return all(row == theirs for row, theirs in zip(self, other, strict=True))

    def __getitem__(self, place):  # slow for places far on; iterate instead
        if isinstance(place, slice):
            return list(self)[place]
        count = len(self)
        if not -count <= place < count:
            raise IndexError(place)
        return next(itertools.islice(self, place % count, None))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for sequence, rows in sorted(self._scored.state.items()):
            shown = rows.shown()
            for place, frame in enumerate(rows.frames.tolist()):
                for object_id, where in shown.items():
                    if where[place]:
                        stem = self._scored.stems[sequence][frame]
                        yield self._row(sequence, stem, object_id, rows.row(object_id, place))

    def _row(
        self, sequence: str, stem: str, object_id: int, row: object_scores.Row
    ) -> dict[str, Any]:
        named: dict[str, Any] = {"sequence": sequence, "frame": stem, "object": object_id}
        named |= {"J": row.region, "F": row.contour, "Dice": row.dice}
        named |= {"in_ground_truth": row.in_target, "in_prediction": row.in_mask}
        return named | dict(self._extra(named)) if self._extra else named


_OBJECT_KEYS = ("sequence", "object", "J", "F", "JF")


def report_by(name: str) -> Callable[[Scored, Options], dict[str, Any]]:
    def report(scored: Scored, options: Options) -> dict[str, Any]:
        preset = _preset(name, options)
        result = object_scores.compute(scored.state, preset, options.mode == "literal")
        full = result["per_object"]
        result["per_object"] = [{key: row[key] for key in _OBJECT_KEYS} for row in full]
        left_out = result.pop("left_out")
        result["left_out"] = [{"sequence": video, "object": i} for video, i in left_out]
        tables = {"per_object": full, "per_frame": FrameTable(scored)}
        return result | {"tables": tables, "stems": dict(scored.stems)}

    return report
