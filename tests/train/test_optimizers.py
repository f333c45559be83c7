"""Options, clipping, rates as inputs of the compiled step; torch's AdamW where it is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.train import loop, optimizers, parameter_rules, recipes, schedules
from surgjax.train import state as train_state
from surgjax.train.optimizers import OptimizerOptions, build_optimizer, learning_rate_schedule
from tests.train import parameters

TREE = {
    "image_encoder": {"neck": {"convs_0": {"conv": {"kernel": np.ones((2, 3), np.float32)}}}},
    "no_mem_embed": np.ones((1, 1, 4), np.float32),
}

TRUNK = "image_encoder/trunk/"
PATHS = (  # of the `debug` variant, whose trunk has 5 blocks; one or more for every rule
    TRUNK + "pos_embed",
    TRUNK + "patch_embed/proj/kernel",
    TRUNK + "blocks_0/attn/qkv/bias",
    TRUNK + "blocks_4/attn/qkv/kernel",
    TRUNK + "blocks_4/norm1/scale",
    "image_encoder/neck/convs_0/conv/kernel",
    "memory_encoder/fuser/layers_0/gamma",
    "memory_encoder/fuser/layers_0/norm/scale",
    "memory_attention/norm/scale",
    "no_mem_embed",
    "sam_prompt_encoder/point_embeddings_0/embedding",
    "sam_mask_decoder/output_upscaling_1/scale",
)


def _drawn(seed):
    """A tree of these paths, with the shapes of `debug`."""
    everything = parameters.drawn("debug", seed)
    return recipes.split(everything, recipes.get_recipe(PATHS))[0]


def _loss(params, batch, key):
    del key
    loss = sum(jnp.square(leaf - batch).sum() for leaf in jax.tree.leaves(params))
    return loss, {}


def test_clipping_by_hand():
    clip = optimizers.clip_by_global_norm(1.0)
    updates = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    clipped, _ = clip.update(updates, clip.init(updates))
    np.testing.assert_allclose([clipped["a"][0], clipped["b"][0]], [0.6, 0.8], rtol=1e-6)
    short = {"a": jnp.array([0.3]), "b": jnp.array([0.4])}
    kept, _ = clip.update(short, clip.init(short))
    np.testing.assert_array_equal(kept["a"], short["a"])


def test_reference_schedule_by_hand():
    options = OptimizerOptions(
        lr=5e-6, final_lr=5e-7, encoder_lr=3e-6, encoder_final_lr=3e-7, warmup_steps=0
    )
    rates = learning_rate_schedule(options, 4)
    # half a cosine: shares 1, 0.8536, 0.5 of the way between the two rates
    found = [(float(rates(s)["base"]), float(rates(s)["image_encoder"])) for s in (0, 1, 2)]
    np.testing.assert_allclose(
        found, [(5e-6, 3e-6), (4.34099e-6, 2.60459e-6), (2.75e-6, 1.65e-6)], rtol=1e-5
    )


def test_the_encoder_s_final_rate_keeps_the_ratio():
    options = OptimizerOptions(lr=1e-3, final_lr=1e-4, encoder_lr=5e-4, warmup_steps=0)
    rates = learning_rate_schedule(options, 10)(10)
    np.testing.assert_allclose([rates["base"], rates["image_encoder"]], [1e-4, 5e-5], rtol=1e-5)


def test_groups_move_at_their_rates():
    updates = schedules.scale_by_rates(TREE, {"base": 0.5, "image_encoder": 0.25})
    assert {float(leaf.flat[0]) for leaf in map(np.asarray, jax.tree.leaves(updates))} == {
        0.5,
        0.25,
    }
    np.testing.assert_array_equal(updates["no_mem_embed"], 0.5 * TREE["no_mem_embed"])


def test_another_schedule_compiles_nothing_anew():
    optimizer = build_optimizer(OptimizerOptions(layer_decay=0.9, decays="sam2"), 12)
    step = loop.make_step(_loss, optimizer, 0.9)
    state = train_state.init_state(jax.tree.map(jnp.asarray, TREE), optimizer, 0)
    for lr, steps in ((1e-2, 3), (3e-3, 7)):
        options = OptimizerOptions(lr=lr, final_lr=lr / 5, encoder_lr=lr / 2)
        rates = learning_rate_schedule(options, steps)
        for number in range(steps):
            now = jax.tree.map(np.float32, rates(number))
            state, _ = step(state, np.zeros((), np.float32), now)
    assert step._cache_size() == 1


def test_layer_decay_scales_updates_and_only_those_of_the_trunk():
    params = _drawn(0)
    assert parameter_rules.path_names(params) == sorted(PATHS)
    grads = jax.tree.map(jnp.ones_like, params)

    def updates(layer_decay):
        options = OptimizerOptions(layer_decay=layer_decay, weight_decay=0.0)
        optimizer = build_optimizer(options, 5)
        return jax.jit(lambda g: optimizer.update(g, optimizer.init(params), params)[0])(grads)

    ratio = jax.tree.map(lambda a, b: float((a / b).mean()), updates(0.5), updates(1.0))
    found = dict(zip(parameter_rules.path_names(ratio), jax.tree.leaves(ratio), strict=True))
    scaled = {
        TRUNK + "patch_embed/proj/kernel": 0.5**6,
        TRUNK + "blocks_0/attn/qkv/bias": 0.5**5,
        TRUNK + "blocks_4/attn/qkv/kernel": 0.5,
        TRUNK + "blocks_4/norm1/scale": 0.5,
    }
    assert found == pytest.approx({name: scaled.get(name, 1.0) for name in PATHS})


def test_muon_takes_rates_per_group_too():
    params = {"image_encoder": {"neck": {"convs_0": {"conv": {"kernel": jnp.ones((32, 64))}}}}}
    optimizer = build_optimizer(OptimizerOptions(name="muon", layer_decay=0.9), 12)
    grads = jax.tree.map(lambda p: jnp.arange(p.size, dtype=p.dtype).reshape(p.shape), params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    moved = schedules.scale_by_rates(updates, {"base": 1.0, "image_encoder": 0.0})
    assert np.any(jax.tree.leaves(updates)[0]) and not np.any(jax.tree.leaves(moved)[0])


def test_bfloat16_parameters_stay_so():
    params = {"no_mem_embed": jnp.ones(4, jnp.bfloat16)}
    assert schedules.scale_by_rates(params, np.float32(0.1))["no_mem_embed"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(name="sgd"), "name: expected one of"),
        (dict(lr=0.0), "lr: expected above 0, found 0.0"),
        (dict(layer_decay=1.2), "layer_decay: expected above 0, at most 1"),
        (dict(decays="all"), "decays: expected one of"),
        (dict(name="muon", decays="sam2"), "'kernels' with muon"),
        (dict(encoder_final_lr=1e-6), "None where encoder_lr is None"),
    ],
)
def test_options_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        OptimizerOptions(**changes)


def test_layer_decay_without_the_trunk_s_length_is_refused():
    with pytest.raises(ValueError, match="needs trunk_blocks"):
        build_optimizer(OptimizerOptions(layer_decay=0.9))


def test_one_step_of_torch_adamw(require_torch):
    torch = require_torch
    params, grads, blocks = _drawn(0), _drawn(1), 5
    options = OptimizerOptions(
        lr=0.02, layer_decay=0.9, decays="sam2", weight_decay=0.1, clip_norm=0.1, b2=0.999
    )
    optimizer = build_optimizer(options, blocks)

    def ours(params, grads):
        changes, _ = optimizer.update(grads, optimizer.init(params), params)
        return optax.apply_updates(params, schedules.scale_by_rates(changes, options.lr))

    found = jax.jit(ours)(params, grads)
    told = parameter_rules.treatments(params, blocks, 0.9)
    leaves = [torch.nn.Parameter(torch.tensor(x)) for x in jax.tree.leaves(params)]
    for leaf, grad in zip(leaves, jax.tree.leaves(grads), strict=True):
        leaf.grad = torch.tensor(grad)
    groups = [
        dict(params=[leaf], lr=options.lr * what.scale, weight_decay=0.1 * what.decays)
        for leaf, what in zip(leaves, told.values(), strict=True)
    ]
    torch.nn.utils.clip_grad_norm_(leaves, options.clip_norm)
    torch.optim.AdamW(groups, betas=(options.b1, options.b2), eps=options.eps).step()
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(found), leaves, told, strict=True)
    for before, after, want, name in pairs:
        np.testing.assert_allclose(
            after - before, want.detach().numpy() - before, rtol=1e-4, atol=1e-6, err_msg=name
        )
