"""Training steps of promptable segmentation: prompted images, and clips tracked with memory.

Path:    SceneBatch -> [promptable] -> loss, metrics -> loop
Axes:    B images or clips, T frames, O objects, R = B*O rows, S side of the input, P points.
Units:   frames uint8 RGB; masks bool; frame_index counts frames of the source clip.
Errors:  ValueError, while tracing, on a batch without frames or with the wrong number of axes.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: see `prompted_frame`. Memory of a prompted frame is encoded from the binarised prediction,
         as at inference. No dropout.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD
from surgjax.ops.resize import resize_bilinear
from surgjax.structs import Array, ImageFeatures, MaskOutput, MemoryRead
from surgjax.train import auxiliary_head
from surgjax.train.steps.prompted_frame import (
    PromptOptions,
    decoder_loss,
    no_prompts,
    prompted_frame,
    row_ious,
)

CONDITIONING_TIME_INDEX = 6
POINTER_HORIZON = 16


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
    frame = prompted_frame(
        model, variables, key, _per_object(features, objects), targets, row_weights, options
    )
    count = jnp.maximum(row_weights.sum(), 1.0)
    dense, dense_metrics = _dense_loss(params, features, batch, options)
    metrics = _per_object_metrics(frame.metrics, count) | dense_metrics
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


def _per_object_metrics(metrics: dict[str, Array], count: Array) -> dict[str, Array]:
    """Loss parts become means per object; IoUs are means already."""
    return {k: v if k.endswith("_iou") else v / count for k, v in metrics.items()}


def memory_read(
    memories: list[Array], pointers: list[Array], frame_index: Array, now: int
) -> MemoryRead:
    """What frame `now` of a clip reads: frame 0 as conditioning, then the frames before `now`.

    memories: [R, N, D] and pointers: [R, d], one per earlier frame; frame_index [R, T]. Distances
    are true frame distances, so a clip with gaps trains the far rows of the temporal embedding.
    """
    rows = memories[0].shape[0]
    distance = jnp.stack([frame_index[:, now] - frame_index[:, t] for t in range(now)], -1)
    distance = jnp.abs(distance)
    recent = jnp.clip(distance - 1, 0, CONDITIONING_TIME_INDEX - 1)
    is_conditioning = jnp.arange(now).reshape(1, -1) == 0
    return MemoryRead(
        features=jnp.stack(memories, 1),
        time_index=jnp.where(is_conditioning, CONDITIONING_TIME_INDEX, recent).astype(jnp.int32),
        count=jnp.full((rows,), now, jnp.int32),
        pointers=jnp.stack(pointers, 1),
        pointer_distance=distance.astype(jnp.float32),
        pointer_valid=jnp.ones((rows, now), bool),
        pointer_span=jnp.asarray(POINTER_HORIZON - 1, jnp.float32),
    )


def clip_loss(
    model: Any, params: Any, batch: SceneBatch, key: Array, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """Loss per object of clips: frame 0 prompted, the others tracked with memory."""
    variables = {"params": params}
    clips, frames, objects, side, _ = batch.masks.shape
    if frames < 2:
        raise ValueError(f"a clip needs at least 2 frames, found {frames}.")
    pixels = normalise(batch.frames.reshape(clips * frames, side, side, 3))
    encoded = model.apply(variables, pixels, method="encode_image")
    dense, dense_metrics = _dense_loss(params, encoded, batch, options)
    encoded = jax.tree.map(lambda x: x.reshape(clips, frames, *x.shape[1:]), encoded)
    rows = clips * objects
    row_weights = batch.valid.reshape(-1).astype(jnp.float32)
    frame_index = jnp.repeat(batch.frame_index, objects, 0)
    prompts, no_mask = no_prompts(rows), jnp.zeros((rows,), bool)
    memories, pointers, metrics = [], [], {}
    loss, tracked_iou, tracked_count = jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    score_loss = jnp.zeros(())
    for t in range(frames):
        features = _per_object(jax.tree.map(lambda x, t=t: x[:, t], encoded), objects)
        targets = batch.masks[:, t].reshape(rows, side, side)
        if t == 0:
            first = prompted_frame(model, variables, key, features, targets, row_weights, options)
            output, loss, metrics = first.output, first.loss, first.metrics
            if options.mask_probability:
                mask_key = jax.random.fold_in(key, 1)
                given = jax.random.bernoulli(mask_key, options.mask_probability, (rows,))
                output = _given_masks(model, variables, features, targets, given, output)
        else:
            read = memory_read(memories, pointers, frame_index, t)
            s16 = model.apply(variables, features.s16, read, method="condition")
            mask_prompt = jnp.zeros(features.s4.shape[:3], jnp.float32)
            decoded = model.apply(
                variables, features, s16, prompts, mask_prompt, no_mask, method="decode"
            )
            multimask = jnp.ones((rows,), bool)
            term, parts = decoder_loss(decoded, targets, multimask, row_weights, options)
            loss = loss + term
            output = model.apply(variables, decoded, multimask, False, method="select")
            score_loss = score_loss + parts["object_score"]
            total, count = row_ious(output.low_res, targets, row_weights)
            tracked_iou, tracked_count = tracked_iou + total, tracked_count + count
        if t + 1 < frames:
            high_res = resize_bilinear(output.low_res.astype(jnp.float32), (side, side))
            memories.append(
                model.apply(
                    variables,
                    features.s16,
                    high_res,
                    output.object_score,
                    jnp.full((rows,), t == 0),
                    method="encode_memory",
                )
            )
            pointers.append(output.pointer)
    count = jnp.maximum(row_weights.sum(), 1.0)
    metrics = _per_object_metrics(metrics, count)
    metrics["tracked_iou"] = tracked_iou / jnp.maximum(tracked_count, 1.0)
    metrics["tracked_score"] = score_loss / (count * (frames - 1))
    total = loss / (count * frames) + options.auxiliary_weight * dense
    return total, metrics | dense_metrics
