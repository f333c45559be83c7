"""Temporal semantic learning in a training step: what the answers' tokens say, against the truth.

Path:    MaskOutput.semantic, text bank, TrainingClips.object_class -> [semantic_learning] -> loss
Axes:    R rows (one object of one clip), K texts, V visits to the frames of a clip.
Units:   classes are rows of the bank, -1 where an object has none.
Errors:  ValueError, while tracing, for a loss that lacks a bank, a token or classes.
Source:  SAM2S, arXiv:2511.16618, temporal semantic learning.
Differs: a frame that is corrected counts once, by its last answer; an object that is given by its
         mask counts with what the mask left, which is what there is at inference.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from surgjax.losses import SemanticTerms, semantic_terms
from surgjax.structs import Array, MaskOutput
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.training_clips import FrameTruth, TrainingClips


@dataclasses.dataclass(frozen=True)
class SemanticTruth:
    """What every frame of a batch is asked: which text each row is."""

    text: Array  # [K, 512] unit rows
    classes: Array  # [R] int32
    offsets: Array | None = None  # [K] float32 on the logits of the loss

    def terms(
        self, model: Any, variables: Any, output: MaskOutput, truth: FrameTruth
    ) -> SemanticTerms:
        """Of one frame; rows whose object is out of sight do not count."""
        args = (output.semantic, self.text)
        logits = model.apply(variables, *args, method="class_logits")
        weights = truth.weights * truth.masks.any((-2, -1))
        return semantic_terms(logits, self.classes, weights, self.offsets)


def semantic_truth(
    model: Any, clips: TrainingClips, text: Array | None, options: PromptOptions
) -> SemanticTruth | None:
    """None where the options give this loss no weight."""
    if not options.semantic_weight:
        return None
    if not model.config.semantic_token:
        raise ValueError("semantic_weight needs a model with semantic_token.")
    if text is None:
        raise ValueError("semantic_weight needs the vectors of a text bank.")
    if clips.object_class is None:
        raise ValueError("semantic_weight needs a batch with object_class.")
    offsets = None
    if options.semantic_balance:
        if clips.class_shares is None or clips.class_shares.shape[-1] != len(text):
            found = "none" if clips.class_shares is None else clips.class_shares.shape[-1]
            raise ValueError(
                f"semantic_balance needs a batch with class_shares of {len(text)} texts, "
                f"found {found}; only clips of prepared sets have them."
            )
        offsets = options.semantic_balance * jnp.log(jnp.asarray(clips.class_shares)[0])
    classes = jnp.asarray(clips.object_class).reshape(-1)
    return SemanticTruth(jnp.asarray(text), classes, offsets)


def semantic_loss(
    terms: SemanticTerms | None, options: PromptOptions
) -> tuple[Array, dict[str, Array]]:
    """The weighted mean over visible objects that have a class, and metrics; terms [V] or []."""
    if terms is None:
        return jnp.zeros(()), {}
    mean = terms.mean(terms.loss)
    metrics = {"tsl": mean, "tsl_accuracy": terms.mean(terms.correct)}
    return options.semantic_weight * mean, metrics
