"""From a training config to what is trained: the model's losses, its first state, its optimizer.

Path:    config, checkpoints -> [model_parts] -> running
Axes:    see `train.steps`.
Units:   sizes in pixels.
Errors:  ValueError naming the entry of the config; CheckpointError for weights that do not fit.
Differs: weights given by `init` are taken as they are; what helps a model that starts from nothing
         (tied attention, memory that looks near) is left out then.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from experiments.chosen_text_bank import open_bank
from surgjax import checkpoints, train
from surgjax.losses import LossWeights
from surgjax.models import sam2, variants
from surgjax.models.trained_bank import trained_bank
from surgjax.text.text_bank import TextBank
from surgjax.train import auxiliary_head, lora, parameter_rules, recipes, warm_start
from surgjax.train.averaged import averaged_params
from surgjax.train.loop import LossFn
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions

LOSSES = {
    "shapes": promptable.image_loss,
    "dense": promptable.dense_loss,
    "image": promptable.image_loss,
    "clip": promptable.clip_loss,
}
_OF_VARIANT = ("version", "image_size")
_SAM2S = ("long_memory_embedding", "semantic_token", "tsl_bidirectional")
# What a model in training does differently; the exported one does not.
_TRAINING_ONLY = ("drop_path_rate", "dropout", "remat", "binarize_prompted_masks")


def variant_of(config: Any) -> variants.Sam2Config:
    """The model of `config.model`, as it is used afterwards."""
    known = ("variant", *_OF_VARIANT, *_SAM2S, *_TRAINING_ONLY)
    unknown = sorted(set(config.model) - set(known))
    if unknown:
        raise ValueError(f"config.model: {unknown} unknown; expected some of {known}.")
    asked = {name: config.model[name] for name in _OF_VARIANT if name in config.model}
    parts = {name: config.model[name] for name in _SAM2S if name in config.model}
    return variants.get_config(config.model.variant, **asked).replace(**parts)


def _in_training(config: Any, image_size: int) -> variants.Sam2Config:
    """The same model as it is trained, on pictures of some size."""
    changes = {name: config.model[name] for name in _TRAINING_ONLY if name in config.model}
    return variant_of(config).replace(**changes, image_size=image_size)


def adapters_of(config: Any) -> lora.LoraOptions | None:
    """Options of the adapters, if the recipe trains any."""
    trained = recipes.get_recipe(config.recipe).trained
    is_wanted = any(pattern.startswith(lora.NAME) for pattern in trained)
    return lora.LoraOptions(**config.lora) if is_wanted else None


def optimizer_of(config: Any) -> optax.GradientTransformation:
    """The optimizer, whose rates follow the depth of the variant's encoder."""
    blocks = sum(variant_of(config).stages)
    return train.build_optimizer(train.OptimizerOptions(**config.optim), blocks)


