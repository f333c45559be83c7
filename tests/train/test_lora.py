"""Adapters: nothing at first, low-rank changes, merged for export, training them alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.checkpoints import export_official
from surgjax.models import variants
from surgjax.train import build_optimizer, loop, lora, parameter_rules, recipes
from surgjax.train import state as train_state
from surgjax.train.lora import LoraOptions
from surgjax.train.optimizers import OptimizerOptions
from tests.train import parameters

DEBUG = variants.get_config("debug")
QKV = "image_encoder/trunk/blocks_1/attn/qkv"


def _leaf(tree, path):
    for level in path.split("/"):
        tree = tree[level]
    return tree


def test_nothing_changes_at_first_and_the_model_s_own_tree_comes_back():
    params = parameters.drawn()
    options = LoraOptions(rank=2)
    merged = lora.merge(lora.add(params, options, 0), options)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, merged, params)


def test_the_change_is_alpha_over_r_times_the_product():
    params = parameters.drawn()
    options = LoraOptions(rank=2, alpha=6.0)
    adapted = lora.add(params, options, 0)
    adapter = _leaf(adapted["lora"], QKV)
    rng = np.random.default_rng(0)
    adapter["b"] = rng.normal(0, 1, adapter["b"].shape).astype(np.float32)
    change = _leaf(lora.merge(adapted, options), QKV)["kernel"] - _leaf(params, QKV)["kernel"]
    np.testing.assert_allclose(change, 3.0 * adapter["a"] @ adapter["b"], rtol=1e-4, atol=1e-5)
    assert np.linalg.matrix_rank(change, tol=1e-4) == 2


def test_convolutions_are_matrices_of_their_inputs():
    modules = ("image_encoder/neck/convs_0/conv", "sam_mask_decoder/output_upscaling_0",
               "image_encoder/trunk/patch_embed/proj")  # fmt: skip
    params = parameters.drawn()
    options = LoraOptions(rank=2, modules=modules)
    adapted = lora.add(params, options, 0)
    for module, rows in zip(modules, (64, 32, 7 * 7 * 3), strict=True):
        kernel, adapter = _leaf(params, module)["kernel"], _leaf(adapted["lora"], module)
        assert adapter["a"].shape == (rows, 2) and adapter["b"].shape == (2, kernel.size // rows)
    merged = lora.merge(adapted, options)
    assert jax.tree.map(np.shape, merged) == jax.tree.map(np.shape, params)


def test_the_default_takes_the_attention_of_the_whole_model():
    params = parameters.abstract("tiny")
    adapted = lora.add(params, LoraOptions(rank=8), 0)
    names = parameter_rules.path_names(adapted["lora"])
    modules = {name.rpartition("/")[0] for name in names}
    per_part = [sum(m.startswith(part) for m in modules)
                for part in ("image_encoder", "memory_attention", "sam_mask_decoder")]  # fmt: skip
    assert per_part == [12 * 2, 4 * 8, 4 * (2 * 3 + 1)]
    sizes = sum(leaf.size for leaf in jax.tree.leaves(adapted["lora"]))
    assert sizes == 433_408


def test_a_start_depends_on_its_own_module_and_the_seed_only():
    params = parameters.drawn()
    wide = _leaf(lora.add(params, LoraOptions(rank=2), 3)["lora"], QKV)["a"]
    alone = lora.add(params, LoraOptions(rank=2, modules=(QKV,)), 3)["lora"]
    np.testing.assert_array_equal(_leaf(alone, QKV)["a"], wide)
    assert len(jax.tree.leaves(alone)) == 2
    other = _leaf(lora.add(params, LoraOptions(rank=2), 4)["lora"], QKV)["a"]
    assert not np.array_equal(other, wide)


def _encode_loss(params, batch, key):
    """A stand-in for a step: two of the model's kernels in a row."""
    del key
    block = params["image_encoder"]["trunk"]["blocks_0"]["attn"]
    y = batch @ block["qkv"]["kernel"][:, :8]
    return jnp.mean(jnp.square(y @ block["proj"]["kernel"] - 1.0)), {}


def test_training_moves_adapters_only_and_the_merged_model_has_what_was_learnt():
    options = LoraOptions(rank=2, modules=("image_encoder/trunk/blocks_0/attn/*",))
    params = lora.add(parameters.drawn(), options, 0)
    keep = recipes.get_recipe(["image_encoder/trunk/blocks_0/attn/*", "lora/*", "no_mem_embed"])
    params = recipes.split(params, keep)[0]
    recipe = recipes.get_recipe("lora")
    optimizer = build_optimizer(OptimizerOptions(decays="sam2"), 5)
    step = loop.make_step(lora.adapted(_encode_loss, options), optimizer, 0.9, recipe=recipe)
    state = train_state.init_state(jax.tree.map(jnp.array, params), optimizer, 0, recipe)
    batch = np.random.default_rng(0).normal(0, 1, (16, 8)).astype(np.float32)
    losses = []
    for _ in range(30):
        state, metrics = step(state, batch, np.float32(0.03))
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.8 * losses[0]
    own = {name: tree for name, tree in state.params.items() if name != "lora"}
    jax.tree.map(np.testing.assert_array_equal, own, {k: params[k] for k in own})
    assert jax.tree.structure(state.ema_params) == jax.tree.structure({"lora": params["lora"]})
    loss, _ = _encode_loss(lora.merge(state.params, options), batch, None)
    assert float(loss) <= losses[-1] * 1.05


def test_export_of_a_merged_model_is_the_ordinary_one():
    options = LoraOptions(rank=2)
    params = lora.add(parameters.drawn(), options, 0)
    _leaf(params["lora"], QKV)["b"] += 1.0
    exported = export_official(jax.tree.map(np.asarray, lora.merge(params, options)), DEBUG)
    name = "image_encoder.trunk.blocks.1.attn.qkv.weight"
    change = exported[name].T - _leaf(params, QKV)["kernel"]
    adapter = _leaf(params["lora"], QKV)
    np.testing.assert_allclose(change, 8.0 * adapter["a"] @ adapter["b"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(modules=("image_encoder/*/qvk",)), "no module with a kernel has such a path"),
        (dict(rank=9), "lora rank 9 exceeds that of .* 8 x"),
    ],
)
def test_adapters_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        lora.add(parameters.abstract("debug"), LoraOptions(**options), 0)


def test_misuse_is_refused():
    params = parameters.drawn()
    adapted = lora.add(params, LoraOptions(rank=2), 0)
    with pytest.raises(ValueError, match="have adapters already"):
        lora.add(adapted, LoraOptions(rank=2), 0)
    with pytest.raises(ValueError, match=r"lora rank 4, but the adapters have \[2\]"):
        lora.merge(adapted, LoraOptions(rank=4))
    with pytest.raises(ValueError, match="no adapters among these"):
        lora.merge(params, LoraOptions(rank=2))
    lost = {**adapted, "image_encoder": {}}
    with pytest.raises(ValueError, match="do not fit the parameters"):
        lora.merge(lost, LoraOptions(rank=2))
    with pytest.raises(ValueError, match="lora rank: expected 1 or more"):
        LoraOptions(rank=0)
