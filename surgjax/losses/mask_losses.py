"""The four elementary losses of SAM 2: focal, dice, IoU and object score.

Path:    mask_decoder -> [mask_losses] -> prompted_masks -> train step
Axes:    *B any leading axes (objects, candidate masks), H W pixels. One value per leading index.
Units:   mask_logits and object_scores before the sigmoid; targets in {0, 1}.
Errors:  ValueError, while tracing, if logits and targets cannot be broadcast over their pixels.
Source:  SAM 2, arXiv:2408.00714, appendix on training; focal loss arXiv:1708.02002; dice
         arXiv:1606.04797.
Differs: none; weighting and the choice among candidate masks live in `prompted_masks`.
"""

import jax
import jax.numpy as jnp

from surgjax.typing import Array, Float


def _check_pixels(mask_logits: Array, targets: Array) -> None:
    if mask_logits.shape[-2:] != targets.shape[-2:]:  # a size-1 axis would broadcast silently
        raise ValueError(
            f"mask_logits {mask_logits.shape}, targets {targets.shape}: differ in height or width."
        )


def sigmoid_cross_entropy(logits: Float[Array, "*B"], targets: Float[Array, "*B"]) -> Array:
    """Elementwise binary cross-entropy of logits, without overflow for large ones."""
    return jnp.maximum(logits, 0.0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def focal_terms(
    logits: Float[Array, "*B"], targets: Float[Array, "*B"], alpha: float, gamma: int
) -> Array:
    """Elementwise alpha_t (1 - p_t)^gamma BCE; a negative alpha switches alpha_t off."""
    loss = sigmoid_cross_entropy(logits, targets)
    if gamma:
        probs = jax.nn.sigmoid(logits)
        wrong = probs + targets - 2.0 * probs * targets  # 1 - p_t
        loss = loss * wrong**gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1.0 - alpha) * (1.0 - targets))
    return loss


def focal_loss(
    mask_logits: Float[Array, "*B H W"],
    targets: Float[Array, "*B H W"],
    alpha: float = 0.25,
    gamma: int = 2,  # an integer power is products, a float one a log and an exp per pixel
) -> Float[Array, "*B"]:
    """Mean over pixels of alpha_t (1 - p_t)^gamma BCE; a negative alpha switches alpha_t off."""
    _check_pixels(mask_logits, targets)
    logits, targets = mask_logits.astype(jnp.float32), targets.astype(jnp.float32)
    return focal_terms(logits, targets, alpha, gamma).mean((-2, -1))


def dice_loss(
    mask_logits: Float[Array, "*B H W"], targets: Float[Array, "*B H W"]
) -> Float[Array, "*B"]:
    """1 - (2 sum(p t) + 1) / (sum p + sum t + 1)."""
    _check_pixels(mask_logits, targets)
    probs = jax.nn.sigmoid(mask_logits.astype(jnp.float32))
    targets = targets.astype(jnp.float32)
    overlap = (probs * targets).sum((-2, -1))
    return 1.0 - (2.0 * overlap + 1.0) / (probs.sum((-2, -1)) + targets.sum((-2, -1)) + 1.0)


def iou_loss(
    predicted_ious: Float[Array, "*B"],
    mask_logits: Float[Array, "*B H W"],
    targets: Float[Array, "*B H W"],
    squared: bool = False,
) -> Float[Array, "*B"]:
    """|predicted IoU - IoU of (logits > 0) with the target|, or its square.

    No gradient goes through the true IoU.
    """
    _check_pixels(mask_logits, targets)
    predicted = mask_logits > 0
    true = targets > 0
    overlap = jnp.sum(predicted & true, (-2, -1)).astype(jnp.float32)
    union = jnp.sum(predicted | true, (-2, -1)).astype(jnp.float32)
    error = predicted_ious.astype(jnp.float32) - overlap / jnp.maximum(union, 1.0)
    return jnp.square(error) if squared else jnp.abs(error)


def object_score_loss(
    object_scores: Float[Array, "*B"],
    is_present: Float[Array, "*B"],
    alpha: float = -1.0,
    gamma: int = 0,
) -> Float[Array, "*B"]:
    """Focal loss of the object score against whether the target has any pixel.

    With the default alpha and gamma, which are SAM 2's, it is binary cross-entropy.
    """
    scores, present = object_scores.astype(jnp.float32), is_present.astype(jnp.float32)
    return focal_terms(scores, present, alpha, gamma)