def prompts_of(config: Any, kind: str, size: int) -> PromptOptions:
    """How a kind of batch is prompted and what counts; the loss is at half its size by default."""
    given: dict[str, Any] = {"loss_size": size // 2} | dict(config.prompts)
    if kind == "shapes":  # they have no classes
        given |= {"auxiliary_weight": 0.0, "semantic_weight": 0.0}
    return PromptOptions(**given, weights=LossWeights(**config.loss))


def text_bank_of(config: Any) -> TextBank | None:
    """The bank that semantic tokens are compared with, where they have a loss."""
    if not config.prompts.get("semantic_weight", 0):
        return None
    if not variant_of(config).semantic_token:
        raise ValueError("config.prompts.semantic_weight: needs config.model.semantic_token.")
    if not config.get("text_bank"):
        raise ValueError(
            "config.prompts.semantic_weight: needs config.text_bank, a file, or "
            "fallback:CLASSES for rows without language."
        )
    return open_bank("config.text_bank", config.text_bank)


def exported_variant(config: Any, bank: TextBank | None) -> variants.Sam2Config:
    """The model as its weights are kept: with the text bank they were trained with, if any."""
    trained = None if bank is None else trained_bank(bank)
    return variant_of(config).replace(text_bank=trained)


def _trains_encoder(config: Any) -> bool:
    paths = parameter_rules.path_names(sam2.abstract_params(variant_of(config)))
    recipe = recipes.get_recipe(config.recipe)
    encoder = [path for path in paths if path.startswith("image_encoder/")]
    return adapters_of(config) is not None or any(recipe.trains(path) for path in encoder)


def loss_fn(config: Any, kind: str, size: int) -> LossFn:
    """`(params, batch, key) -> (loss, metrics)` for batches of one kind and size."""
    variant = _in_training(config, size)
    if not _trains_encoder(config):
        variant = variant.replace(drop_path_rate=0.0)  # it would be noise in its features alone
    model, prompts = sam2.Sam2(variant, jnp.dtype(config.dtype)), prompts_of(config, kind, size)
    loss, adapters = LOSSES[kind], adapters_of(config)
    bank = text_bank_of(config) if prompts.semantic_weight and kind != "dense" else None
    more = () if bank is None else (bank.vectors,)

    def of_model(params: Any, batch: Any, key: jax.Array):
        return loss(model, params, batch, key, prompts, *more)

    return of_model if adapters is None else lora.adapted(of_model, adapters)


def _check(params: Mapping[str, Any], variant: variants.Sam2Config, init: Any) -> None:
    """Refuses weights of another model than the variant."""

    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        return {name: leaf.shape for name, leaf in parameter_rules.named_leaves(tree).items()}

    wanted, found = shapes(sam2.abstract_params(variant)), shapes(params)
    if wanted != found:
        names = sorted(k for k in wanted | found if wanted.get(k) != found.get(k))
        first, source = names[0], "run" if init.run else "checkpoint"
        raise ValueError(
            f"config.init.{source} {init[source]}: not the weights of {variant.name!r} "
            f"{variant.version}; {len(names)} arrays differ, the first is {first}: expected "
            f"{wanted.get(first, 'none')}, found {found.get(first, 'none')}."
        )


def _given_params(config: Any) -> dict[str, Any]:
    """The weights that `init` names, with random ones for nothing but a model from nothing."""
    variant, init = variant_of(config), config.init
    if init.run and init.checkpoint:
        raise ValueError(
            f"config.init: run {init.run!r} and checkpoint {init.checkpoint!r} are both given."
        )
    if init.run:
        params, step = averaged_params(
            init.run, variant.name, keep_head=True, version=variant.version
        )
        logging.info("starting from %s, step %d", init.run, step)
        return params
    if init.checkpoint:
        loaded = checkpoints.load(init.checkpoint)
        logging.info("starting from %s, sha256 %s", loaded.source, loaded.sha256)
        return dict(loaded.params)
    if not init.from_nothing:
        raise ValueError(
            "config.init: no weights given. Fine-tuning needs --config.init.checkpoint (a file, a "
            "folder or a bundled name) or init.run; from_nothing starts from random numbers."
        )
    logging.info("starting from random numbers")
    params = sam2.init_params(variant, config.seed)
    if init.get("tie_attention", False):
        params = warm_start.tie_attention(params)
    if init.get("localise_memory", False):
        params = warm_start.localise_memory(params)
    return params


def _with_asked_parts(params: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """What SAM2S adds, where the config asks for it and the weights have none."""
    variant, found = variant_of(config), dict(params)
    held = sam2.with_parts_of(variant.replace(tsl_bidirectional=False), params)
    if config.init.get("add_semantic_token", False):
        if variant.semantic_token and not held.semantic_token:
            found, held = sam2.add_semantic_token(found, held, config.seed)
            logging.info("the semantic token is fresh")
    if config.init.get("add_long_memory_embedding", False):
        if variant.long_memory_embedding and not held.long_memory_embedding:
            found, held = checkpoints.add_long_memory_embedding(found, held)
            logging.info("the embedding of long memories starts as that of conditioning frames")
    return found


def initial_params(config: Any) -> dict[str, Any]:
    """What training starts from: a checkpoint, the mean of an earlier run, or random numbers.

    Weights without SAM2S's parts take them in only where the config says so.
    """
    variant = variant_of(config)
    params = _with_asked_parts(_given_params(config), config)
    held = {name: value for name, value in params.items() if name != auxiliary_head.NAME}
    _check(held, variant, config.init)
    if config.prompts.get("auxiliary_weight", 0) and auxiliary_head.NAME not in params:
        head = auxiliary_head.init_params(variant.hidden_dim, config.seed)
        params = {**params, auxiliary_head.NAME: head}
    adapters = adapters_of(config)
    params = params if adapters is None else lora.add(params, adapters, config.seed)
    return jax.tree.map(np.asarray, params)
