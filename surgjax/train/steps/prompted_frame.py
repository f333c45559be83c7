"""One frame of a training step: the answer to its prompts, corrections of it, the loss of both.

Path:    features, prompts, true masks -> [prompted_frame] -> loss, answer -> steps.promptable
Axes:    R rows (one object of one image), S side of the input, P points.
Units:   points in pixels of the input, x before y; masks bool; IoU in 0..1.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: see `prompts.schedule` and `prompts.simulated_prompts` for how prompts are drawn. By
         default, and unlike SAM 2: the masks its rule does not choose (candidates after a box, the
         single mask after a click) are trained too, with a smaller weight, because the stability
         fallback shows them at inference; no gradient flows through the mask that a correction
         starts from; losses are taken at `loss_size`, not at S. `prompt_options` has a switch for
         each. Pixels whose truth is unknown take no part in a loss and are never clicked; whether
         the object is there is read off the known ones.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from surgjax.layers.rematerialisation import rematerialise
from surgjax.losses import mask_terms, prompted_mask_loss
from surgjax.models.sam2 import NO_OBJECT_LOGIT
from surgjax.ops.resize import resize_bilinear
from surgjax.prompts import clicks
from surgjax.prompts.simulated_prompts import CORRECTIONS_START, add_click, is_multimask
from surgjax.structs import Array, DecoderOutput, ImageFeatures, MaskOutput, PointPrompts
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.training_clips import FrameTruth

CERTAIN = 1e4  # a logit whose sigmoid and cross-entropy are exactly 0 or 1 and 0


def loss_targets(truth: FrameTruth, size: int) -> tuple[Array, Array | None]:
    """Masks and known pixels [R, size, size] bool: by majority of the known part of each cell."""
    share = resize_bilinear(truth.masks.astype(jnp.float32), (size, size), antialias=True)
    if truth.known is None:
        return share >= 0.5, None
    known = resize_bilinear(truth.known.astype(jnp.float32), (size, size), antialias=True)
    # Shares are sums of a few products; the margin keeps a cell of one half what it is without
    # unknown pixels, whatever 1 comes out as.
    return (share >= 0.5 * known - 1e-5) & (share > 0), known >= 0.5


def decoder_loss(
    output: DecoderOutput, truth: FrameTruth, multimask: Array, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """Loss of one answer of the decoder, summed over rows by their weights."""
    size = options.loss_size
    logits = output.mask_logits.astype(jnp.float32)
    if options.blank_absent:
        seen = (output.object_score > 0)[:, None, None, None]
        logits = jnp.where(seen, logits, NO_OBJECT_LOGIT)
    logits = resize_bilinear(logits, (size, size))
    small, known = loss_targets(truth, size)
    if known is not None:
        # Agreed upon, an unknown pixel adds nothing to any of the three sums of a mask.
        small, logits = small & known, jnp.where(known[:, None], logits, -CERTAIN)
    terms = mask_terms(logits, output.ious, small.astype(jnp.float32), options.weights, known)
    if known is not None:  # and then the mean over pixels is one over the known ones
        counted = jnp.maximum(known.sum((-2, -1)), 1).astype(jnp.float32)
        terms = dataclasses.replace(terms, focal=terms.focal * (size * size / counted)[:, None])
    present = truth.masks.any((-2, -1))
    is_single = jnp.arange(4).reshape(1, -1) == 0
    chosen = jnp.where(multimask[:, None], ~is_single, is_single)
    total, parts = prompted_mask_loss(
        terms, output.object_score, present, chosen, truth.weights, options.weights
    )
    if options.other_mask_weight:
        masks_only = dataclasses.replace(options.weights, object_score=0.0)
        other, _ = prompted_mask_loss(
            terms, output.object_score, present, ~chosen, truth.weights, masks_only
        )
        total = total + options.other_mask_weight * other
    return total, parts


def row_ious(low_res: Array, truth: FrameTruth) -> tuple[Array, Array]:
    """IoU at full size [R] for the log, and the weight [R] of the row: 0 where it is absent."""
    masks = resize_bilinear(low_res.astype(jnp.float32), truth.masks.shape[-2:]) > 0
    if truth.known is not None:
        masks = masks & truth.known
    overlap = (masks & truth.masks).sum((-2, -1)).astype(jnp.float32)
    union = (masks | truth.masks).sum((-2, -1)).astype(jnp.float32)
    return overlap / jnp.maximum(union, 1.0), truth.weights * truth.masks.any((-2, -1))


@dataclasses.dataclass(frozen=True)
class PromptedFrame:
    """What a frame leaves: its answers, and the loss with its parts, summed over rows and turns."""

    first: MaskOutput  # before any correction
    output: MaskOutput
    loss: Array
    first_parts: dict[str, Array]
    parts: dict[str, Array]


Answer = tuple[MaskOutput, Array, dict[str, Array]]  # with its loss and the parts of it


def choose_rows(rows: Array, yes: Any, no: Any) -> Any:
    """Leaves of `yes` where rows [R], of `no` elsewhere."""
    return jax.tree.map(
        lambda a, b: jnp.where(rows.reshape(-1, *(1,) * (b.ndim - 1)), a, b), yes, no
    )


def prompted_frame(
    model: Any,
    variables: Any,
    key: Array,
    features: ImageFeatures,
    s16: Array,
    truth: FrameTruth,
    prompts: PointPrompts,
    corrected: Array | None,
    options: PromptOptions,
    uncounted: Array | None = None,
) -> PromptedFrame:
    """Answers a frame's prompts, and corrects the rows `corrected` [R] (None: no row) by clicks.

    s16 are the features with or without memory; the corrections read the same ones. A batch
    without a row to correct skips that work while it runs. The answers of rows `uncounted` [R] have
    no loss.
    """

    def decode(prompts, mask_prompt, use_mask, truth) -> Answer:
        multimask = is_multimask(prompts)
        decoded = model.apply(
            variables, features, s16, prompts, mask_prompt, use_mask, method="decode"
        )
        loss, parts = decoder_loss(decoded, truth, multimask, options)
        output = model.apply(variables, decoded, multimask, False, method="select")
        return output, loss, parts

    if uncounted is not None:
        truth = truth.with_weights(truth.weights * ~uncounted)
    grid = features.s4.shape[1]
    rows = truth.masks.shape[0]
    no_mask = jnp.zeros((rows, grid, grid), jnp.float32)
    first, loss, parts = decode(prompts, no_mask, jnp.zeros(rows, bool), truth)
    if corrected is None or not options.corrections:
        return PromptedFrame(first, first, loss, parts, parts)

    def correct() -> Answer:
        counted = truth.with_weights(truth.weights * corrected)
        last, more, more_parts = _correct(decode, key, counted, prompts, first, options)
        return choose_rows(corrected, last, first), more, more_parts

    def leave() -> Answer:
        return first, jnp.zeros_like(loss), jax.tree.map(jnp.zeros_like, parts)

    output, more, more_parts = jax.lax.cond(corrected.any(), correct, leave)
    total = {name: value + more_parts[name] for name, value in parts.items()}
    return PromptedFrame(first, output, loss + more, parts, total)


def _correct(
    decode: Callable[..., Answer],
    key: Array,
    truth: FrameTruth,
    prompts: PointPrompts,
    first: MaskOutput,
    options: PromptOptions,
) -> Answer:
    """Click after click on the error that is left: the last answer, the loss of all of them."""
    use_mask = jnp.ones(truth.masks.shape[0], bool)

    def turn(carry: tuple[MaskOutput, PointPrompts], x: tuple[Array, Array]):
        (output, prompts), (number, turn_key) = carry, x
        limit = options.mask_prompt_limit
        mask_prompt = jnp.clip(output.low_res.astype(jnp.float32), -limit, limit)
        if not options.mask_prompt_gradient:
            mask_prompt = jax.lax.stop_gradient(mask_prompt)
        prediction = resize_bilinear(mask_prompt, truth.masks.shape[-2:]) > 0
        points_xy, labels = _click(turn_key, prediction, truth, options)
        prompts = add_click(prompts, CORRECTIONS_START + number, points_xy, labels)
        output, loss, parts = decode(prompts, mask_prompt, use_mask, truth)
        return (output, prompts), (loss, parts)

    keys = jax.random.split(key, options.corrections)
    turns = (jnp.arange(options.corrections), keys)
    body = rematerialise(turn, options.remat, in_scan=True)
    (output, _), (losses, parts) = jax.lax.scan(body, (first, prompts), turns)
    return output, losses.sum(), jax.tree.map(lambda values: values.sum(), parts)


def _click(
    key: Array, prediction: Array, truth: FrameTruth, options: PromptOptions
) -> tuple[Array, Array]:
    if options.correction_sampling == "center":
        return clicks.center_correction(prediction, truth.masks, truth.known)
    return clicks.sample_correction(
        key, prediction, truth.masks, options.from_target_probability, truth.known
    )
