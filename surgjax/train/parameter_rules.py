r"""Which learning rate and weight decay a parameter gets, told from its path alone.

Path:    params -> [parameter_rules] -> schedules, optimizers; experiments.parameter_table prints it
Axes:    a path is the levels of the parameter tree joined by "/", such as
         `image_encoder/trunk/blocks_3/attn/qkv/kernel`; it does not depend on the values.
Units:   scale multiplies the rate of the path's group.
Errors:  ValueError naming every path that no rule claims, or that two rules claim.
Source:  SAM 2's fine-tuning, reference files training/optimizer.py, hieradet.py (layer ids) and
         sam2.1_hiera_b+_MOSE_finetune.yaml. With L trunk blocks and decay d: d^(L+1) on the patch
         embedding, d^(L-i) on block i, 1 on position embeddings and outside of the trunk.
Differs: the reference sorts by module class and by patterns of torch names; here one list of rules
         for the rate and one for the decay, each of which claims every path exactly once.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

import jax

# Groups that share a learning rate. New parts are those that no SAM 2 checkpoint has.
BASE, IMAGE_ENCODER, NEW_PARTS = "base", "image_encoder", "new_parts"


@dataclasses.dataclass(frozen=True)
class RateRule:
    """Paths whose learning rate is `group`'s times layer_decay ** layers(match, L)."""

    name: str
    pattern: str  # regular expression of a whole path
    group: str
    layers: Callable[[re.Match, int], int] = lambda match, trunk_blocks: 0


@dataclasses.dataclass(frozen=True)
class DecayRule:
    """Paths that weight decay shrinks, or leaves alone."""

    name: str
    pattern: str
    decays: bool


@dataclasses.dataclass(frozen=True)
class Treatment:
    """What both lists of rules say of one path."""

    rate_rule: str
    group: str
    scale: float
    decay_rule: str
    decays: bool


_MEMORY = (
    "memory_attention", "memory_encoder", "mask_downsample", "maskmem_tpos_enc", "no_mem_embed",
    "no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial", "obj_ptr_proj", "obj_ptr_tpos_proj",
)  # fmt: skip
_POSITIONS = r"image_encoder/trunk/pos_embed(_window)?"
_FOURIER = r"sam_prompt_encoder/pe_layer/.+"  # drawn once, never trained: a buffer of the reference
_SEMANTIC = r"semantic/.+"  # token, projection, temperature
_ADDED = r"(auxiliary_head|lora)/.+"  # kept beside the model's own parameters while training

RATE_RULES = (
    RateRule("trunk positions", _POSITIONS, IMAGE_ENCODER),
    RateRule("trunk patch embedding", r"image_encoder/trunk/patch_embed/.+", IMAGE_ENCODER,
             lambda match, trunk_blocks: trunk_blocks + 1),
    RateRule("trunk block", r"image_encoder/trunk/blocks_(\d+)/.+", IMAGE_ENCODER,
             lambda match, trunk_blocks: trunk_blocks - int(match[1])),
    RateRule("neck", r"image_encoder/neck/.+", IMAGE_ENCODER),
    RateRule("memory", rf"({'|'.join(_MEMORY)})(/.+)?", BASE),
    RateRule("prompt encoder", r"sam_prompt_encoder/(?!pe_layer/).+", BASE),
    RateRule("mask decoder", r"sam_mask_decoder/.+", BASE),
    RateRule("long memories", r"long_tpos_enc", NEW_PARTS),
    RateRule("semantic token", _SEMANTIC, NEW_PARTS),
    RateRule("fixed", _FOURIER, BASE),
    RateRule("added", _ADDED, BASE),
)  # fmt: skip

