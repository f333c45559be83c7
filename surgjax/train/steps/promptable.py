"""Training steps of promptable segmentation: prompted images, and clips tracked with memory.

Path:    SceneBatch -> [promptable] -> loss, metrics -> loop
Axes:    B images or clips, T frames, O objects, R = B*O rows, S side of the input, P points.
Units:   frames uint8 RGB; masks bool; frame_index counts frames of the source clip.
Errors:  ValueError, while tracing, on a batch without frames or with the wrong number of axes.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: see `prompted_frame` and `clip_memory`. Memory of a prompted frame is encoded from the
         binarised prediction, as at inference. An object that is given by its mask also answers a
         click or a box on that frame, so that no row is without a gradient. No dropout.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD
from surgjax.prompts.schedule import PromptSchedule, draw_schedule
from surgjax.prompts.simulated_prompts import initial_prompts, no_prompts
from surgjax.structs import Array, ImageFeatures, MaskOutput
from surgjax.train import auxiliary_head
from surgjax.train.steps.clip_memory import ClipMemory
from surgjax.train.steps.prompted_frame import (
    PromptedFrame,
    PromptOptions,
    prompt_metrics,
    prompted_frame,
    row_ious,
)


@flax.struct.dataclass
class SceneBatch:
    """Frames with object masks; an object that only fills a slot is not valid."""

    frames: Array  # [B, T, S, S, 3] uint8
    masks: Array  # [B, T, O, S, S] bool
    valid: Array  # [B, O] bool
    frame_index: Array  # [B, T] int32, ascending in the direction of travel
    classes: Array | None = None  # [B, T, S, S] uint8, see `train.auxiliary_head`


def normalise(frames: Array) -> Array:
    """uint8 RGB to the model's input."""
    mean = jnp.array(IMAGE_MEAN, jnp.float32).reshape((1,) * (frames.ndim - 1) + (3,))
    std = jnp.array(IMAGE_STD, jnp.float32).reshape((1,) * (frames.ndim - 1) + (3,))
    return (frames.astype(jnp.float32) / 255.0 - mean) / std


def _per_object(features: ImageFeatures, objects: int) -> ImageFeatures:
    """[B, ...] to [B*O, ...]: every object of an image sees that image."""
    return jax.tree.map(lambda x: jnp.repeat(x, objects, 0), features)


def _given_masks(
    model: Any,
    variables: Any,
    features: ImageFeatures,
    targets: Array,
    given: Array,
    answer: MaskOutput,
) -> MaskOutput:
    """The answer, but for rows that are `given` [R] the true mask with its pointer.

    It is what a mask prompt leaves at inference. Memory attention learns from these rows before
    the decoder's own masks are good, and masks that annotators draw are not a surprise later.
    """
    prompted = model.apply(
        variables,
        features,
        features.s16,
        targets,
        no_prompts(targets.shape[0]),
        method="mask_as_output",
    )
    return jax.tree.map(
        lambda true, own: jnp.where(given.reshape(-1, *(1,) * (own.ndim - 1)), true, own),
        prompted,
        answer,
    )


