"""AdamW or Muon with warm-up, cosine decay and gradient clipping.

Path:    gradients -> [optimizers] -> updates -> loop (times the learning rate)
Units:   learning rates per step; steps from 0.
Source:  AdamW arXiv:1711.05101; Muon as scaled in arXiv:2502.16982; SAM 2's recipe for what decays,
         arXiv:2408.00714.
Differs: decay reaches matrix and convolution kernels only. SAM 2 also decays LayerNorm2d scales and
         position embeddings, which matters for fine-tuning more than for training from scratch.
"""

import dataclasses
from typing import Any

import jax
import optax

from surgjax.train.muon import scale_by_muon


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """What a config may say about the optimizer."""

    name: str = "adamw"  # or "muon"
    lr: float = 1e-3
    adam_ratio: float = 0.4  # with muon: the rate of what is no matrix, as a share of `lr`
    final_lr: float = 1e-5
    warmup_steps: int = 300
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.99


def learning_rate_schedule(options: OptimizerOptions, total_steps: int) -> optax.Schedule:
    """Linear from 0 to `lr`, then half a cosine to `final_lr` at `total_steps`."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=options.lr,
        warmup_steps=min(options.warmup_steps, max(total_steps - 1, 1)),
        decay_steps=max(total_steps, 2),
        end_value=options.final_lr,
    )


def decay_mask(params: Any) -> Any:
    """True for the leaves that weight decay shrinks: those named `kernel`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def matrix_rows(params: Any) -> Any:
    """How many leading axes of a leaf are the rows of Muon's matrix; 0 where Adam takes it.

    Linear (in, out) and convolution (kh, kw, in, out) kernels; an up-convolution is stored
    (in, 2, 2, out). Small kernels, depthwise ones and embeddings stay with Adam.
    """

    def leaf(path, value):
        names = jax.tree_util.keystr(path)
        if getattr(path[-1], "key", None) != "kernel" or value.size < 1024 or "dwconv" in names:
            return 0
        return 3 if value.ndim == 4 and "output_upscaling" not in names else 1

    return jax.tree_util.tree_map_with_path(leaf, params)


def build_optimizer(options: OptimizerOptions) -> optax.GradientTransformationExtraArgs:
    """Clip by global norm, then AdamW or Muon for a rate of 1, which the loop multiplies in.

    So the rate is an input of the compiled step, and another schedule compiles nothing anew.
    """
    if options.name == "muon":
        matrices = optax.chain(
            scale_by_muon(matrix_rows),
            optax.add_decayed_weights(options.weight_decay),
            optax.scale(-1.0),
        )
        others = optax.chain(
            optax.scale_by_adam(b1=options.b1, b2=options.b2), optax.scale(-options.adam_ratio)
        )
        muon = optax.partition(
            {"muon": matrices, "adam": others},
            lambda params: jax.tree.map(
                lambda rows: "muon" if rows else "adam", matrix_rows(params)
            ),
        )
        return optax.chain(optax.clip_by_global_norm(options.clip_norm), muon)
    if options.name != "adamw":
        raise ValueError(f"optimizer {options.name!r}: expected 'adamw' or 'muon'.")
    return optax.chain(
        optax.clip_by_global_norm(options.clip_norm),
        optax.scale_by_adam(b1=options.b1, b2=options.b2),
        optax.add_decayed_weights(options.weight_decay, mask=decay_mask),
        optax.scale(-1.0),
    )
