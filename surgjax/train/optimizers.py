"""AdamW with warm-up, cosine decay and gradient clipping, as plain optax.

Path:    gradients -> [optimizers] -> updates
Units:   learning rates per step; steps from 0.
Source:  AdamW arXiv:1711.05101; SAM 2's recipe for what decays (arXiv:2408.00714).
Differs: decay reaches matrix and convolution kernels only. SAM 2 also decays LayerNorm2d scales and
         position embeddings, which matters for fine-tuning more than for training from scratch.
"""

import dataclasses
from typing import Any

import jax
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """What a config may say about the optimizer."""

    lr: float = 1e-3
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


def build_optimizer(
    options: OptimizerOptions, total_steps: int
) -> optax.GradientTransformationExtraArgs:
    """Clip by global norm, then AdamW."""
    return optax.chain(
        optax.clip_by_global_norm(options.clip_norm),
        optax.adamw(
            learning_rate_schedule(options, total_steps),
            b1=options.b1,
            b2=options.b2,
            weight_decay=options.weight_decay,
            mask=decay_mask,
        ),
    )
