"""Temporal semantic learning in the training step: who learns from it, and that something is."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.models import sam2
from surgjax.prompts.simulated_prompts import no_prompts
from surgjax.testing import debug_config, lively_params
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.semantic_learning import semantic_truth
from surgjax.train.steps.training_clips import SceneBatch, training_clips

pytestmark = pytest.mark.usefixtures("quick_compiling")

CONFIG = debug_config().replace(semantic_token=True)
MODEL = sam2.Sam2(CONFIG)
PARAMS = lively_params(CONFIG)
TEXT = np.linalg.qr(np.random.default_rng(0).standard_normal((512, 3)))[0].T.astype(np.float32)
OPTIONS = PromptOptions(loss_size=16, semantic_weight=0.1)
SIDE = CONFIG.image_size
COLOURS = ((230, 40, 30), (30, 220, 60), (40, 60, 240))


def clips(classes, frames=2, seed=0) -> SceneBatch:
    """Blocks [B, O] in the colour of their class, which move; -1 is grey."""
    classes = np.asarray(classes, np.int32)
    rng = np.random.default_rng(seed)
    rows, objects = classes.shape
    pixels = rng.integers(90, 110, (rows, frames, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((rows, frames, objects, SIDE, SIDE), bool)
    for b in range(rows):
        for o in range(objects):
            for t in range(frames):
                y, x = 4 + 20 * o, int(rng.integers(4, 30)) + t
                masks[b, t, o, y : y + 16, x : x + 24] = True
                colour = COLOURS[classes[b, o]] if classes[b, o] >= 0 else (150, 150, 150)
                pixels[b, t, y : y + 16, x : x + 24] = colour
    index = np.tile(np.arange(frames, dtype=np.int32), (rows, 1))
    return SceneBatch(pixels, masks, np.ones((rows, objects), bool), index, object_class=classes)


@functools.cache
def step():
    """One compiled clip step for all tests: loss, metrics, gradients of token and head.

    Those of the rest would take most of the time and are not asked for.
    """

    def run(semantic, batch, key):
        params = {**PARAMS, "semantic": semantic}
        return promptable.clip_loss(MODEL, params, batch, key, OPTIONS, TEXT)

    return functools.partial(jax.jit(jax.value_and_grad(run, has_aux=True)), PARAMS["semantic"])


def largest(tree) -> float:
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def test_gradients_reach_token_projection_and_temperature_and_stop_where_there_is_no_class():
    key = jax.random.key(1)
    (loss, metrics), grads = step()(clips([[0, 1]]), key)
    for name in ("token", "norm", "mlp", "temperature"):
        assert largest(grads[name]) > 1e-6, name
    assert 0 <= float(metrics["tsl_accuracy"]) <= 1 and float(metrics["tsl"]) > 0
    # Tissue: the same clip without classes. Nothing of the head learns, and masks alone count.
    (without, none), quiet = step()(clips([[0, 1]]).replace(
        object_class=np.array([[-1, -1]], np.int32)), key)  # fmt: skip
    assert largest(quiet) == 0.0 and float(none["tsl"]) == 0.0
    assert float(loss) == pytest.approx(float(without) + 0.1 * float(metrics["tsl"]), rel=1e-5)
    # A mixed clip: the mean is over the instrument alone.
    half = clips([[0, 1]]).replace(object_class=np.array([[0, -1]], np.int32))
    other = clips([[0, 1]]).replace(object_class=np.array([[-1, 1]], np.int32))
    parts = [float(step()(batch, key)[0][1]["tsl"]) for batch in (half, other)]
    assert np.mean(parts) == pytest.approx(float(metrics["tsl"]), rel=1e-4)
    assert step().func._cache_size() == 1


def test_frames_that_do_not_show_an_object_do_not_count():
    key, batch = jax.random.key(1), clips([[0, 1]])
    gone = batch.masks.copy()
    gone[:, 1, 1] = False
    hidden = batch.replace(masks=gone)
    (_, metrics), _ = step()(hidden, key)
    (_, blank), quiet = step()(hidden.replace(masks=np.zeros_like(gone)), key)
    assert float(metrics["tsl"]) > 0
    assert float(blank["tsl"]) == 0 and largest(quiet) == 0


def test_what_is_missing_is_named():
    batch, key = clips([[0, 1]]), jax.random.key(0)
    plain = sam2.Sam2(debug_config())
    for model, given, text, message in (
        (plain, batch, TEXT, "a model with semantic_token"),
        (MODEL, batch, None, "vectors of a text bank"),
        (MODEL, batch.replace(object_class=None), TEXT, "a batch with object_class"),
    ):
        with pytest.raises(ValueError, match=message):
            promptable.clip_loss(model, PARAMS, given, key, OPTIONS, text)
    for name in ("semantic_weight", "semantic_balance"):
        with pytest.raises(ValueError, match=f"{name} of 0 or more"):
            PromptOptions(**{name: -1.0})
    balanced = dataclasses.replace(OPTIONS, semantic_balance=1.0)
    with pytest.raises(ValueError, match="class_shares of 3 texts, found none"):
        promptable.clip_loss(MODEL, PARAMS, batch, key, balanced, TEXT)


def test_the_loss_is_told_how_often_classes_are_drawn():
    found = training_clips(clips([[0, 1]]))
    balanced = dataclasses.replace(OPTIONS, semantic_balance=0.5)
    shares = np.array([[0.7, 0.2, 0.1]], np.float32)
    told = semantic_truth(MODEL, found.replace(class_shares=shares), TEXT, balanced)
    assert told is not None and told.offsets is not None
    np.testing.assert_allclose(told.offsets, 0.5 * np.log(shares[0]), rtol=1e-6)
    kept = found.replace(class_shares=shares).first(1).visited(jnp.zeros((1, 1), jnp.int32))
    np.testing.assert_array_equal(kept.class_shares, shares)
    plain = semantic_truth(MODEL, found, TEXT, OPTIONS)
    assert plain is not None and plain.offsets is None
    with pytest.raises(ValueError, match="class_shares of 3 texts, found 2"):
        semantic_truth(MODEL, found.replace(class_shares=shares[:, :2]), TEXT, balanced)


def test_objects_do_not_see_each_other():
    """Swapped objects have swapped vectors, whatever their classes."""
    batch = clips([[0, 2]], frames=1)
    pixels = promptable.normalise(jnp.asarray(batch.frames[:, 0]))

    @jax.jit
    def vectors(order):
        features = MODEL.apply({"params": PARAMS}, pixels, method="encode_image")
        rows = jax.tree.map(lambda x: jnp.repeat(x, 2, 0), features)
        args = (rows, rows.s16, jnp.asarray(batch.masks[0, 0])[order], no_prompts(2))
        return MODEL.apply({"params": PARAMS}, *args, method="mask_as_output").semantic

    there, back = vectors(jnp.array([0, 1])), vectors(jnp.array([1, 0]))
    np.testing.assert_allclose(there, back[::-1], atol=1e-5)
    assert np.abs(there[0] - there[1]).max() > 1e-3


def test_a_few_steps_tell_classes_apart():
    """Token and head alone, an object per image: three colours, three texts, new places."""
    options = dataclasses.replace(OPTIONS, semantic_weight=1.0)

    def run(semantic, batch, key):
        params = {**PARAMS, "semantic": semantic}
        _, metrics = promptable.image_loss(MODEL, params, batch, key, options, TEXT)
        return metrics["tsl"], metrics["tsl_accuracy"]

    optimizer = optax.adam(3e-3)

    @jax.jit
    def update(semantic, state, batch, key):
        (loss, accuracy), grads = jax.value_and_grad(run, has_aux=True)(semantic, batch, key)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(semantic, updates), state, loss, accuracy

    semantic = PARAMS["semantic"]
    state, accuracies = optimizer.init(semantic), []
    for number in range(30):
        classes = np.random.default_rng(number).integers(0, 3, (6, 1))
        batch = clips(classes, frames=1, seed=number)
        semantic, state, _, accuracy = update(semantic, state, batch, jax.random.key(number))
        accuracies.append(float(accuracy))
    assert np.mean(accuracies[-10:]) > 0.6, accuracies  # chance is 1/3
