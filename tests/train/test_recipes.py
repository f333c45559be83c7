"""What each recipe trains; frozen leaves stay as they are, cost no gradient and have no state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.models import sam2, variants
from surgjax.prompts.simulated_prompts import no_prompts
from surgjax.train import build_optimizer, loop, lora, parameter_rules, recipes
from surgjax.train import state as train_state
from surgjax.train.gradient_step import make_gradient_step
from surgjax.train.optimizers import OptimizerOptions
from tests.train import parameters

DEBUG = variants.get_config("debug")
OPTIONS = OptimizerOptions(lr=0.1, weight_decay=0.1)

# Share of tiny's 38,962,754 numbers that a recipe trains.
TINY = {
    "full": 38_962_242,
    "frozen_encoder": 11_743_106,
    "decoder_only": 4_215_109,
    "memory_only": 7_521_521,
}


def _names(recipe, params):
    trained, frozen = recipes.split(params, recipe)
    found = set(parameter_rules.path_names(trained)), set(parameter_rules.path_names(frozen))
    assert not found[0] & found[1]
    assert found[0] | found[1] == set(parameter_rules.path_names(params))
    return found


def _size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", TINY)
def test_what_a_recipe_trains_of_tiny(name):
    params = parameters.abstract("tiny")
    recipe = recipes.get_recipe(name)
    trained, frozen = _names(recipe, params)
    recipes.check(params, recipe)
    assert _size(recipes.split(params, recipe)[0]) == TINY[name]
    assert {"no_mem_pos_enc"} <= frozen and any("gaussian_matrix" in path for path in frozen)
    levels = {path.split("/")[0] for path in trained}
    assert ("image_encoder" in levels) == (name == "full")
    assert ("sam_mask_decoder" in levels) == (name != "memory_only")
    assert ("memory_attention" in levels) == (name != "decoder_only")


@pytest.mark.parametrize("version", variants.VERSIONS)
def test_recipes_fit_both_versions(version):
    params = parameters.abstract("tiny", version)
    for name in TINY:
        recipes.check(params, recipes.get_recipe(name))


def test_patterns_of_one_s_own():
    params = parameters.abstract("debug")
    recipe = recipes.get_recipe(["image_encoder/*", "sam_mask_decoder/*"])
    levels = {path.split("/")[0] for path in _names(recipe, params)[0]}
    assert levels == {"image_encoder", "sam_mask_decoder"}


def test_overlay_undoes_split():
    params = parameters.drawn()
    trained, frozen = recipes.split(params, recipes.get_recipe("memory_only"))
    whole = recipes.overlay(frozen, trained)
    assert jax.tree.structure(whole) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, whole, params)


def _every_leaf(params, batch, key):
    """A loss that pulls at every leaf."""
    del key
    return sum(jnp.square(leaf - batch).mean() for leaf in jax.tree.leaves(params)), {}


def _small():
    """One leaf of every part of the model, with a zero of negative sign in it."""
    keep = recipes.get_recipe(
        [
            "image_encoder/neck/convs_0/conv/*",
            "memory_attention/norm/*",
            "sam_mask_decoder/conv_s0/*",
            "sam_prompt_encoder/no_mask_embed/*",
            "no_mem_embed",
        ]
    )
    tree = recipes.split(parameters.drawn(), keep)[0]
    return jax.tree.map(lambda x: np.where(np.arange(x.size).reshape(x.shape) == 1, -0.0, x), tree)


@pytest.mark.parametrize("name", TINY)
def test_frozen_leaves_are_bit_identical_after_steps(name):
    recipe, optimizer = recipes.get_recipe(name), build_optimizer(OPTIONS)
    before = _small()
    step = loop.make_step(_every_leaf, optimizer, 0.9, recipe=recipe)
    start = jax.tree.map(jnp.array, before)
    state = train_state.init_state(start, optimizer, 0, recipe)
    for _ in range(3):
        state, _ = step(state, np.float32(0.3), np.float32(0.1))
    assert jax.tree.structure(state.params) == jax.tree.structure(before)
    for path, old, new, mean in zip(
        parameter_rules.path_names(before),
        jax.tree.leaves(before),
        jax.tree.leaves(state.params),
        jax.tree.leaves(recipes.averaged(state)),
        strict=True,
    ):
        same = old.tobytes() == np.asarray(new).tobytes()
        assert same == (not recipe.trains(path)), path
        assert (old.tobytes() == np.asarray(mean).tobytes()) == same, path


@pytest.mark.parametrize("name", TINY)
def test_state_is_of_what_is_trained(name):
    params = parameters.abstract("tiny")
    recipe, optimizer = recipes.get_recipe(name), build_optimizer(OPTIONS)
    state = jax.eval_shape(lambda p: train_state.init_state(p, optimizer, 0, recipe), params)
    assert _size(state.ema_params) == TINY[name]
    assert _size(state.opt_state) == 2 * TINY[name] + 1  # two moments and a count
    assert _size(state.params) == 38_962_754


def _products(function, *arguments):
    text = str(jax.make_jaxpr(function)(*arguments))
    return text.count("dot_general[")


def test_frozen_leaves_cost_no_gradient():
    """Two layers: each takes a product forward, and one for its kernel and its input backward."""
    params = {
        "image_encoder": {"kernel": jnp.ones((4, 5))},
        "sam_mask_decoder": {"kernel": jnp.ones((5, 3))},
    }

    def loss(params, batch, key):
        x = jnp.tanh(batch @ params["image_encoder"]["kernel"])
        return jnp.square(x @ params["sam_mask_decoder"]["kernel"]).sum(), {}

    optimizer = build_optimizer(OPTIONS)

    def count(name):
        recipe = recipes.get_recipe(name)
        step = make_gradient_step(loss, optimizer, recipe)
        state = optimizer.init(recipes.split(params, recipe)[0])
        return _products(step, params, state, jnp.ones((2, 4)), jax.random.key(0), 0.1)

    assert count("full") == 2 + 3  # none for the input of the first layer
    assert count("frozen_encoder") == 2 + 1


def test_memory_only_leaves_answers_on_images_as_they_were():
    """What it trains does not enter the program of a prompted image."""
    model, side = sam2.Sam2(DEBUG), DEBUG.image_size

    def answer(params):
        def run(m):
            features = m.encode_image(jnp.zeros((1, side, side, 3)))
            s16, quarter = m.add_no_memory(features.s16), side // 4
            mask = jnp.zeros((1, quarter, quarter))
            raw = m.decode(features, s16, no_prompts(1), mask, jnp.zeros(1, bool))
            chosen = m.select(raw, jnp.ones(1, bool), False)
            return chosen.low_res, chosen.iou

        return model.apply({"params": params}, method=run)

    params = parameters.abstract("debug")
    jaxpr = jax.make_jaxpr(answer)(params).jaxpr
    # A variable that nothing needs is not an input of any equation that is left.
    from jax.interpreters import partial_eval

    _, is_used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    used = dict(zip(parameter_rules.path_names(params), is_used, strict=True))
    recipe = recipes.get_recipe("memory_only")
    assert not [path for path, is_read in used.items() if is_read and recipe.trains(path)]
    assert used["sam_mask_decoder/conv_s0/kernel"] and used["no_mem_embed"]


def test_what_cannot_be_is_refused():
    params = parameters.abstract("debug")
    with pytest.raises(ValueError, match="'half': expected one of"):
        recipes.get_recipe("half")
    with pytest.raises(ValueError, match="'image_encodr/.' matches no parameter"):
        recipes.check(params, recipes.get_recipe(["image_encodr/*", "sam_mask_decoder/*"]))
    with pytest.raises(ValueError, match="none of .* is left to train .train.lora.add"):
        recipes.check(params, recipes.get_recipe("lora"))
    with pytest.raises(ValueError, match="is left to train"):
        recipes.check(params, recipes.get_recipe(["no_mem_pos_enc"]))


def test_the_summary_counts():
    params = parameters.abstract("tiny")
    text = recipes.summary(params, recipes.get_recipe("decoder_only"))
    assert text.startswith("recipe decoder_only: 4,215,109 of 38,962,754 parameters are trained")


def test_lora_recipe_trains_the_adapters_alone():
    params = lora.add(parameters.drawn(), lora.LoraOptions(rank=2), 0)
    trained, _ = recipes.split(params, recipes.get_recipe("lora"))
    assert set(trained) == {"lora"}
