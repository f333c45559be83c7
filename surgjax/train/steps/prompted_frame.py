"""One prompted frame of a training step: prompts from true masks, the answer, its loss.

Path:    features, true masks -> [prompted_frame] -> loss, answer -> steps.promptable
Axes:    R rows (one object of one image), O objects, S side of the input, P points.
Units:   points in pixels of the input, x before y; masks bool; IoU in 0..1.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: prompts are drawn per object, not per batch. SAM 2 always adds noise to a box; here a share
         may be exact, as a label's own box is. The masks the rule of SAM 2 does not choose
         (candidates after a box, the single mask after a click) are trained too, with a smaller
         weight, because the stability fallback shows them at inference. Losses are taken at
         `loss_size`, not at S.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from surgjax.losses import LossWeights, mask_terms, prompted_mask_loss
from surgjax.ops.resize import resize_bilinear
from surgjax.prompts import clicks
from surgjax.structs import Array, DecoderOutput, ImageFeatures, MaskOutput, PointPrompts


@dataclasses.dataclass(frozen=True)
class PromptOptions:
    """How a step prompts and what it counts."""

    box_probability: float = 0.5  # otherwise a click
    exact_box_probability: float = 0.0  # of a box that touches the object on all four sides
    mask_probability: float = 0.0  # of a clip's object that is given by its mask instead
    corrections: int = 0  # further clicks on each prompted frame
    from_target_probability: float = 0.1  # of a correction that ignores the prediction
    other_mask_weight: float = 0.5  # of the masks that SAM 2's rule does not choose
    loss_size: int = 128  # pixels, square
    weights: LossWeights = LossWeights()
    auxiliary_weight: float = 0.0  # of the dense loss on the encoder


def initial_prompts(
    key: Array, masks: Array, slots: int, box_probability: float, exact_box_probability: float = 0.0
) -> PointPrompts:
    """A noisy or exact box or a click per row of masks [R, S, S], in the first two of `slots`."""
    kind_key, box_key, exact_key, click_key = jax.random.split(key, 4)
    rows, height, width = masks.shape
    boxes = clicks.boxes_from_masks(masks)
    exact = jax.random.bernoulli(exact_key, exact_box_probability, (rows, 1))
    boxes = jnp.where(exact, boxes, clicks.add_box_noise(box_key, boxes, height, width))
    click_xy, click_label = clicks.first_click(click_key, masks)
    is_box = jax.random.bernoulli(kind_key, box_probability, (rows,))
    points = jnp.zeros((rows, slots, 2), jnp.float32)
    labels = jnp.zeros((rows, slots), jnp.int32)
    valid = jnp.zeros((rows, slots), bool)
    points = points.at[:, 0].set(jnp.where(is_box[:, None], boxes[:, :2], click_xy))
    points = points.at[:, 1].set(boxes[:, 2:])
    labels = labels.at[:, 0].set(jnp.where(is_box, 2, click_label)).at[:, 1].set(3)
    valid = valid.at[:, 0].set(True).at[:, 1].set(is_box)
    return PointPrompts(points_xy=points, labels=labels, valid=valid)


def _add_point(prompts: PointPrompts, slot: int, point: Array, label: Array) -> PointPrompts:
    return PointPrompts(
        points_xy=prompts.points_xy.at[:, slot].set(point),
        labels=prompts.labels.at[:, slot].set(label),
        valid=prompts.valid.at[:, slot].set(True),
    )


def no_prompts(rows: int) -> PointPrompts:
    return PointPrompts(
        points_xy=jnp.zeros((rows, 1, 2), jnp.float32),
        labels=jnp.full((rows, 1), -1, jnp.int32),
        valid=jnp.zeros((rows, 1), bool),
    )


def is_multimask(prompts: PointPrompts) -> Array:
    """SAM 2's rule: candidates for no point or one click; a box counts as two points."""
    return prompts.valid.sum(-1) <= 1


