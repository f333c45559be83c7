"""Consistency of predicted label maps along optical flow, without ground truth: IoU_OF, Dice_OF.

Path:    label maps, flow -> [score_pair -> update -> merge] -> compute -> IoU_OF, Dice_OF
Axes:    label maps are uint8 (H, W); flow is float (h, w, 2) as x, y on a grid of its own.
Units:   flow in pixels of its own grid; scores as fractions of 1.
Errors:  ValueError for an unknown mode, a flow of another form, or maps that differ in shape.
Source:  SASVi, eval_scripts/eval_vid_OF.py: map t is warped to t + 1 and compared label by label.
Differs: `mode="literal"` repeats SASVi: flow t -> t + 1, resized without scaling its vectors, added
         to the place of sampling, and cut off to whole pixels. That is the wrong way for a warp.
         `mode="corrected"` takes the flow t + 1 -> t, scales it with the grid, and rounds. The
         flow itself comes from the caller; SASVi's is RAFT-small at 512 x 384, whose weights would
         have to be downloaded.
"""

from typing import Any

import cv2
import numpy as np

from surgjax.metrics.label_maps import labels_of
from surgjax.metrics.temporal import (
    PairScores,
    State,
    by_sequence,
    init_state,
    macro,
    merge,
    update,
)

__all__ = ["MODES", "check_flow", "compute", "init_state", "merge", "score_pair", "update", "warp"]

MODES = ("corrected", "literal")


def check_flow(flow: object) -> None:
    """Refuses what is no array of finite vectors, with at least one."""
    expected = "flow: floats (height, width, 2) expected"
    if not isinstance(flow, np.ndarray):
        raise ValueError(f"{expected}, {type(flow).__name__} found.")
    shaped = flow.ndim == 3 and flow.shape[2:] == (2,) and flow.size
    if not shaped or not np.issubdtype(flow.dtype, np.floating):
        raise ValueError(f"{expected}, {flow.dtype} {flow.shape} found.")
    if not np.isfinite(flow).all():
        raise ValueError("flow: it holds NaN or infinite vectors.")


def _fit(flow: np.ndarray, shape: tuple[int, ...], mode: str) -> np.ndarray:
    """The flow on the maps' grid, bilinear with half-pixel centres."""
    check_flow(flow)
    height, width = shape
    fitted = cv2.resize(
        flow.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    ).reshape(height, width, 2)
    if mode == "corrected":
        fitted = fitted * np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    return fitted


def warp(label_map: np.ndarray, flow: np.ndarray, mode: str = "corrected") -> np.ndarray:
    """Map t as it would look at t + 1; see the module for what `flow` is in each mode."""
    if mode not in MODES:
        raise ValueError(f"mode: one of {', '.join(MODES)} expected, {mode!r} found.")
    height, width = label_map.shape
    flow = _fit(flow, label_map.shape, mode)
    x = np.clip(np.arange(width, dtype=np.float32)[None, :] + flow[..., 0], 0, width - 1)
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] + flow[..., 1], 0, height - 1)
    if mode == "corrected":
        x, y = np.floor(x + 0.5), np.floor(y + 0.5)
    return label_map[y.astype(int), x.astype(int)]


def score_pair(
    label_map: np.ndarray, following: np.ndarray, flow: np.ndarray, mode: str = "corrected"
) -> dict[int, PairScores]:
    """IoU and Dice of every label of the warped map or the following one."""
    if label_map.shape != following.shape:
        raise ValueError(f"pair of label maps: {label_map.shape} and {following.shape} differ.")
    warped = warp(label_map, flow, mode)
    scores = {}
    for label in sorted(labels_of(warped) | labels_of(following)):
        mask, other = warped == label, following == label
        shared, union = np.count_nonzero(mask & other), np.count_nonzero(mask | other)
        scores[label] = PairScores(shared / union, 2 * shared / (shared + union))
    return scores


def compute(state: State) -> dict[str, Any]:
    """IoU_OF and Dice_OF, `per_label` and `per_sequence`."""
    names = ("IoU_OF", "Dice_OF")
    return macro(state, names) | {"per_sequence": by_sequence(state, names)}
