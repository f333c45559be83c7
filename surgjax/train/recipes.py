"""What is trained is a choice: leaves of the parameter tree, picked by patterns of their paths.

Path:    params -> [recipes] -> trained and frozen subtrees -> updates, train.state
Axes:    a path is the levels of the tree joined by "/"; patterns are those of the shell, where `*`
         also crosses levels. Subtrees keep the levels, so rules by path hold for them too.
Errors:  ValueError naming an unknown recipe, a pattern that matches nothing, or a choice that
         leaves nothing to train.
Source:  SAM 2's fine-tuning trains everything (`full`); SurgiSAM2 trains the image encoder and the
         mask decoder, which is ("image_encoder/*", "sam_mask_decoder/*").
Differs: only the trained subtree is differentiated and has optimizer state and a running mean;
         frozen leaves pass through a step untouched. What the reference never updates (the Fourier
         matrix, a buffer; `no_mem_pos_enc`, which nothing reads) is frozen in every recipe.
"""

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from surgjax.train import parameter_rules

NEVER_TRAINED = ("sam_prompt_encoder/pe_layer/*", "no_mem_pos_enc")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A leaf is trained if one of `trained` matches its path and none of `frozen` does."""

    name: str
    trained: tuple[str, ...]
    frozen: tuple[str, ...] = ()

    def trains(self, path: str) -> bool:
        """Whether the leaf of a path is trained."""

        def matches(patterns: Sequence[str]) -> bool:
            return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)

        return matches(self.trained) and not matches((*self.frozen, *NEVER_TRAINED))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("full", ("*",)),
        Recipe("frozen_encoder", ("*",), frozen=("image_encoder/*",)),
        Recipe("decoder_only", ("sam_mask_decoder/*",)),
        Recipe("encoder_decoder", ("image_encoder/*", "sam_mask_decoder/*")),  # SurgiSAM2's choice
        # Answers on single images stay as they were, bit for bit.
        Recipe(
            "memory_only",
            (
                "memory_attention/*",
                "memory_encoder/*",
                "mask_downsample/*",
                "maskmem_tpos_enc",
                "long_tpos_enc",
                "no_obj_ptr",
                "no_obj_embed_spatial",
                "obj_ptr_proj/*",
                "obj_ptr_tpos_proj/*",
            ),
        ),
        Recipe("lora", ("lora/*",)),  # after train.lora.add
    )
}


def get_recipe(choice: str | Sequence[str]) -> Recipe:
    """A recipe by its name, or the one that trains what the given patterns match.

    Patterns come as a sequence, or separated by commas: "memory_encoder/*,no_obj_ptr".
    """
    if isinstance(choice, str) and ("/" in choice or "," in choice):
        choice = choice.split(",")
    if not isinstance(choice, str):
        return Recipe("custom", tuple(choice))
    if choice not in RECIPES:
        raise ValueError(f"recipe {choice!r}: expected one of {tuple(RECIPES)}, or patterns.")
    return RECIPES[choice]


def check(params: Any, recipe: Recipe) -> None:
    """Refuses a recipe that leaves nothing to train, or patterns of one's own that match nothing.

    The named recipes may list parameters that only some versions of the model have.
    """
    names = parameter_rules.path_names(params)
    levels = sorted({name.split("/")[0] for name in names})
    if recipe.name not in RECIPES:
        for pattern in (*recipe.trained, *recipe.frozen):
            if not fnmatch.filter(names, pattern):
                raise ValueError(
                    f"recipe pattern {pattern!r} matches no parameter: they are {levels}; "
                    f"recipes by name are {tuple(RECIPES)}."
                )
    if not any(recipe.trains(name) for name in names):
        hint = " (train.lora.add makes them)" if recipe.name == "lora" else ""
        raise ValueError(
            f"recipe {recipe.name!r}: none of {recipe.trained} is left to train{hint}; "
            f"the parameters are {levels}."
        )


def _pick(tree: Mapping[str, Any], keep: Callable[[str], bool], above: str = "") -> dict[str, Any]:
    picked = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            inner = _pick(value, keep, f"{above}{name}/")
            if inner:
                picked[name] = inner
        elif keep(above + name):
            picked[name] = value
    return picked


def split(params: Any, recipe: Recipe | None) -> tuple[Any, Any]:
    """(trained, frozen) subtrees of nested dicts; without a recipe everything is trained."""
    if recipe is None:
        return params, {}
    trained = _pick(params, recipe.trains)
    return trained, _pick(params, lambda path: not recipe.trains(path))


def overlay(params: Any, changes: Any) -> Any:
    """`params` with the leaves of the subtree `changes` in place of its own."""
    if not isinstance(changes, Mapping) or not isinstance(params, Mapping):
        return changes
    return {
        **params,
        **{k: overlay(params[k], v) if k in params else v for k, v in changes.items()},
    }


def averaged(state: Any) -> Any:
    """All parameters of a train state, the trained ones as their running mean."""
    return overlay(state.params, state.ema_params)


def summary(params: Any, recipe: Recipe) -> str:
    """One line for the log: how many numbers are trained, of how many."""

    def count(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    trained, _ = split(params, recipe)
    share = count(trained) / count(params)
    return (
        f"recipe {recipe.name}: {count(trained):,} of {count(params):,} parameters are trained "
        f"({100 * share:.1f} %), in {len(jax.tree.leaves(trained))} arrays"
    )
