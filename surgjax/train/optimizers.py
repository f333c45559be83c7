"""AdamW or Muon with gradient clipping, and per-path rates and weight decay.

Path:    gradients -> [optimizers] -> updates for a rate of 1 -> schedules.scale_by_rates
Units:   learning rates per step; steps from 0.
Errors:  ValueError naming the option, what was expected and what was found.
Source:  AdamW arXiv:1711.05101; Muon as scaled in arXiv:2502.16982; SAM 2's fine-tuning for rates,
         decay and clipping by path, see `parameter_rules`.
Differs: by default weight decay reaches matrix and convolution kernels only, which is what the
         bundled model was trained with; `decays="sam2"` is the reference's rule.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from surgjax.train import parameter_rules
from surgjax.train.muon import scale_by_muon
from surgjax.train.schedules import Rates, warmup_cosine

NAMES = ("adamw", "muon")
DECAYS = ("kernels", "sam2")


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """What a config may say about the optimizer.

    SAM 2's fine-tuning: lr 5e-6, final_lr 5e-7, encoder_lr 3e-6, encoder_final_lr 3e-7,
    layer_decay 0.9, decays "sam2", weight_decay 0.1, clip_norm 0.1, b2 0.999, warmup_steps 0.
    """

    name: str = "adamw"  # or "muon"
    lr: float = 1e-3
    adam_ratio: float = 0.4  # with muon: the rate of what is no matrix, as a share of `lr`
    final_lr: float = 1e-5
    encoder_lr: float | None = None  # of the image encoder; None: as the rest
    encoder_final_lr: float | None = None  # None: `final_lr` times encoder_lr / lr
    new_parts_lr: float | None = None  # of what no SAM 2 checkpoint has; None: as the rest
    layer_decay: float = 1.0  # of the rate, from one trunk block to the one before it
    warmup_steps: int = 300
    weight_decay: float = 0.05
    decays: str = "kernels"  # or "sam2": all but biases and LayerNorm
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.99
    eps: float = 1e-8

    def __post_init__(self):
        def check(name: str, is_right: bool, expected: str) -> None:
            if not is_right:
                found = getattr(self, name)
                raise ValueError(f"optimizer {name}: expected {expected}, found {found!r}.")

        check("name", self.name in NAMES, f"one of {NAMES}")
        check("lr", self.lr > 0, "above 0")
        check("encoder_lr", self.encoder_lr is None or self.encoder_lr > 0, "above 0, or None")
        check(
            "new_parts_lr", self.new_parts_lr is None or self.new_parts_lr > 0, "above 0, or None"
        )
        has_encoder = self.encoder_lr is not None or self.encoder_final_lr is None
        check("encoder_final_lr", has_encoder, "None where encoder_lr is None")
        check("layer_decay", 0 < self.layer_decay <= 1, "above 0, at most 1")
        check("decays", self.decays in DECAYS, f"one of {DECAYS}")
        is_adam = self.name == "adamw"
        check("decays", is_adam or self.decays == "kernels", "'kernels' with muon")
        check("clip_norm", self.clip_norm > 0, "above 0")


def learning_rate_schedule(options: OptimizerOptions, total_steps: int) -> Callable[[Any], Rates]:
    """Rates of a step: one number, or one per group where some group has its own.

    Linear from 0 to the first rate, then half a cosine to the final one at `total_steps`. Without
    a final rate of its own, a group's falls in the proportion of the rest.
    """

    def schedule(peak: float, final: float) -> optax.Schedule:
        return warmup_cosine(peak, final, options.warmup_steps, total_steps)

    base = schedule(options.lr, options.final_lr)
    if options.encoder_lr is None and options.new_parts_lr is None:
        return base

    def own(peak: float | None, final: float | None = None) -> optax.Schedule:
        if peak is None:
            return base
        return schedule(peak, options.final_lr * peak / options.lr if final is None else final)

    schedules = {
        parameter_rules.BASE: base,
        parameter_rules.IMAGE_ENCODER: own(options.encoder_lr, options.encoder_final_lr),
        parameter_rules.NEW_PARTS: own(options.new_parts_lr),
    }
    return lambda step: {group: rate(step) for group, rate in schedules.items()}


def decay_mask(params: Any) -> Any:
    """True for the leaves that weight decay shrinks: those named `kernel`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def sam2_decay_mask(params: Any) -> Any:
    """True for what SAM 2's fine-tuning decays: all but biases and LayerNorm (not LayerNorm2d)."""
    return parameter_rules.map_named(lambda name, _: parameter_rules.decays(name), params)


