"""Contrastive loss of semantic tokens: which text of a bank an object's vector is closest to.

Path:    Sam2.class_logits -> [semantic] -> train step
Axes:    R rows (one object in one frame), K texts of the bank.
Units:   classes are rows of the bank, -1 for an object without one (tissue, unknown).
Errors:  ValueError, while tracing, on shapes that do not fit.
Source:  SAM2S, arXiv:2511.16618, temporal semantic learning; supervision of instruments alone is
         theirs, cross-entropy over cosines at a learned temperature is CLIP's, arXiv:2103.00020.
         The offsets are logit adjustment, arXiv:2007.07314.
Differs: no batch contrast: the bank is fixed, so every row has all K texts, whatever the batch.
"""

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.typing import Array, Float, Int

NO_CLASS = -1


@flax.struct.dataclass
class SemanticTerms:
    """Sums over rows that count: cross-entropy, rows whose best text is theirs, rows."""

    loss: Float[Array, ""]
    correct: Float[Array, ""]
    count: Float[Array, ""]

    def mean(self, value: Array) -> Array:
        """Per row that counts, summed over every leading axis; 0 where none does."""
        return value.sum() / jnp.maximum(self.count.sum(), 1.0)


def semantic_terms(
    class_logits: Float[Array, "R K"],
    classes: Int[Array, " R"],
    row_weights: Float[Array, " R"],
    offsets: Float[Array, " K"] | None = None,
) -> SemanticTerms:
    """Cross-entropy of each row with its class; rows without one add nothing, nor a gradient.

    row_weights: 1 for a row whose object is visible, else 0. A bank of one text is refused.
    offsets: added to the logits in the cross-entropy alone. With log of how often each class is
    drawn, what is learned is the answer for classes that are all as frequent. Weights of the rows
    could not do that: a batch whose rows are of one class has the same mean with any weight.
    """
    rows, texts = class_logits.shape
    if classes.shape != (rows,) or row_weights.shape != (rows,):
        raise ValueError(
            f"classes {classes.shape} and row_weights {row_weights.shape} do not fit class_logits "
            f"{class_logits.shape}."
        )
    if texts < 2:
        raise ValueError("a bank of one text teaches nothing: 2 or more expected.")
    known = (classes >= 0) & (classes < texts)
    weights = jnp.where(known, row_weights.astype(jnp.float32), 0.0)
    chosen = jax.nn.one_hot(jnp.where(known, classes, 0), texts, dtype=jnp.float32)
    scored = class_logits.astype(jnp.float32)
    if offsets is not None:
        if offsets.shape != (texts,):
            raise ValueError(f"offsets {offsets.shape}: expected one for each of {texts} texts.")
        scored = scored + offsets[None]
    logs = jax.nn.log_softmax(scored, axis=-1)
    # Before the sum over texts, so that a row without a class has a gradient of exactly zero.
    per_row = -(jnp.where(weights[:, None] > 0, logs, 0.0) * chosen).sum(-1)
    is_right = jnp.argmax(class_logits, -1) == classes
    return SemanticTerms(
        loss=(weights * per_row).sum(), correct=(weights * is_right).sum(), count=weights.sum()
    )