DECAY_RULES = (
    DecayRule("bias", r".+/bias", False),
    DecayRule(
        "layer norm",
        r"(image_encoder/trunk/blocks_\d+|memory_attention/layers_\d+"
        r"|sam_mask_decoder/transformer/layers_\d+)/norm\d/scale"
        r"|memory_attention/norm/scale|sam_mask_decoder/transformer/norm_final_attn/scale"
        r"|semantic/norm/scale",
        False,
    ),
    DecayRule(
        "layer norm 2d",
        r"memory_encoder/(mask_downsampler/encoder_\d+|fuser/layers_\d+/norm)/scale"
        r"|sam_mask_decoder/output_upscaling_\d/scale"
        r"|sam_prompt_encoder/mask_downscaling_\d/scale",
        True,
    ),
    DecayRule("kernel", r".+/kernel", True),
    DecayRule("embedding", r".+/embedding", True),
    DecayRule("positions", _POSITIONS, True),
    DecayRule(
        "memory token",
        r"maskmem_tpos_enc|long_tpos_enc|no_mem_embed|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial",
        True,
    ),
    DecayRule("semantic token", r"semantic/(token|temperature)", False),
    DecayRule("layer scale", r"memory_encoder/fuser/layers_\d+/gamma", True),
    DecayRule("fixed", _FOURIER, False),
    DecayRule("low rank", r"lora/.+/[ab]", True),
)


def path_name(path: Iterable[Any]) -> str:
    """A key path of jax.tree_util as levels joined by "/"."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def map_named(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """jax.tree.map, whose function gets the path of the leaf first."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(path_name(path), *leaves), tree, *rest
    )


def named_leaves(tree: Any) -> dict[str, Any]:
    """Path -> leaf, in the order of the tree."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def path_names(tree: Any) -> list[str]:
    """The paths of all leaves, in the order of the tree."""
    return list(named_leaves(tree))


def _claim(name: str, rules: Iterable[Any], what: str) -> tuple[Any, re.Match]:
    """The only rule that claims a path."""
    found = [(rule, match) for rule in rules if (match := re.fullmatch(rule.pattern, name))]
    if len(found) != 1:
        names = ", ".join(repr(rule.name) for rule, _ in found) or "none"
        raise ValueError(f"parameter {name!r}: expected one rule for its {what}, found {names}.")
    return found[0]


def group_of(name: str) -> str:
    """The group whose learning rate a path takes."""
    return _claim(name, RATE_RULES, "rate")[0].group


def decays(name: str) -> bool:
    """Whether weight decay shrinks the leaf of a path."""
    return _claim(name, DECAY_RULES, "weight decay")[0].decays


def treatment(name: str, trunk_blocks: int, layer_decay: float) -> Treatment:
    """What the optimizer does with one path. trunk_blocks: of the whole image encoder."""
    rate, match = _claim(name, RATE_RULES, "rate")
    decay, _ = _claim(name, DECAY_RULES, "weight decay")
    layers = rate.layers(match, trunk_blocks)
    if layers < 0 or (rate.name == "trunk block" and layers == 0):
        raise ValueError(f"parameter {name!r}: the trunk was said to have {trunk_blocks} blocks.")
    return Treatment(rate.name, rate.group, layer_decay**layers, decay.name, decay.decays)


def treatments(params: Any, trunk_blocks: int, layer_decay: float = 1.0) -> dict[str, Treatment]:
    """Path -> treatment of every leaf; one ValueError for all paths that cannot be treated."""
    found, wrong = {}, []
    for name in path_names(params):
        try:
            found[name] = treatment(name, trunk_blocks, layer_decay)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("\n".join(wrong))
    return found


def table(params: Any, trunk_blocks: int, layer_decay: float = 1.0) -> str:
    """One line per combination of rules: how many leaves and numbers, rate, decay, an example."""
    sizes = {name: int(leaf.size) for name, leaf in named_leaves(params).items()}
    rows: dict[Treatment, list[str]] = {}
    for name, what in treatments(params, trunk_blocks, layer_decay).items():
        rows.setdefault(what, []).append(name)
    order = {rule.name: i for i, rule in enumerate(RATE_RULES)}
    lines = [("rule", "rate", "decay rule", "decays", "leaves", "numbers", "first of them")]
    for what, names in sorted(rows.items(), key=lambda r: (order[r[0].rate_rule], r[0].scale)):
        lines.append(
            (
                what.rate_rule,
                f"{what.group} x {what.scale:.4f}",
                what.decay_rule,
                "yes" if what.decays else "no",
                str(len(names)),
                f"{sum(sizes[name] for name in names):,}",
                names[0],
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