def matrix_rows(params: Any) -> Any:
    """How many leading axes of a leaf are the rows of Muon's matrix; 0 where Adam takes it.

    Linear (in, out) and convolution (kh, kw, in, out) kernels; an up-convolution is stored
    (in, 2, 2, out). Small kernels, depthwise ones and embeddings stay with Adam.
    """

    def leaf(path, value):
        names = jax.tree_util.keystr(path)
        if getattr(path[-1], "key", None) != "kernel" or value.size < 1024 or "dwconv" in names:
            return 0
        return kernel_rows(names, value.ndim)

    return jax.tree_util.tree_map_with_path(leaf, params)


def kernel_rows(name: str, axes: int) -> int:
    """How many leading axes of a kernel are its inputs."""
    return 3 if axes == 4 and "output_upscaling" not in name else 1


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """Gradients times min(1, max_norm / (norm + 1e-6)), the norm being that of all of them.

    optax's own leaves out the 1e-6 of torch's clip_grad_norm_.
    """

    def clip(updates: Any, params: Any = None) -> Any:
        del params
        factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda update: factor * update, updates)

    return optax.stateless(clip)


def _scale_by_layer(layer_decay: float, trunk_blocks: int) -> optax.GradientTransformation:
    def scale(name: str, update: jax.Array) -> jax.Array:
        factor = parameter_rules.treatment(name, trunk_blocks, layer_decay).scale
        return update if factor == 1.0 else factor * update

    return optax.stateless(lambda updates, params: parameter_rules.map_named(scale, updates))


def build_optimizer(
    options: OptimizerOptions, trunk_blocks: int | None = None
) -> optax.GradientTransformationExtraArgs:
    """Clip by global norm, then AdamW or Muon for a rate of 1; `scale_by_rates` does the rest.

    So the rate is an input of the compiled step, and another schedule compiles nothing anew.
    trunk_blocks: of the whole image encoder, however few of them are trained; for `layer_decay`.
    """
    if options.layer_decay != 1.0 and trunk_blocks is None:
        raise ValueError("optimizer layer_decay needs trunk_blocks, the length of the trunk.")
    parts = [clip_by_global_norm(options.clip_norm)]
    if options.name == "muon":
        parts.append(_muon(options))
    else:
        mask = sam2_decay_mask if options.decays == "sam2" else decay_mask
        parts.append(optax.scale_by_adam(b1=options.b1, b2=options.b2, eps=options.eps))
        parts.append(optax.add_decayed_weights(options.weight_decay, mask=mask))
        parts.append(optax.scale(-1.0))
    if options.layer_decay != 1.0:
        assert trunk_blocks is not None
        parts.append(_scale_by_layer(options.layer_decay, trunk_blocks))
    return optax.chain(*parts)


def _muon(options: OptimizerOptions) -> optax.GradientTransformation:
    matrices = optax.chain(
        scale_by_muon(matrix_rows),
        optax.add_decayed_weights(options.weight_decay),
        optax.scale(-1.0),
    )
    others = optax.chain(
        optax.scale_by_adam(b1=options.b1, b2=options.b2, eps=options.eps),
        optax.scale(-options.adam_ratio),
    )
    return optax.partition(
        {"muon": matrices, "adam": others},
        lambda params: jax.tree.map(lambda rows: "muon" if rows else "adam", matrix_rows(params)),
    )
