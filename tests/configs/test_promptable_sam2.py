"""The config of the bundled model: it locks, names known parts, and its whole steps trace."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.promptable_sam2 import generated_nano
from experiments.promptable_sam2.evaluation import EvaluationOptions
from surgjax.losses import LossWeights
from surgjax.models import sam2, variants
from surgjax.train import LoopOptions, OptimizerOptions, auxiliary_head, scene_batches
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions


@pytest.mark.parametrize("mode", ["full", "debug"])
def test_stages_name_kinds_that_exist(mode):
    config = ConfigDict(generated_nano.get_config(mode)).lock()
    kinds = set(config.train_data) - {"folder"}
    assert all(set(stage["shares"]) <= kinds for stage in config.stages)
    OptimizerOptions(**config.optim)
    LoopOptions(seed=config.seed, **config.loop)
    EvaluationOptions(**config.eval)
    for name in kinds:
        scene_batches.BatchOptions(**config.train_data[name])


@pytest.mark.parametrize("kind", ["dense", "image", "clip"])
def test_full_size_steps_trace_without_compute(kind):
    config = generated_nano.get_config()
    options = scene_batches.BatchOptions(**config.train_data[kind])
    variant = variants.get_config(config.model.variant, image_size=options.size)
    prompts = PromptOptions(
        **config.prompts, loss_size=options.size // 2, weights=LossWeights(**config.loss)
    )
    model, loss = sam2.Sam2(variant), getattr(promptable, f"{kind}_loss")
    b, t, o, s = options.batch, options.frames, options.objects, options.size
    batch = promptable.SceneBatch(
        frames=jax.ShapeDtypeStruct((b, t, s, s, 3), np.uint8),
        masks=jax.ShapeDtypeStruct((b, t, o, s, s), bool),
        valid=jax.ShapeDtypeStruct((b, o), bool),
        frame_index=jax.ShapeDtypeStruct((b, t), np.int32),
        classes=jax.ShapeDtypeStruct((b, t, s, s), np.uint8),
    )
    head = auxiliary_head.init_params(variant.hidden_dim, 0)
    params = {**sam2.abstract_params(variant), auxiliary_head.NAME: head}
    key = jax.eval_shape(lambda: jax.random.key(0))
    value, metrics = jax.eval_shape(lambda *a: loss(model, *a, prompts), params, batch, key)
    assert value.shape == () and "dense" in metrics
