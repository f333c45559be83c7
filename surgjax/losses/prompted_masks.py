"""SAM 2's training loss for prompted masks: which candidate counts, and how terms are weighted.

Path:    mask_decoder -> mask_losses -> [prompted_masks] -> train step
Axes:    R rows (one object in one frame), K candidate masks of the decoder, H W pixels.
Units:   mask_logits before the sigmoid; row_weights 1 for a row that counts, 0 for padding.
Errors:  ValueError, while tracing, on shapes that do not fit.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/loss_fns.py.
Differs: the reference computes the loss on masks it has already blanked where the object score is
         negative. Here masks are taken as they are given: raw ones do not lose their gradient to a
         wrong score, and whether to blank them is an option of the train step. The reference
         divides by the number of objects first and sums then; here the caller divides.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.losses.mask_losses import dice_loss, focal_loss, iou_loss, object_score_loss
from surgjax.losses.soft_labels import ArlOptions, soft_focal_loss, soften
from surgjax.typing import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the four terms, and their shape; the defaults are SAM 2's.

    focal_alpha -1 and focal_gamma 0 turn the focal term into plain cross-entropy; so they are for
    the object score. all_ious: the IoU term is the mean over all candidates, not that of the one
    chosen by focal and dice. arl: soft labels for the focal term, or a mapping of its options.
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0
    focal_alpha: float = 0.25
    focal_gamma: int = 2
    all_ious: bool = True
    squared_iou: bool = False
    object_score_alpha: float = -1.0
    object_score_gamma: int = 0
    arl: ArlOptions = ArlOptions()

    def __post_init__(self):
        if not isinstance(self.arl, ArlOptions):
            object.__setattr__(self, "arl", ArlOptions(**self.arl))


@flax.struct.dataclass
class MaskTerms:
    """Unweighted terms of every candidate mask of every row."""

    focal: Float[Array, "R K"]
    dice: Float[Array, "R K"]
    iou: Float[Array, "R K"]


def mask_terms(
    mask_logits: Float[Array, "R K H W"],
    predicted_ious: Float[Array, "R K"],
    targets: Float[Array, "R H W"],
    weights: LossWeights,
    known: Bool[Array, "R H W"] | None = None,
) -> MaskTerms:
    """Focal, dice and IoU terms of all candidates against one target per row.

    known: pixels that soft labels may be made of, by default all. Dice and IoU take hard ones.
    """
    if mask_logits.shape[0] != targets.shape[0] or predicted_ious.shape != mask_logits.shape[:2]:
        raise ValueError(
            f"mask_logits {mask_logits.shape}, predicted_ious {predicted_ious.shape} and targets "
            f"{targets.shape} must agree in their rows (and the first two in their candidates)."
        )
    focal, hard = (weights.focal_alpha, weights.focal_gamma), targets
    targets = targets[:, None]
    if weights.arl.sigma:
        labels = soften(hard, weights.arl.pixels(hard.shape[-1]), known)[:, None]
        focal_term = soft_focal_loss(mask_logits, labels, *focal, weights.arl.form)
    else:
        focal_term = focal_loss(mask_logits, targets, *focal)
    return MaskTerms(
        focal=focal_term,
        dice=dice_loss(mask_logits, targets),
        iou=iou_loss(predicted_ious, mask_logits, targets, weights.squared_iou),
    )


def prompted_mask_loss(
    terms: MaskTerms,
    object_scores: Float[Array, " R"],
    is_present: Bool[Array, " R"],
    is_candidate: Bool[Array, "R K"],
    row_weights: Float[Array, " R"],
    weights: LossWeights,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Weighted sum over rows (not yet divided by the number of objects) and its four parts.

    Per row, the candidate with the least weighted focal + dice is the only one these two terms see;
    the IoU term is the mean over all candidates (or with `all_ious` off that one's). All three
    vanish where the object is absent, the object score does not.
    """
    if is_candidate.shape != terms.focal.shape:
        raise ValueError(f"is_candidate {is_candidate.shape} does not fit {terms.focal.shape}.")
    ranking = weights.focal * terms.focal + weights.dice * terms.dice
    best = jnp.argmin(jnp.where(is_candidate, jax.lax.stop_gradient(ranking), jnp.inf), -1)
    chosen = jax.nn.one_hot(best, ranking.shape[-1], dtype=jnp.float32)
    counted = is_candidate.astype(jnp.float32) if weights.all_ious else chosen
    mean_iou = (terms.iou * counted).sum(-1) / jnp.maximum(counted.sum(-1), 1.0)
    seen = row_weights * is_present.astype(jnp.float32)
    scored = object_score_loss(
        object_scores, is_present, weights.object_score_alpha, weights.object_score_gamma
    )
    parts = {
        "focal": (seen * (terms.focal * chosen).sum(-1)).sum(),
        "dice": (seen * (terms.dice * chosen).sum(-1)).sum(),
        "iou": (seen * mean_iou).sum(),
        "object_score": (row_weights * scored).sum(),
    }
    total = (
        weights.focal * parts["focal"]
        + weights.dice * parts["dice"]
        + weights.iou * parts["iou"]
        + weights.object_score * parts["object_score"]
    )
    return total, parts
