"""Recipes on the real step of prompted images: what moves, what does not, and that LoRA learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.models import sam2, variants
from surgjax.train import build_optimizer, loop, lora, parameter_rules, recipes
from surgjax.train import state as train_state
from surgjax.train.accumulation import Accumulation
from surgjax.train.optimizers import OptimizerOptions
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions

pytestmark = pytest.mark.slow
CONFIG = variants.get_config("debug")
ADAPTERS = lora.LoraOptions(rank=4)


def _batch():
    rng = np.random.default_rng(0)
    side = CONFIG.image_size
    masks = np.zeros((2, 1, 2, side, side), bool)
    masks[:, :, 0, 8:30, 5:25] = True
    masks[:, :, 1, 30:60, 20:50] = True
    frames = 80 + 100 * masks.any(2)[..., None] + rng.integers(0, 30, (2, 1, side, side, 3))
    return promptable.SceneBatch(
        frames=frames.astype(np.uint8),
        masks=masks,
        valid=np.array([[True, True], [True, False]]),
        frame_index=np.zeros((2, 1), np.int32),
    )


@pytest.mark.parametrize("name", ["decoder_only", "lora"])
def test_steps_move_what_is_trained_and_nothing_else(name):
    options = PromptOptions(loss_size=32)
    recipe = recipes.get_recipe(name)
    params = sam2.init_params(CONFIG, 0)

    def loss_fn(params, batch, key):
        return promptable.image_loss(sam2.Sam2(CONFIG), params, batch, key, options)

    if name == "lora":
        params = lora.add(params, ADAPTERS, 0)
        loss_fn = lora.adapted(loss_fn, ADAPTERS)
    optimizer = build_optimizer(OptimizerOptions(weight_decay=0.0), sum(CONFIG.stages))
    accumulate = Accumulation(2, lambda batch: batch.valid.sum())
    step = loop.make_step(loss_fn, optimizer, 0.9, recipe=recipe, accumulate=accumulate)
    state = train_state.init_state(jax.tree.map(jnp.array, params), optimizer, 0, recipe)
    losses = []
    for _ in range(20):
        state, metrics = step(state, _batch(), np.float32(0.01))
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    for path, old, new in zip(
        parameter_rules.path_names(params),
        jax.tree.leaves(params),
        jax.tree.leaves(state.params),
        strict=True,
    ):
        if not recipe.trains(path):
            assert np.asarray(old).tobytes() == np.asarray(new).tobytes(), path
    moved = recipes.split(state.params, recipe)[0]
    before = recipes.split(params, recipe)[0]
    changed = [
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(before), strict=True)
    ]
    assert np.mean(changed) > 0.5  # what a single image reads
    if name == "lora":
        whole = lora.merge(recipes.averaged(state), ADAPTERS)
        assert jax.tree.structure(whole) == jax.tree.structure(sam2.init_params(CONFIG, 0))