def decoder_loss(
    output: DecoderOutput,
    targets: Array,
    multimask: Array,
    row_weights: Array,
    options: PromptOptions,
) -> tuple[Array, dict[str, Array]]:
    """Loss of one answer of the decoder, summed over rows. targets [R, S, S] bool."""
    size = (options.loss_size, options.loss_size)
    logits = resize_bilinear(output.mask_logits.astype(jnp.float32), size)
    small = resize_bilinear(targets.astype(jnp.float32), size, antialias=True) >= 0.5
    terms = mask_terms(logits, output.ious, small.astype(jnp.float32), options.weights)
    present = targets.any((-2, -1))
    is_single = jnp.arange(4).reshape(1, -1) == 0
    chosen = jnp.where(multimask[:, None], ~is_single, is_single)
    total, parts = prompted_mask_loss(
        terms, output.object_score, present, chosen, row_weights, options.weights
    )
    if options.other_mask_weight:
        masks_only = dataclasses.replace(options.weights, object_score=0.0)
        other, _ = prompted_mask_loss(
            terms, output.object_score, present, ~chosen, row_weights, masks_only
        )
        total = total + options.other_mask_weight * other
    return total, parts


def row_ious(low_res: Array, targets: Array, row_weights: Array) -> tuple[Array, Array]:
    """Sum and count over present rows of the IoU at full size, for the log."""
    masks = resize_bilinear(low_res.astype(jnp.float32), targets.shape[-2:]) > 0
    overlap = (masks & targets).sum((-2, -1)).astype(jnp.float32)
    union = (masks | targets).sum((-2, -1)).astype(jnp.float32)
    counted = row_weights * targets.any((-2, -1))
    return (counted * overlap / jnp.maximum(union, 1.0)).sum(), counted.sum()


@dataclasses.dataclass(frozen=True)
class PromptedFrame:
    """What a prompted frame leaves: the chosen answer, the loss so far, and figures for the log."""

    output: MaskOutput
    loss: Array
    metrics: dict[str, Array]


def prompted_frame(
    model: Any,
    variables: Any,
    key: Array,
    features: ImageFeatures,
    targets: Array,
    row_weights: Array,
    options: PromptOptions,
) -> PromptedFrame:
    """Prompts every row of an initial conditioning frame, and corrects the answer by clicks."""
    initial_key, *keys = jax.random.split(key, options.corrections + 1)
    s16 = model.apply(variables, features.s16, method="add_no_memory")
    prompts = initial_prompts(
        initial_key,
        targets,
        2 + options.corrections,
        options.box_probability,
        options.exact_box_probability,
    )
    is_box = prompts.valid[:, 1]
    grid = features.s4.shape[1]
    mask_prompt = jnp.zeros((targets.shape[0], grid, grid), jnp.float32)
    use_mask = jnp.zeros(targets.shape[0], bool)
    loss, parts, metrics, output = jnp.zeros(()), {}, {}, None
    for turn in range(options.corrections + 1):
        if output is not None:
            low_res = jax.lax.stop_gradient(output.low_res)
            mask_prompt = jnp.clip(low_res.astype(jnp.float32), -32.0, 32.0)
            use_mask = jnp.ones_like(use_mask)
            prediction = resize_bilinear(mask_prompt, targets.shape[-2:]) > 0
            point, label = clicks.sample_correction(
                keys[turn - 1], prediction, targets, options.from_target_probability
            )
            prompts = _add_point(prompts, 1 + turn, point, label)
        multimask = is_multimask(prompts)
        decoded = model.apply(
            variables, features, s16, prompts, mask_prompt, use_mask, method="decode"
        )
        term, turn_parts = decoder_loss(decoded, targets, multimask, row_weights, options)
        loss = loss + term
        parts = {k: parts.get(k, 0.0) + v for k, v in turn_parts.items()}
        output = model.apply(variables, decoded, multimask, False, method="select")
        if turn == 0:
            for name, rows in (("box", is_box), ("click", ~is_box)):
                total, count = row_ious(output.low_res, targets, row_weights * rows)
                metrics[f"{name}_iou"] = total / jnp.maximum(count, 1.0)
    assert output is not None  # there is at least one turn
    if options.corrections:
        total, count = row_ious(output.low_res, targets, row_weights)
        metrics["corrected_iou"] = total / jnp.maximum(count, 1.0)
    return PromptedFrame(output=output, loss=loss, metrics=metrics | parts)
