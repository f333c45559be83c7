"""Objects prompted once, where they first show, and tracked to the end of the video.

Path:    AnnotatedVideo, Segmenter -> [run] -> Outcome -> prompted_run.score
Axes:    masks bool [H, W].
Units:   frames count from 0.
Errors:  as `prompted_run`.
Source:  SAM 2, arXiv:2408.00714: semi-supervised evaluation with 1, 3 or 5 clicks, a box or a mask.
Differs: as `prompted_run`.
"""

import dataclasses
from typing import Any

from surgjax.evaluation.annotated_video import AnnotatedVideo
from surgjax.evaluation.prompted_run import (
    Keep,
    Outcome,
    Start,
    blank_rows,
    groups_of,
    merge_rows,
    opened,
    starts_of,
)
from surgjax.evaluation.segmenter import Segmenter


def stated(start: Start) -> dict[str, Any]:
    """The settings, for reports."""
    return {"protocol": "semi_supervised", **dataclasses.asdict(start)}


def run(
    segmenter: Segmenter,
    video: AnnotatedVideo,
    start: Start | None = None,
    keep: Keep | None = None,
) -> Outcome:
    """One video; a video without an object to prompt has an Outcome without rows.

    keep is handed every frame, annotated or not, from the first prompt on, with the masks of the
    objects that have started; with `together` off, once for each object.
    """
    start = Start() if start is None else start
    starts, left_out = starts_of(video, start)
    given, parts = [], []
    for group in groups_of(starts, start.together):
        begins = {k: starts[k] for k in group}
        rows = blank_rows(video, begins)
        with opened(segmenter, video, begins) as interaction:
            interaction.start(start.prompt)
            for t, masks in interaction.propagate(min(begins.values())):
                if t in rows:
                    rows[t] = interaction.score(t, masks)
                if keep is not None:
                    keep(t, masks)
        given += interaction.given
        parts.append(rows)
    return Outcome(video.name, starts, left_out, tuple(given), merge_rows(*parts))
