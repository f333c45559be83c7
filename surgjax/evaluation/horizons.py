"""How good masks are some seconds after the last prompt.

Path:    video_results -> [per_horizon] -> report_files
Axes:    none; one row for each span of time.
Units:   seconds since the latest prompt of the object at or before the frame; spans (from, to].
Errors:  ValueError for bounds that are not ascending.
Source:  ours.
Differs: J and F of a whole video hide that scores fall with time; here each object counts once in
         each span that holds a counted frame of it. Frames that carry a prompt are in no span.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgjax.evaluation.video_results import VideoResult
from surgjax.metrics import object_scores
from surgjax.metrics.means import mean
from surgjax.metrics.object_scores import ABSENT, Preset, Row

BOUNDS_S = (1.0, 5.0, 10.0, 30.0, 60.0)


def check_bounds(bounds_s: Sequence[float]) -> None:
    """Bounds must ascend from above 0."""
    if not bounds_s or any(b <= a for a, b in zip((0.0, *bounds_s), bounds_s, strict=False)):
        raise ValueError(f"--horizons_s {list(bounds_s)}: ascending seconds above 0 expected.")


def elapsed(result: VideoResult, object_id: int, frame: int) -> float | None:
    """Seconds since the latest prompt; None before the first, and without a frame rate."""
    before = [prompt for prompt in result.prompted.get(object_id, ()) if prompt <= frame]
    if not before or not result.fps:
        return None
    return (frame - max(before)) / result.fps


def _counted(result: VideoResult, object_id: int, preset: Preset) -> list[tuple[int, Row]]:
    """(frame, row) of the annotated frames that the preset counts for the object."""
    rows = [
        (frame, row)
        for frame, rows in zip(result.annotated, result.rows, strict=True)
        if (row := rows.get(object_id, ABSENT)) is not None
    ]
    kept = object_scores.kept_frames([row for _, row in rows], preset, result.video)
    return rows[kept.start : kept.stop]


def per_horizon(
    results: Sequence[VideoResult], preset: Preset, bounds_s: Sequence[float] = BOUNDS_S
) -> list[dict[str, Any]]:
    """One row for each span: from_s, to_s (NaN: open), objects, frames, J, F, JF, Dice (NaN: none).

    Videos without a frame rate are left out.
    """
    check_bounds(bounds_s)
    spans: list[dict[tuple[str, int], list[Row]]] = [{} for _ in range(len(bounds_s) + 1)]
    for result in results:
        for object_id in result.prompted:
            for frame, row in _counted(result, object_id, preset):
                seconds = elapsed(result, object_id, frame)
                if seconds:
                    place = int(np.searchsorted(bounds_s, seconds - 1e-9))
                    spans[place].setdefault((result.video, object_id), []).append(row)
    edges = [0.0, *map(float, bounds_s), math.nan]
    return [
        {"from_s": edges[k], "to_s": edges[k + 1]} | _means(found) for k, found in enumerate(spans)
    ]


def _means(found: Mapping[Any, Sequence[Row]]) -> dict[str, Any]:
    """Means over the frames of each object, then over objects."""
    counts = {"objects": len(found), "frames": sum(map(len, found.values()))}
    means = {}
    for name, field in (("J", "region"), ("F", "contour"), ("Dice", "dice")):
        means[name] = mean(mean(getattr(r, field) for r in rows) for rows in found.values())
    means["JF"] = (means["J"] + means["F"]) / 2
    return counts | {name: means[name] for name in ("J", "F", "JF", "Dice")}
