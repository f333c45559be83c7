"""What a training step reports beside its loss.

Path:    PromptedFrame -> [step_metrics] -> metrics -> loop
Axes:    R rows (one object of one image), V visits to the frames of a clip.
Units:   IoU in 0..1 at the size of the input, over present objects.
Source:  ours.
Differs: nothing to differ from.
"""

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.losses import SemanticTerms
from surgjax.structs import Array
from surgjax.train.steps.prompted_frame import PromptedFrame, row_ious
from surgjax.train.steps.training_clips import FrameTruth


class VisitLog(flax.struct.PyTreeNode):
    """What is left of an answered frame; of a clip, V leading."""

    loss: Array  # []
    parts: dict[str, Array]  # [] each, of all answers
    first_parts: dict[str, Array]  # [] each, before any correction
    first_iou: Array  # [R]
    last_iou: Array  # [R], after corrections
    present: Array  # [R]: weight of a row in a mean of IoUs
    semantic: SemanticTerms | None = None  # see `semantic_learning`


def log_of(frame: PromptedFrame, truth: FrameTruth) -> VisitLog:
    first_iou, present = row_ious(frame.first.low_res, truth)
    last_iou = first_iou
    if frame.output is not frame.first:
        last_iou, _ = row_ious(frame.output.low_res, truth)
    return VisitLog(frame.loss, frame.parts, frame.first_parts, first_iou, last_iou, present)


def mean_iou(ious: Array, weights: Array) -> Array:
    """Weighted mean over everything; 0 where nothing counts."""
    return (ious * weights).sum() / jnp.maximum(weights.sum(), 1.0)


def prompt_metrics(
    log: VisitLog, is_box: Array, corrected: Array | None, objects: Array
) -> dict[str, Array]:
    """Of one prompted frame: loss per object by part, IoU after a box, a click, corrections."""
    metrics = {name: value / objects for name, value in log.parts.items()}
    metrics["box_iou"] = mean_iou(log.first_iou, log.present * is_box)
    metrics["click_iou"] = mean_iou(log.first_iou, log.present * ~is_box)
    if corrected is not None:
        metrics["corrected_iou"] = mean_iou(log.last_iou, log.present * corrected)
    return metrics


def tracked_metrics(logs: VisitLog, weights: Array, is_tracked: Array) -> dict[str, Array]:
    """Of the frames [V] that were not prompted: IoU and object score loss of the first answers.

    weights [V, R]: rows that count on a frame.
    """
    counted = is_tracked.astype(jnp.float32)
    score = (logs.first_parts["object_score"] * counted).sum()
    return {
        "tracked_iou": mean_iou(logs.first_iou, logs.present * counted[:, None]),
        "tracked_score": score / jnp.maximum((weights.sum(1) * counted).sum(), 1.0),
    }


def joined(first: VisitLog, rest: VisitLog) -> VisitLog:
    """The log of one visit before those of many."""
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
