"""One frame of a training step: the answer to its prompts, corrections of it, the loss of both.

Path:    features, prompts, true masks -> [prompted_frame] -> loss, answer -> steps.promptable
Axes:    R rows (one object of one image), O objects, S side of the input, P points.
Units:   points in pixels of the input, x before y; masks bool; IoU in 0..1.
Errors:  ValueError on a sampling of corrections that is not known.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: see `prompts.schedule` and `prompts.simulated_prompts` for how prompts are drawn. The masks
         the rule of SAM 2 does not choose (candidates after a box, the single mask after a click)
         are trained too, with a smaller weight, because the stability fallback shows them at
         inference. No gradient flows through the mask that a correction starts from. Losses are
         taken at `loss_size`, not at S.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from surgjax.losses import LossWeights, mask_terms, prompted_mask_loss
from surgjax.ops.resize import resize_bilinear
from surgjax.prompts import clicks
from surgjax.prompts.schedule import ScheduleOptions
from surgjax.prompts.simulated_prompts import CORRECTIONS_START, add_click, is_multimask
from surgjax.structs import Array, DecoderOutput, ImageFeatures, MaskOutput, PointPrompts

SAMPLINGS = ("uniform", "center")


@dataclasses.dataclass(frozen=True)
class PromptOptions:
    """How a step prompts and what it counts."""

    box_probability: float = 0.5  # otherwise a click
    exact_box_probability: float = 0.0  # of a box that touches the object on all four sides
    mask_probability: float = 0.0  # of a clip's object that is given by its mask instead
    conditioning_frames: int = 1  # of a clip, at most
    corrected_frames: int = 1  # of a clip, at most
    corrections: int = 0  # further clicks on each corrected frame
    correction_sampling: str = "uniform"  # over the error region, or at its "center"
    from_target_probability: float = 0.1  # of a uniform correction that ignores the prediction
    other_mask_weight: float = 0.5  # of the masks that SAM 2's rule does not choose
    loss_size: int = 128  # pixels, square
    weights: LossWeights = LossWeights()
    auxiliary_weight: float = 0.0  # of the dense loss on the encoder

    def __post_init__(self):
        if self.correction_sampling not in SAMPLINGS:
            raise ValueError(
                f"correction_sampling: one of {SAMPLINGS} expected, "
                f"found {self.correction_sampling!r}."
            )
        self.schedule()  # which checks its own values

    @property
    def slots(self) -> int:
        """Slots of a row's prompts: a box, and the corrections."""
        return CORRECTIONS_START + self.corrections

    def schedule(self) -> ScheduleOptions:
        return ScheduleOptions(
            conditioning_frames=self.conditioning_frames,
            corrected_frames=self.corrected_frames,
            mask_probability=self.mask_probability,
            box_probability=self.box_probability,
        )


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
    """What a frame leaves: its answers, and the loss with its parts, summed over rows and turns."""

    first: MaskOutput  # before any correction
    output: MaskOutput
    loss: Array
    first_parts: dict[str, Array]
    parts: dict[str, Array]


Answer = tuple[MaskOutput, Array, dict[str, Array]]  # with its loss and the parts of it


def prompted_frame(
    model: Any,
    variables: Any,
    key: Array,
    features: ImageFeatures,
    s16: Array,
    targets: Array,
    row_weights: Array,
    prompts: PointPrompts,
    corrected: Array | None,
    options: PromptOptions,
) -> PromptedFrame:
    """Answers a frame's prompts, and corrects the rows `corrected` [R] (None: no row) by clicks.

    s16 are the features with or without memory; the corrections read the same ones. A batch
    without a row to correct skips that work while it runs.
    """

    def decode(prompts, mask_prompt, use_mask, weights) -> Answer:
        multimask = is_multimask(prompts)
        decoded = model.apply(
            variables, features, s16, prompts, mask_prompt, use_mask, method="decode"
        )
        loss, parts = decoder_loss(decoded, targets, multimask, weights, options)
        output = model.apply(variables, decoded, multimask, False, method="select")
        return output, loss, parts

    grid = features.s4.shape[1]
    rows = targets.shape[0]
    no_mask = jnp.zeros((rows, grid, grid), jnp.float32)
    first, loss, parts = decode(prompts, no_mask, jnp.zeros(rows, bool), row_weights)
    if corrected is None or not options.corrections:
        return PromptedFrame(first, first, loss, parts, parts)

    def correct() -> Answer:
        weights = row_weights * corrected
        last, more, more_parts = _correct(decode, key, targets, prompts, first, weights, options)
        kept = jax.tree.map(
            lambda new, old: jnp.where(corrected.reshape(-1, *(1,) * (new.ndim - 1)), new, old),
            last,
            first,
        )
        return kept, more, more_parts

    def leave() -> Answer:
        return first, jnp.zeros_like(loss), jax.tree.map(jnp.zeros_like, parts)

    output, more, more_parts = jax.lax.cond(corrected.any(), correct, leave)
    total = {name: value + more_parts[name] for name, value in parts.items()}
    return PromptedFrame(first, output, loss + more, parts, total)


def _correct(
    decode: Callable[..., Answer],
    key: Array,
    targets: Array,
    prompts: PointPrompts,
    output: MaskOutput,
    weights: Array,
    options: PromptOptions,
) -> Answer:
    """Click after click on the error that is left: the last answer, the loss of all of them."""
    loss, parts = jnp.zeros(()), {}
    use_mask = jnp.ones(targets.shape[0], bool)
    for turn, turn_key in enumerate(jax.random.split(key, options.corrections)):
        low_res = jax.lax.stop_gradient(output.low_res)
        mask_prompt = jnp.clip(low_res.astype(jnp.float32), -32.0, 32.0)
        prediction = resize_bilinear(mask_prompt, targets.shape[-2:]) > 0
        if options.correction_sampling == "center":
            points_xy, labels = clicks.center_correction(prediction, targets)
        else:
            points_xy, labels = clicks.sample_correction(
                turn_key, prediction, targets, options.from_target_probability
            )
        prompts = add_click(prompts, CORRECTIONS_START + turn, points_xy, labels)
        output, term, turn_parts = decode(prompts, mask_prompt, use_mask, weights)
        loss = loss + term
        parts = {name: parts.get(name, 0.0) + value for name, value in turn_parts.items()}
    return output, loss, parts


def prompt_metrics(
    frame: PromptedFrame,
    targets: Array,
    row_weights: Array,
    is_box: Array,
    corrected: Array | None,
) -> dict[str, Array]:
    """Mean IoUs of a prompted frame for the log: after a box, after a click, after corrections."""
    metrics = {}
    for name, rows in (("box", is_box), ("click", ~is_box)):
        total, count = row_ious(frame.first.low_res, targets, row_weights * rows)
        metrics[f"{name}_iou"] = total / jnp.maximum(count, 1.0)
    if corrected is not None:
        total, count = row_ious(frame.output.low_res, targets, row_weights * corrected)
        metrics["corrected_iou"] = total / jnp.maximum(count, 1.0)
    return metrics
