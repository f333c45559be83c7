"""The training step of prompted images and clips: values of its parts, shapes of the whole."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.losses import ArlOptions, LossWeights
from surgjax.models import sam2, variants
from surgjax.prompts.simulated_prompts import no_prompts
from surgjax.structs import DecoderOutput
from surgjax.train.steps import promptable, prompted_frame
from surgjax.train.steps.clip_visits import Stepper
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.training_clips import FrameTruth, SceneBatch, per_object

CONFIG = variants.get_config("debug")
SIDE = CONFIG.image_size


def _batch(frames=1, objects=2, batch=2):
    masks = np.zeros((batch, frames, objects, SIDE, SIDE), bool)
    for t in range(frames):
        for o in range(objects):
            masks[:, t, o, 8 + 8 * o : 30 + 8 * o, 5 + t : 25 + t] = True
    return SceneBatch(
        frames=np.full((batch, frames, SIDE, SIDE, 3), 90, np.uint8),
        masks=masks,
        valid=np.ones((batch, objects), bool),
        frame_index=np.tile(np.arange(frames, dtype=np.int32), (batch, 1)),
    )


def _abstract_loss(loss, batch, options):
    model = sam2.Sam2(CONFIG)

    def grads(params, batch, key):
        return jax.value_and_grad(lambda p: loss(model, p, batch, key, options), has_aux=True)(
            params
        )

    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(grads, sam2.abstract_params(CONFIG), batch, key)


def test_loss_counts_the_rule_s_masks_fully_and_the_others_less():
    targets = jnp.zeros((1, 16, 16), bool).at[:, 4:12, 4:12].set(True)
    right = jnp.where(targets, 20.0, -20.0)
    output = DecoderOutput(
        mask_logits=jnp.stack([right, -right, -right, -right], 1),
        ious=jnp.array([[1.0, 0.0, 0.0, 0.0]]),
        object_score=jnp.array([30.0]),
        tokens=jnp.zeros((1, 4, 8)),
    )
    options = PromptOptions(loss_size=16, other_mask_weight=0.0)
    truth = FrameTruth(targets, None, jnp.ones(1))

    def loss(multimask, options):
        rule = jnp.array([multimask])
        total, _ = prompted_frame.decoder_loss(output, truth, rule, options)
        return float(total)

    assert loss(False, options) == pytest.approx(0.0, abs=1e-4)
    assert loss(True, options) > 20
    half = dataclasses.replace(options, other_mask_weight=0.5)
    assert loss(False, half) == pytest.approx(0.5 * loss(True, options), rel=1e-4)


def _decoded(seed=0, rows=3):
    rng = np.random.default_rng(seed)
    return DecoderOutput(
        mask_logits=jnp.asarray(rng.normal(0, 2, (rows, 4, 16, 16)), jnp.float32),
        ious=jnp.asarray(rng.random((rows, 4)), jnp.float32),
        object_score=jnp.asarray(rng.normal(0, 2, rows), jnp.float32),
        tokens=jnp.zeros((rows, 4, 8)),
    )


def test_unknown_pixels_have_no_part_in_the_loss_and_the_mean_is_over_the_others():
    options = PromptOptions(loss_size=16, other_mask_weight=0.5)
    output, rng = _decoded(), np.random.default_rng(1)
    masks = jnp.asarray(rng.random((3, 16, 8)) < 0.4)
    rule = jnp.array([True, False, True])

    def loss(logits, masks, known, size=16):
        truth = FrameTruth(masks, known, jnp.ones(3))
        sized = dataclasses.replace(options, loss_size=size)
        seen = output.replace(mask_logits=logits)
        return prompted_frame.decoder_loss(seen, truth, rule, sized)[0]

    # The right half is unknown; logits there are anything.
    known = jnp.ones((3, 16, 16), bool).at[:, :, 8:].set(False)
    whole = jnp.concatenate([masks, jnp.zeros_like(masks)], -1)
    value, grad = jax.value_and_grad(loss)(output.mask_logits, whole, known)
    other = output.mask_logits.at[..., 8:].set(7.0)
    assert float(loss(other, whole, known)) == pytest.approx(float(value), rel=1e-6)
    assert not np.array(grad[..., 8:]).any() and np.array(grad[..., :8]).any()
    assert float(loss(output.mask_logits, whole, None)) != pytest.approx(float(value), rel=1e-3)
    # Twice the left half has the same means as the left half alone.
    twice = jnp.concatenate([masks] * 2, -1)
    mirrored = jnp.concatenate([output.mask_logits[..., :8]] * 2, -1)
    terms = [
        prompted_frame.mask_terms(logits, output.ious, m.astype(jnp.float32), options.weights)
        for logits, m in ((mirrored, twice), (output.mask_logits[..., :8], masks))
    ]
    np.testing.assert_allclose(terms[0].focal, terms[1].focal, rtol=1e-6)
    parts = prompted_frame.decoder_loss(
        output, FrameTruth(whole, known, jnp.ones(3)), rule, options
    )[1]
    half = prompted_frame.prompted_mask_loss(
        terms[1], output.object_score, masks.any((-2, -1)),
        jnp.where(rule[:, None], jnp.arange(4)[None] > 0, jnp.arange(4)[None] == 0),
        jnp.ones(3), options.weights,
    )[1]  # fmt: skip
    for name in ("focal", "dice", "iou", "object_score"):
        assert float(parts[name]) == pytest.approx(float(half[name]), rel=1e-5), name


def test_soft_labels_of_a_config_reach_the_focal_part_alone():
    soft = PromptOptions(loss_size=16, weights=LossWeights(arl=ArlOptions(sigma=32.0)))  # 1 px
    hard = PromptOptions(loss_size=16)
    output, rng, rule = _decoded(), np.random.default_rng(1), jnp.array([True, False, True])
    masks = jnp.asarray(rng.random((3, 16, 16)) < 0.4)
    known = jnp.ones((3, 16, 16), bool).at[:, :, 8:].set(False)

    def parts(options, logits=output.mask_logits, masks=masks, known=known):
        truth = FrameTruth(masks & known, known, jnp.ones(3))
        seen = output.replace(mask_logits=logits)
        return prompted_frame.decoder_loss(seen, truth, rule, options)[1]

    one, other = parts(soft), parts(hard)
    assert float(one["object_score"]) == float(other["object_score"])
    assert abs(float(one["focal"]) - float(other["focal"])) > 1e-3
    # What is unknown has no say: neither logits there nor, through the softening, masks.
    same = parts(soft, output.mask_logits.at[..., 8:].set(7.0), masks.at[..., 8:].set(True))
    assert float(same["focal"]) == pytest.approx(float(one["focal"]), rel=1e-6)
    alone = dataclasses.replace(soft, loss_size=16, weights=LossWeights(arl=ArlOptions(0.0)))
    assert float(parts(alone)["focal"]) == float(other["focal"])


@pytest.mark.parametrize("size", [8, 16])
def test_a_truth_that_is_known_everywhere_is_one_without_unknown_pixels(size):
    masks = jnp.asarray(np.random.default_rng(3).random((3, 16, 16)) < 0.5)
    known = jnp.ones_like(masks)
    small, seen = prompted_frame.loss_targets(FrameTruth(masks, known, jnp.ones(3)), size)
    want, none = prompted_frame.loss_targets(FrameTruth(masks, None, jnp.ones(3)), size)
    np.testing.assert_array_equal(small, want)
    assert none is None and np.array(seen).all()


def test_masks_blanked_where_the_object_score_is_negative():
    truth = FrameTruth(jnp.ones((3, 16, 16), bool), None, jnp.ones(3))
    output = _decoded().replace(object_score=jnp.array([2.0, -2.0, 1.0]))

    def grad(blank):
        options = PromptOptions(loss_size=16, blank_absent=blank)

        def loss(logits):
            seen = output.replace(mask_logits=logits)
            return prompted_frame.decoder_loss(seen, truth, jnp.ones(3, bool), options)[0]

        return np.abs(jax.grad(loss)(output.mask_logits)).sum((1, 2, 3))

    assert (grad(False) > 0).all()
    np.testing.assert_array_equal(grad(True) > 0, [True, False, True])


@pytest.mark.parametrize("corrections", [0, 2])
def test_image_step_traces(corrections):
    options = PromptOptions(corrections=corrections, loss_size=32)
    (loss, metrics), grads = _abstract_loss(promptable.image_loss, _batch(), options)
    assert loss.shape == () and {"box_iou", "click_iou", "focal", "dice"} <= set(metrics)
    assert ("corrected_iou" in metrics) == bool(corrections)
    assert jax.tree.map(np.shape, grads) == jax.tree.map(
        lambda leaf: leaf.shape, sam2.abstract_params(CONFIG)
    )


@pytest.mark.parametrize("mask_probability", [0.0, 0.5])
def test_clip_step_traces(mask_probability):
    options = PromptOptions(loss_size=32, mask_probability=mask_probability)
    (loss, metrics), _ = _abstract_loss(promptable.clip_loss, _batch(frames=3), options)
    assert loss.shape == () and {"tracked_iou", "tracked_score"} <= set(metrics)


@pytest.mark.parametrize("sampling", ["uniform", "center"])
def test_clip_step_with_several_prompted_frames_traces(sampling):
    options = PromptOptions(
        loss_size=32,
        mask_probability=0.5,
        conditioning_frames=2,
        corrected_frames=2,
        corrections=1,
        correction_sampling=sampling,
    )
    (loss, metrics), _ = _abstract_loss(promptable.clip_loss, _batch(frames=3), options)
    assert loss.shape == () and {"tracked_iou", "corrected_iou"} <= set(metrics)


def test_given_masks_replace_the_answer_of_their_rows_only():
    model, batch = sam2.Sam2(CONFIG), _batch()
    variables = {"params": sam2.init_params(CONFIG, 0)}
    features = model.apply(
        variables, promptable.normalise(batch.frames[:1, 0]), method="encode_image"
    )
    features = per_object(features, 2)
    targets = jnp.asarray(batch.masks[0, 0])
    none, zeros = no_prompts(2), jnp.zeros((2, SIDE // 4, SIDE // 4))
    decoded = model.apply(
        variables, features, features.s16, none, zeros, jnp.zeros(2, bool), method="decode"
    )
    own = model.apply(variables, decoded, jnp.ones(2, bool), False, method="select")
    step = Stepper(model, variables, jax.random.key(0), 2, PromptOptions(mask_probability=1.0))
    mixed = step.given_masks(features, targets, jnp.array([False, True]), own)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), mixed, own)
    small = np.asarray(targets)[:, 2::4, 2::4]
    np.testing.assert_array_equal(mixed.low_res[1] > 0, small[1])
    assert float(mixed.object_score[1]) == 10.0


def test_clip_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least 2 frames"):
        _abstract_loss(promptable.clip_loss, _batch(), PromptOptions(loss_size=32))


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_a_few_steps_lower_the_loss_of_one_batch(several):
    model, batch = sam2.Sam2(CONFIG), jax.tree.map(jnp.asarray, _batch(frames=2))
    params = jax.tree.map(jnp.asarray, sam2.init_params(CONFIG, 0))
    options = PromptOptions(loss_size=32)
    if several:
        options = PromptOptions(
            loss_size=32, conditioning_frames=2, corrected_frames=2, corrections=1
        )
    key = jax.random.key(0)
    step = jax.jit(
        jax.value_and_grad(
            lambda p: promptable.clip_loss(model, p, batch, key, options), has_aux=True
        )
    )
    losses = []
    for _ in range(15):
        (loss, _), grads = step(params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        params = jax.tree.map(lambda p, g: p - 0.02 * g, params, grads)
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]
