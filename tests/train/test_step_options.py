"""Switches of the step: what is recomputed, dropped, summed; what a config may not say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.encoders.hiera import MultiScaleBlock
from surgjax.layers.rematerialisation import POLICIES, rematerialise
from surgjax.models import sam2, variants
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions, sam2_finetuning
from tests.train.step_goldens import CONFIG, scene_batch, weights


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("in_scan", [False, True])
def test_recomputed_functions_have_the_same_gradient(policy, in_scan):
    def function(x):
        return jnp.sin(x @ jnp.full((3, 3), 0.5)).sum()

    x = jnp.arange(6.0).reshape(2, 3)
    changed = rematerialise(function, policy, in_scan)
    np.testing.assert_allclose(jax.grad(changed)(x), jax.grad(function)(x), rtol=1e-6)


def test_what_is_kept_differs_by_policy():
    def function(w, x):
        return jnp.sin(jnp.sin(jnp.sin(x @ w) @ w) @ w).sum()

    def products(policy):
        changed = jax.grad(rematerialise(function, policy), (0, 1))
        args = jnp.ones((3, 3)), jnp.ones((2, 3))
        return str(jax.make_jaxpr(changed)(*args)).count("dot_general")

    assert products("full") > products("dots") == products("none")


def test_options_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="remat: one of .*found 'some'"):
        PromptOptions(remat="some")
    with pytest.raises(ValueError, match="loss_size of 1 or more"):
        PromptOptions(loss_size=0)
    with pytest.raises(ValueError, match="mask_prompt_limit above 0"):
        PromptOptions(mask_prompt_limit=0.0)


def test_the_public_recipe():
    options = sam2_finetuning(512, corrections=3)
    assert (options.loss_size, options.corrections, options.slots) == (512, 3, 5)
    assert options.mask_probability == options.box_probability == 0.5
    assert options.remembered_conditioning == 2 and options.sum_frames
    assert dataclasses.replace(options, corrections=0).remembered_conditioning == 2
    assert PromptOptions(corrected_frames=3).remembered_conditioning == 1


def _block(rate):
    block = MultiScaleBlock(8, 8, 1, 4, False, rate)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((400, 4, 4, 8)), jnp.float32)
    return block, block.init(jax.random.key(0), x[:1]), x


def test_dropped_paths_are_whole_rows_and_keep_the_mean():
    rate = 0.3
    block, params, x = _block(rate)
    whole = block.apply(params, x)
    np.testing.assert_array_equal(block.apply(params, x, False), whole)  # off without a word
    drop = jax.jit(lambda key: block.apply(params, x, True, rngs={"dropout": key}))
    one, two = drop(jax.random.key(1)), drop(jax.random.key(2))
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, drop(jax.random.key(1)))
    still = np.array(one == x).reshape(len(x), -1)
    assert (still.all(1) == still.any(1)).mean() > 0.99  # a row is dropped whole
    # Both branches of a block: a row stays as it is with probability rate^2.
    assert abs(still.all(1).mean() - rate**2) < 4 * np.sqrt(rate**2 * (1 - rate**2) / len(x))


def test_the_rate_grows_with_depth_and_needs_a_key():
    config = CONFIG.replace(drop_path_rate=0.2)
    model, frames = sam2.Sam2(config), jnp.zeros((1, 64, 64, 3))
    bound = model.bind({"params": weights()})
    rates = [block.drop_path for block in bound.image_encoder.trunk.blocks]
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.15, 0.2])
    with pytest.raises(Exception, match="dropout"):
        model.apply({"params": weights()}, frames, True, method="encode_image")


def test_the_step_hands_the_encoder_its_keys():
    frames = scene_batch(2, (0, 1), 3).frames[0]
    variables = {"params": weights()}

    def features(rate, key, remat=False):
        model = sam2.Sam2(CONFIG.replace(drop_path_rate=rate, remat=remat))
        return np.array(promptable.encode(model, variables, frames, jax.random.key(key)).s16)

    np.testing.assert_array_equal(features(0.0, 0), features(0.0, 1))
    assert not np.array_equal(features(0.5, 0), features(0.5, 1))
    np.testing.assert_array_equal(features(0.5, 0), features(0.5, 0))
    np.testing.assert_allclose(features(0.5, 0), features(0.5, 0, remat=True), atol=1e-5)


def _step(options, dtype=jnp.float32, **changes):
    model, batch = sam2.Sam2(CONFIG.replace(**changes), dtype), scene_batch(3, (0, 1, 2), 3)

    @jax.jit
    def step(params):
        def loss(params):
            return promptable.clip_loss(model, params, batch, jax.random.key(3), options)[0]

        return jax.value_and_grad(loss)(params)

    loss, grads = step(weights())
    return float(loss), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(grads)])


@pytest.mark.slow
def test_recomputed_steps_and_bfloat16():
    """One body for all frames, recomputed, gives what one that keeps everything gives."""
    options = PromptOptions(mask_probability=0.5, corrections=1, loss_size=32)
    loss, grads = _step(options)
    for policy in ("full", "dots_no_batch"):
        again, found = _step(dataclasses.replace(options, remat=policy), remat=policy == "full")
        assert again == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(found, grads, atol=1e-4 * np.abs(grads).max())
    half, found = _step(dataclasses.replace(options, remat="full"), jnp.bfloat16)
    assert half == pytest.approx(loss, rel=0.05) and np.isfinite(found).all()
    cosine = found @ grads / np.linalg.norm(found) / np.linalg.norm(grads)
    assert cosine > 0.95


@pytest.mark.slow
def test_a_step_of_a_model_that_drops_paths_and_memory():
    options = PromptOptions(loss_size=32, memory_dropout=True)
    loss, grads = _step(options, drop_path_rate=0.2)
    assert np.isfinite(loss) and np.isfinite(grads).all()
    other, _ = _step(PromptOptions(loss_size=32))
    assert other != pytest.approx(loss, rel=1e-4)


def test_variants_keep_everything_and_drop_nothing_by_default():
    assert all(not c.remat and c.drop_path_rate == 0 for c in variants.VARIANTS.values())


@pytest.mark.slow
def test_the_embedding_of_long_memories_learns_from_long_range_frames_alone():
    """Frame 1 of three lies 20 frames back where frame 2 reads it; one program for both cases."""
    config = CONFIG.replace(long_memory_embedding=True)
    params = weights() | {"long_tpos_enc": weights()["maskmem_tpos_enc"][-1:]}
    model, batch = sam2.Sam2(config), scene_batch(3, (0, 20, 40), 1)
    options = PromptOptions(loss_size=16, memory="hybrid")
    clips = promptable.training_clips(batch)

    def loss(embedding, is_long):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(promptable, "training_clips", lambda _: clips.replace(is_long=is_long))
            changed = params | {"long_tpos_enc": embedding}
            return promptable.clip_loss(model, changed, batch, jax.random.key(0), options)[0]

    gradient = jax.jit(jax.grad(loss))
    second = np.broadcast_to(np.arange(3) == 1, clips.is_long.shape)
    embedding = params["long_tpos_enc"]
    assert float(jnp.abs(gradient(embedding, jnp.asarray(second))).sum()) > 0
    assert float(jnp.abs(gradient(embedding, jnp.zeros_like(second))).sum()) == 0
