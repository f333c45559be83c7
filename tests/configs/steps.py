"""The whole train step of a config, by shapes alone."""

from typing import Any

import jax
import numpy as np

from experiments.promptable_sam2 import model_parts, running, sources
from experiments.promptable_sam2.sources import SetBatchOptions
from surgjax import train
from surgjax.data.clips import ClipBatch
from surgjax.models import sam2
from surgjax.train import auxiliary_head, lora, recipes, sharding
from surgjax.train.steps.training_clips import SceneBatch
from surgjax.train.update import make_step


def _array(shape, dtype) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def abstract_batch(
    options: sources.KindOptions, texts: int = 0, balance: bool = False
) -> ClipBatch | SceneBatch:
    """What a source of this kind hands to a step; texts: of a bank that objects are rows of."""
    b, s = options.batch, options.size
    if isinstance(options, SetBatchOptions):
        sampler = options.sampler
        t, o = (1 if options.kind == "image" else sampler["frames"]), sampler["objects"]
        return ClipBatch(
            frames_u8=_array((b, t, s, s, 3), np.uint8),
            label_maps=_array((b, t, s, s), np.uint8),
            object_valid=_array((b, o), bool),
            visible=_array((b, t, o), bool),
            is_annotated=_array((b, t), bool),
            is_long=_array((b, t), bool),
            is_reversed=_array((b,), bool),
            frame_index=_array((b, t), np.int32),
            time_s=_array((b, t), np.float32),
            category=_array((b, o), np.int32),
            set_index=_array((b,), np.int32),
            object_class=_array((b, o), np.int32) if texts else None,
            class_shares=_array((b, texts), np.float32) if balance else None,
        )
    t, o = options.frames, options.objects
    classes = None if options.kind == "shapes" else _array((b, t, s, s), np.uint8)
    return SceneBatch(
        frames=_array((b, t, s, s, 3), np.uint8),
        masks=_array((b, t, o, s, s), bool),
        valid=_array((b, o), bool),
        frame_index=_array((b, t), np.int32),
        classes=classes,
        object_class=_array((b, o), np.int32) if texts else None,
    )


def abstract_state(config: Any) -> train.TrainState:
    """The state at step 0: shapes of the variant, the head and the adapters of the config."""
    variant = model_parts.variant_of(config)
    params = sam2.abstract_params(variant)
    if config.prompts.get("auxiliary_weight", 0):
        head = auxiliary_head.init_params(variant.hidden_dim, 0)
        params = {**params, auxiliary_head.NAME: head}
    adapters, recipe = model_parts.adapters_of(config), recipes.get_recipe(config.recipe)
    optimizer = model_parts.optimizer_of(config)

    def create(params):
        params = params if adapters is None else lora.add(params, adapters, 0)
        return train.init_state(params, optimizer, config.seed, recipe)

    return jax.eval_shape(create, params)


def check_step(config: Any, kind: str) -> None:
    """Traces loss, gradients and update of a kind of batch; the state keeps its shapes."""
    options, state = running.check(config)[kind], abstract_state(config)
    step = make_step(
        model_parts.loss_fn(config, options.kind, options.size),
        model_parts.optimizer_of(config),
        config.loop.ema_decay,
        recipe=recipes.get_recipe(config.recipe),
    )
    rates = train.learning_rate_schedule(train.OptimizerOptions(**config.optim), 100)(0)
    bank, balance = model_parts.text_bank_of(config), config.prompts.get("semantic_balance", 0) > 0
    batch = abstract_batch(options, 0 if bank is None else len(bank.names), balance)
    after, metrics = jax.eval_shape(step, state, batch, rates)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert metrics["loss"].shape == () and metrics["grad_norm"].shape == ()
    sharding.ShardingOptions(**config.mesh)