def image_loss(
    model: Any, params: Any, batch: SceneBatch, key: Array, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """Loss per object of prompted single images: only frame 0 of the batch is used."""
    if batch.masks.ndim != 5:
        raise ValueError(f"masks must be [B, T, O, S, S], found {batch.masks.shape}.")
    variables = {"params": params}
    objects = batch.masks.shape[2]
    features = model.apply(variables, normalise(batch.frames[:, 0]), method="encode_image")
    targets = batch.masks[:, 0].reshape(-1, *batch.masks.shape[-2:])
    row_weights = batch.valid.reshape(-1).astype(jnp.float32)
    schedule_key, prompt_key, click_key = jax.random.split(key, 3)
    plan = draw_schedule(schedule_key, 1, targets.shape[0], options.schedule())
    is_box, corrected = plan.is_box[0], plan.corrected[0] if options.corrections else None
    prompts = initial_prompts(
        prompt_key, targets, options.slots, is_box, options.exact_box_probability
    )
    rows = _per_object(features, objects)
    s16 = model.apply(variables, rows.s16, method="add_no_memory")
    frame = prompted_frame(
        model, variables, click_key, rows, s16, targets, row_weights, prompts, corrected, options
    )
    count = jnp.maximum(row_weights.sum(), 1.0)
    dense, dense_metrics = _dense_loss(params, features, batch, options)
    metrics = {name: value / count for name, value in frame.parts.items()}
    metrics |= prompt_metrics(frame, targets, row_weights, is_box, corrected) | dense_metrics
    return frame.loss / count + options.auxiliary_weight * dense, metrics


def _dense_loss(
    params: Any, features: ImageFeatures, batch: SceneBatch, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    if not options.auxiliary_weight:
        return jnp.zeros(()), {}
    if batch.classes is None:
        raise ValueError("auxiliary_weight needs a batch with classes.")
    classes = jnp.asarray(batch.classes).reshape(-1, *batch.classes.shape[-2:])
    loss = auxiliary_head.loss(params[auxiliary_head.NAME], features, classes)
    return loss, {"dense": loss}


def dense_loss(
    model: Any, params: Any, batch: SceneBatch, key: Array, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """The encoder alone, on the classes of single images."""
    del key
    frames = normalise(batch.frames[:, 0])
    features = model.apply({"params": params}, frames, method="encode_image")
    loss, metrics = _dense_loss(params, features, batch, options)
    return options.auxiliary_weight * loss, metrics


def _visit(
    model: Any,
    variables: Any,
    key: Array,
    features: ImageFeatures,
    targets: Array,
    row_weights: Array,
    memory: ClipMemory,
    plan: PromptSchedule,
    t: Any,
    options: PromptOptions,
) -> PromptedFrame:
    """The answer on frame t (a number, maybe traced) of a clip, the next one to be visited.

    Which visits can be to a conditioning or a corrected frame is known while tracing, so that a
    clip whose first frame alone is prompted costs no more than that.
    """
    visit = len(memory.memories)
    prompt_key, click_key = jax.random.split(jax.random.fold_in(key, visit))
    may_condition = visit < options.conditioning_frames
    may_correct = options.corrections > 0 and (visit == 0 or options.corrected_frames > 1)
    s16 = model.apply(variables, features.s16, method="add_no_memory")
    if visit:
        recalled = model.apply(variables, features.s16, memory.read(), method="condition")
        s16 = jnp.where(plan.conditioning[t], s16, recalled) if may_condition else recalled
    if may_condition:
        prompts = initial_prompts(
            prompt_key, targets, options.slots, plan.is_box[t], options.exact_box_probability
        )
        prompts = prompts.replace(valid=prompts.valid & plan.conditioning[t])
    else:
        prompts = no_prompts(targets.shape[0], options.slots if may_correct else 1)
    corrected = plan.corrected[t] if may_correct else None
    return prompted_frame(
        model,
        variables,
        click_key,
        features,
        s16,
        targets,
        row_weights,
        prompts,
        corrected,
        options,
    )


def clip_loss(
    model: Any, params: Any, batch: SceneBatch, key: Array, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """Loss per object of clips: some frames prompted, the others tracked with memory."""
    variables = {"params": params}
    clips, frames, objects, side, _ = batch.masks.shape
    if frames < 2:
        raise ValueError(f"a clip needs at least 2 frames, found {frames}.")
    rows = clips * objects
    schedule_key, visit_key = jax.random.split(key)
    plan = draw_schedule(schedule_key, frames, rows, options.schedule())
    # Plain numbers where the first frame alone is prompted: nothing is gathered then.
    order = plan.order if options.conditioning_frames > 1 else np.arange(frames)
    pixels = normalise(batch.frames.reshape(clips * frames, side, side, 3))
    encoded = model.apply(variables, pixels, method="encode_image")
    dense, dense_metrics = _dense_loss(params, encoded, batch, options)
    encoded = jax.tree.map(lambda x: x.reshape(clips, frames, *x.shape[1:]), encoded)
    masks, row_weights = jnp.asarray(batch.masks), batch.valid.reshape(-1).astype(jnp.float32)
    memory = ClipMemory(jnp.repeat(jnp.asarray(batch.frame_index)[:, order], objects, 0))
    metrics, loss, score_loss = {}, jnp.zeros(()), jnp.zeros(())
    tracked_iou, tracked_count = jnp.zeros(()), jnp.zeros(())
    count = jnp.maximum(row_weights.sum(), 1.0)
    for visit in range(frames):
        t = order[visit]
        features = _per_object(jax.tree.map(lambda x, t=t: x[:, t], encoded), objects)
        targets = masks[:, t].reshape(rows, side, side)
        frame = _visit(
            model, variables, visit_key, features, targets, row_weights, memory, plan, t, options
        )
        loss, output = loss + frame.loss, frame.output
        corrected = plan.corrected[t] & (options.corrections > 0)
        if visit == 0:
            metrics = {name: value / count for name, value in frame.parts.items()}
            shown = corrected if options.corrections else None
            metrics |= prompt_metrics(frame, targets, row_weights, plan.is_box[t], shown)
        else:
            is_tracked = ~plan.conditioning[t]
            score_loss += frame.first_parts["object_score"] * is_tracked
            total, shown = row_ious(frame.first.low_res, targets, row_weights * is_tracked)
            tracked_iou, tracked_count = tracked_iou + total, tracked_count + shown
        if options.mask_probability and visit < options.conditioning_frames:
            given = plan.by_mask & plan.conditioning[t]
            output = _given_masks(model, variables, features, targets, given, output)
        if visit + 1 < frames:
            memory.write(model, variables, features, output, plan.conditioning[t] | corrected, side)
    tracked_frames = jnp.maximum(frames - plan.conditioning.sum(), 1)
    metrics["tracked_iou"] = tracked_iou / jnp.maximum(tracked_count, 1.0)
    metrics["tracked_score"] = score_loss / (count * tracked_frames)
    total = loss / (count * frames) + options.auxiliary_weight * dense
    return total, metrics | dense_metrics
