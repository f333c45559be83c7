"""Scores of masks against labels: functions of arrays, with state, merge and compute."""

from surgjax.metrics.davis2017 import (
    FrameScores,
    boundary_map,
    compute,
    contour_accuracy,
    init_state,
    merge,
    region_similarity,
    score_frames,
    score_label_maps,
    update,
)

__all__ = [
    "FrameScores",
    "boundary_map",
    "compute",
    "contour_accuracy",
    "init_state",
    "merge",
    "region_similarity",
    "score_frames",
    "score_label_maps",
    "update",
]
