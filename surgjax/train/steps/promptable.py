"""Training steps of promptable segmentation: prompted images, and clips tracked with memory.

Path:    ClipBatch or SceneBatch -> [promptable] -> loss, metrics -> loop
Axes:    B images or clips, T frames, O objects, R = B*O rows, S side of the input.
Units:   see `training_clips`.
Errors:  ValueError, while tracing, on a batch without frames or with the wrong number of axes.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: see `clip_visits`, `prompted_frame`, `prompt_options` and `clip_memory`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from surgjax.data.clips import ClipBatch
from surgjax.layers.rematerialisation import rematerialise
from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD
from surgjax.prompts.schedule import draw_schedule
from surgjax.prompts.simulated_prompts import initial_prompts
from surgjax.structs import Array, ImageFeatures
from surgjax.train import auxiliary_head
from surgjax.train.steps.clip_visits import all_visits, visit_all
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.prompted_frame import prompted_frame
from surgjax.train.steps.semantic_learning import semantic_loss, semantic_truth
from surgjax.train.steps.step_metrics import (
    VisitLog,
    log_of,
    prompt_metrics,
    tracked_metrics,
)
from surgjax.train.steps.training_clips import (
    SceneBatch,
    TrainingClips,
    per_object,
    training_clips,
)

__all__ = ["SceneBatch", "clip_loss", "dense_loss", "image_loss", "normalise"]

# A stream of randomness beside those of the prompts; small numbers are what `split` gives out.
_ENCODER = 1 << 20


def normalise(frames: Array) -> Array:
    """uint8 RGB to the model's input."""
    mean = jnp.array(IMAGE_MEAN, jnp.float32).reshape((1,) * (frames.ndim - 1) + (3,))
    std = jnp.array(IMAGE_STD, jnp.float32).reshape((1,) * (frames.ndim - 1) + (3,))
    return (frames.astype(jnp.float32) / 255.0 - mean) / std


def encode(model: Any, variables: Any, frames_u8: Array, key: Array) -> ImageFeatures:
    """Features of frames [N, S, S, 3]; blocks are dropped at the model's `drop_path_rate`."""
    pixels = normalise(frames_u8)
    if not model.config.drop_path_rate:
        return model.apply(variables, pixels, method="encode_image")
    rngs = {"dropout": jax.random.fold_in(key, _ENCODER)}
    return model.apply(variables, pixels, True, method="encode_image", rngs=rngs)


def image_loss(
    model: Any,
    params: Any,
    batch: ClipBatch | SceneBatch,
    key: Array,
    options: PromptOptions,
    text: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Loss per object of prompted single images: only frame 0 of the batch is used.

    text [K, 512]: unit vectors of a bank, for `semantic_weight`.
    """
    variables, clips = {"params": params}, training_clips(batch).first(1)
    asked = semantic_truth(model, clips, text, options)
    features = encode(model, variables, clips.frames_u8[:, 0], key)
    truth = jax.tree.map(lambda x: x[0], clips.truths())
    schedule_key, prompt_key, click_key = jax.random.split(key, 3)
    plan = draw_schedule(schedule_key, 1, len(truth.weights), options.schedule())
    is_box, corrected = plan.is_box[0], plan.corrected[0] if options.corrections else None
    prompts = initial_prompts(
        prompt_key, truth.masks, options.slots, is_box, options.exact_box_probability, truth.known
    )

    def answer(features: ImageFeatures) -> VisitLog:
        rows = per_object(features, clips.objects)
        s16 = model.apply(variables, rows.s16, method="add_no_memory")
        frame = prompted_frame(
            model, variables, click_key, rows, s16, truth, prompts, corrected, options
        )
        terms = None if asked is None else asked.terms(model, variables, frame.output, truth)
        return log_of(frame, truth).replace(semantic=terms)

    log = rematerialise(answer, options.remat)(features)
    count = jnp.maximum(truth.weights.sum(), 1.0)
    dense, dense_metrics = _dense_loss(params, features, clips, options)
    semantic, semantic_metrics = semantic_loss(log.semantic, options)
    metrics = prompt_metrics(log, is_box, corrected, count) | dense_metrics | semantic_metrics
    return log.loss / count + options.auxiliary_weight * dense + semantic, metrics


def _dense_loss(
    params: Any, features: ImageFeatures, clips: TrainingClips, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    if not options.auxiliary_weight:
        return jnp.zeros(()), {}
    if clips.classes is None:
        raise ValueError("auxiliary_weight needs a batch with classes.")
    classes = jnp.asarray(clips.classes).reshape(-1, *clips.classes.shape[-2:])
    loss = auxiliary_head.loss(params[auxiliary_head.NAME], features, classes)
    return loss, {"dense": loss}


def dense_loss(
    model: Any, params: Any, batch: SceneBatch, key: Array, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """The encoder alone, on the classes of single images."""
    clips = training_clips(batch).first(1)
    features = encode(model, {"params": params}, clips.frames_u8[:, 0], key)
    loss, metrics = _dense_loss(params, features, clips, options)
    return options.auxiliary_weight * loss, metrics


def clip_loss(
    model: Any,
    params: Any,
    batch: ClipBatch | SceneBatch,
    key: Array,
    options: PromptOptions,
    text: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Loss per object of clips: some frames prompted, the others tracked with memory.

    It is the mean over the annotated frames, or their sum (`options.sum_frames`). text [K, 512]:
    unit vectors of a bank, for `semantic_weight`, whose loss is a mean over visible instruments.
    """
    variables, clips = {"params": params}, training_clips(batch)
    asked = semantic_truth(model, clips, text, options)
    count, frames, objects, side, _ = clips.masks.shape
    if frames < 2:
        raise ValueError(f"a clip needs at least 2 frames, found {frames}.")
    schedule_key, visit_key = jax.random.split(key)
    plan = draw_schedule(schedule_key, frames, count * objects, options.schedule(), clips.annotated)
    # Where the first frame alone is prompted, frames stay in time, and nothing is gathered.
    order = plan.order if options.conditioning_frames > 1 else None
    clips = clips.visited(order)
    pixels = clips.frames_u8.reshape(count * frames, side, side, 3)
    features = encode(model, variables, pixels, key)
    dense, dense_metrics = _dense_loss(params, features, clips, options)
    features = jax.tree.map(lambda x: x.reshape(count, frames, *x.shape[1:]), features)
    visits = all_visits(clips, features, plan, order)
    logs = visit_all(model, variables, visit_key, visits, objects, options, asked)
    weights = visits.truth.weights
    rows = jnp.maximum(clips.row_weights.sum(), 1.0)
    first = jax.tree.map(lambda x: x[0], (logs, visits.is_box, visits.corrected))
    metrics = prompt_metrics(first[0], first[1], first[2] if options.corrections else None, rows)
    metrics |= tracked_metrics(logs, weights, ~visits.is_conditioning) | dense_metrics
    semantic, semantic_metrics = semantic_loss(logs.semantic, options)
    loss = logs.loss.sum() / (rows if options.sum_frames else jnp.maximum(weights.sum(), 1.0))
    return loss + options.auxiliary_weight * dense + semantic, metrics | semantic_metrics
