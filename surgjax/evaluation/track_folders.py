"""Folders of label maps as tracks: an id of a sequence is a track, and HOTA, CLEAR, IDF1 follow.

Path:    mask_folders (a Pair) -> [read_tracks -> score_sequence -> join -> report] -> protocols
Axes:    label maps are uint8 (H, W); one row of per_sequence for each sequence.
Units:   scores are fractions of 1; counts in objects times frames.
Errors:  MaskFolderError naming the file.
Source:  `surgjax.metrics.hota`, `clear`, `identity`, which follow TrackEval 1.3.0.
Differs: only annotated frames count. Each frame is read, compared and dropped, so that memory holds
         similarities, no masks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgjax.evaluation.mask_folders import MaskFolderError, Pair, read_pairs
from surgjax.metrics import by_name, clear, hota, identity, tracks
from surgjax.metrics.label_maps import IGNORED, labels_of


@dataclass(frozen=True)
class SequenceCounts:
    """What the three families count in one sequence."""

    hota: hota.SequenceCounts
    clear: clear.SequenceCounts
    identity: identity.SequenceCounts


State = Mapping[str, SequenceCounts]
join = by_name.join

# First in every report; the other scores and counts follow.
MAIN = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "LocA", "IDSW")


def read_tracks(pair: Pair, similarity: str) -> tuple[tracks.TrackPair, tuple[str, ...]]:
    """The tracks of one sequence, frame by frame, and notes; 255 is no track on either side."""
    pieces, labels, first = [], set(), None
    for prediction, target in read_pairs(pair, same_ids=False):
        here = labels_of(prediction.label_map)
        labels |= here
        if IGNORED in here:
            first = first or prediction.path
        found = np.where(prediction.label_map == IGNORED, np.uint8(0), prediction.label_map)
        pieces.append(tracks.pair_from_label_maps(found[None], target.label_map[None], similarity))
    if labels - {0} == {IGNORED}:
        raise MaskFolderError(
            f"{first}: the predictions of {pair.name!r} hold 0 and 255 only. 255 is no track; "
            "their ids must be 1 to 254."
        )
    notes = () if first is None else (f"{first}: it holds 255, which is not scored as a track",)
    return tracks.concatenate(pieces), notes


def score_sequence(found: tracks.TrackPair, name: str) -> State:
    """The state of one sequence."""
    counts = SequenceCounts(
        hota.score_sequence(found), clear.score_sequence(found), identity.score_sequence(found)
    )
    return by_name.update(by_name.init_state(), name, counts)


def _joined(parts: list[Mapping[str, Any]]) -> dict[str, float]:
    """The numbers of all three families, the main ones first."""
    values = {k: v for part in parts for k, v in part.items() if isinstance(v, float)}
    return {name: values[name] for name in MAIN} | values


def report(state: State) -> dict[str, Any]:
    """Scores from counts added up over sequences, `per_sequence`, and the curves `per_alpha`.

    Rows of `per_sequence` hold the main scores, those of its table all of them.
    """
    families = {"hota": hota, "clear": clear, "identity": identity}
    parts = [
        metric.compute({name: getattr(counts, family) for name, counts in state.items()})
        for family, metric in families.items()
    ]
    rows = []
    for same in zip(*(part["per_sequence"] for part in parts), strict=True):
        assert len({row["sequence"] for row in same}) == 1  # all go by the order of the names
        rows.append({"sequence": same[0]["sequence"]} | _joined(list(same)))
    short = [{key: row[key] for key in ("sequence", *MAIN)} for row in rows]
    curves = {"per_sequence": short, "per_alpha": parts[0]["per_alpha"]}
    return _joined(parts) | curves | {"tables": {"per_sequence": rows}}
