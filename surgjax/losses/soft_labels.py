"""Ambiguity-resilient labels: edges of a mask softened by a Gaussian, and a focal loss of them.

Path:    true masks -> [soft_labels] -> prompted_masks -> train step
Axes:    *B any leading axes, H W pixels; the loss gives one value per leading index.
Units:   sigma in pixels of the masks, in `ArlOptions` in pixels of a picture of side 512; masks
         and soft labels in 0..1; mask_logits before the sigmoid.
Errors:  ValueError for a sigma below 0 or a form that is not known, and, while tracing, if logits
         and labels, or labels and known pixels, do not fit each other.
Source:  SAM2S, arXiv:2511.16618 (uniform softening by a Gaussian); generalised focal loss,
         arXiv:2006.04388, for |q - p|^gamma BCE(p, q).
Differs: SAM2S leaves sigma, the border and the loss open. Here: 2 px at 512, borders replicated, a
         loss whose only minimum is p = q. Its `plain` form puts q into the usual focal loss, whose
         minimum lies elsewhere.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from surgjax.typing import Array, Bool, Float

FORMS = ("calibrated", "plain")
REFERENCE_SIDE = 512


@dataclasses.dataclass(frozen=True)
class ArlOptions:
    """How labels of the focal term are softened; sigma 0 leaves them hard.

    sigma: in pixels of a picture of side 512, whatever the size of this one.
    form: `calibrated`, alpha_q |q - p|^gamma BCE(p, q) with alpha_q = alpha q + (1 - alpha)(1 - q);
    or `plain`, -alpha q (1 - p)^gamma log p - (1 - alpha)(1 - q) p^gamma log(1 - p).
    """

    sigma: float = 0.0
    form: str = "calibrated"

    def __post_init__(self):
        if not (self.sigma >= 0 and math.isfinite(self.sigma)):
            raise ValueError(f"loss.arl.sigma: expected 0 or more, found {self.sigma}.")
        if self.form not in FORMS:
            raise ValueError(f"loss.arl.form: expected one of {FORMS}, found {self.form!r}.")

    def pixels(self, side: int) -> float:
        """Sigma in pixels of a mask of so many pixels a side."""
        return self.sigma * side / REFERENCE_SIDE


def gaussian_weights(sigma: float) -> np.ndarray:
    """[2 ceil(3 sigma) + 1] float32 that sum to 1; a single 1 for sigma 0."""
    if sigma < 0:
        raise ValueError(f"sigma: expected 0 or more, found {sigma}.")
    if sigma == 0:
        return np.ones(1, np.float32)
    reach = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


@functools.partial(jax.jit, static_argnums=1)
def _blurred(values: Array, sigma: float) -> Array:
    """Shifted copies are added up: on a CPU XLA fuses them, where a convolution of one channel
    takes twenty times as long; a product with a banded matrix lies between the two."""
    weights = gaussian_weights(sigma)
    reach = len(weights) // 2
    for axis in (values.ndim - 2, values.ndim - 1):
        size, border = values.shape[axis], [(0, 0)] * values.ndim
        border[axis] = (reach, reach)
        wide = jnp.pad(values, border, mode="edge")
        shifted = (lax.slice_in_dim(wide, i, i + size, axis=axis) for i in range(len(weights)))
        values = sum((w * x for w, x in zip(weights, shifted, strict=True)), jnp.zeros_like(values))
    return values


def soften(
    masks: Float[Array, "*B H W"], sigma: float, known: Bool[Array, "*B H W"] | None = None
) -> Float[Array, "*B H W"]:
    """Masks convolved with a normalised Gaussian, the same for every mask; float32 in 0..1.

    Beyond the frame its border pixels go on. known: pixels whose truth is unknown have no say in
    what is around them, and are 0 themselves.
    """
    masks = masks.astype(jnp.float32)
    if known is not None and known.shape != masks.shape:
        raise ValueError(f"masks {masks.shape} and known pixels {known.shape} differ in shape.")
    if known is None:
        return masks if sigma == 0 else _clipped(_blurred(masks, sigma))
    counted = known.astype(jnp.float32)
    if sigma == 0:
        return masks * counted
    share = _blurred(masks * counted, sigma) / jnp.maximum(_blurred(counted, sigma), 1e-6)
    return _clipped(share) * counted


def _clipped(values: Array) -> Array:
    return jnp.clip(values, 0.0, 1.0)  # sums of weights are 1 up to rounding


def soft_focal_terms(
    logits: Float[Array, "*B"],
    labels: Float[Array, "*B"],
    alpha: float,
    gamma: int,
    form: str = "calibrated",
) -> Float[Array, "*B"]:
    """Elementwise focal loss of labels in 0..1; a negative alpha switches its weighting off.

    Both forms are the usual focal loss where labels are 0 or 1.
    """
    if form not in FORMS:
        raise ValueError(f"form: expected one of {FORMS}, found {form!r}.")
    object_part = -labels * jax.nn.log_sigmoid(logits)
    other_part = -(1.0 - labels) * jax.nn.log_sigmoid(-logits)
    if form == "plain":
        if gamma:
            object_part = object_part * jax.nn.sigmoid(-logits) ** gamma
            other_part = other_part * jax.nn.sigmoid(logits) ** gamma
        if alpha >= 0:
            object_part, other_part = alpha * object_part, (1.0 - alpha) * other_part
        return object_part + other_part
    loss = object_part + other_part
    if gamma:
        loss = loss * jnp.abs(labels - jax.nn.sigmoid(logits)) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * labels + (1.0 - alpha) * (1.0 - labels))
    return loss


def soft_focal_loss(
    mask_logits: Float[Array, "*B H W"],
    labels: Float[Array, "*B H W"],
    alpha: float = 0.25,
    gamma: int = 2,
    form: str = "calibrated",
) -> Float[Array, "*B"]:
    """Mean of `soft_focal_terms` over pixels, in float32."""
    if mask_logits.shape[-2:] != labels.shape[-2:]:  # a size-1 axis would broadcast silently
        raise ValueError(
            f"mask_logits {mask_logits.shape}, labels {labels.shape}: differ in height or width."
        )
    logits, labels = mask_logits.astype(jnp.float32), labels.astype(jnp.float32)
    return soft_focal_terms(logits, labels, alpha, gamma, form).mean((-2, -1))
