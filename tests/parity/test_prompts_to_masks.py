"""Prompt encoder, mask decoder and their whole path against transformers, float32 on the CPU.

Axes, units and what is compared: tests.parity.stages.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from surgjax.structs import DecoderOutput, PointPrompts  # noqa: E402
from tests.parity.stages import all_three, both, check, image, nhwc, noise, our_features, prompts  # noqa: E402

pytestmark = pytest.mark.parity


@all_three
@torch.inference_mode()
def test_whole_path_to_masks(pair, size):
    """Frame and prompt to three masks, IoUs, score and pointer, nothing from the reference."""
    p = pair(*size)
    frames = image(p.size, seed=3)
    clicks = np.array([[[0.31, 0.62], [0.7, 0.2]]], np.float32) * p.size
    labels = np.array([[1, 0]], np.int32)

    def predict(m, frames, points, mask, use):
        features = m.encode_image(frames)
        raw = m.decode(features, m.add_no_memory(features.s16), points, mask, use)
        return raw, m.select(raw, jnp.array([True])), m.select(raw, jnp.array([False]))

    points = PointPrompts(jnp.asarray(clicks), jnp.asarray(labels), jnp.ones((1, 2), bool))
    empty = jnp.zeros((1, p.size // 4, p.size // 4))
    raw, multi, single = p.run(predict, nhwc(frames).numpy(), points, empty, jnp.array([False]))
    for multimask, ours in ((True, multi), (False, single)):
        want = p.hf._single_frame_forward(
            pixel_values=frames,
            input_points=torch.from_numpy(clicks)[:, None],
            input_labels=torch.from_numpy(labels)[:, None],
            multimask_output=multimask,
        )
        name = "three masks" if multimask else "single mask"
        span = float(want.pred_masks.max() - want.pred_masks.min())
        assert span > 5, f"{name}: the reference's logits span {span}"
        check(
            f"{name}, logits over their range",
            ours.low_res / span,
            want.pred_masks[:, 0] / span,
            order_one=False,
        )
        check(f"{name}, score", ours.object_score, want.object_score_logits[:, 0, 0], False)
        check(f"{name}, pointer", ours.pointer, want.object_pointer[:, 0])
        if multimask:
            check("IoUs", ours.multimask_ious, want.iou_scores[:, 0], order_one=False)
        else:
            check("IoU", ours.iou[:, None], want.iou_scores[:, 0], order_one=False)
    assert raw.object_score[0] > 0, "the reference must see an object here"


def their_points(points, labels, size):
    """One row for transformers; no prompt at all is its own stand-in, (0, 0) labelled -1."""
    points, labels = (points, labels) if points else ([[0.0, 0.0]], [-1])
    xy = torch.tensor(np.array(points) * size, dtype=torch.float32)[None, None]
    return xy, torch.tensor(labels, dtype=torch.int32)[None, None]


@both
@torch.inference_mode()
def test_prompt_encoder(pair, size):
    p = pair(*size)
    rows, padded = prompts(p.size)
    tokens, live = p.run(lambda m, x: m.sam_prompt_encoder.encode_points(x), padded)
    for i, (points, labels) in enumerate(rows):
        xy, marks = their_points(points, labels, p.size)
        want, dense = p.hf.prompt_encoder(xy, marks, None, None)
        check(f"sparse tokens of row {i}", tokens[i][live[i]], want[0, 0])
    box = torch.tensor([[[0.1, 0.2, 0.8, 0.9]]]) * p.size
    want = p.hf.prompt_encoder(None, None, box, None)[0]
    check("box as two points", tokens[2][live[2]], want[0, 0])
    logits = 4 * noise(2, 1, p.size // 4, p.size // 4)
    masks = jnp.asarray(logits[:, 0].numpy())
    ours = p.run(
        lambda m, x, u: m.sam_prompt_encoder.encode_mask(x, u), masks, jnp.array([True, False])
    )
    check("mask prompt", ours[:1], nhwc(p.hf.prompt_encoder.mask_embed(logits[:1])))
    check("no mask", ours[1:], nhwc(dense))


@both
@torch.inference_mode()
def test_two_way_transformer(pair, size):
    p = pair(*size)
    n = p.config.grid
    features, position, tokens = noise(1, 256, n, n), noise(1, 256, n, n, seed=3), noise(1, 9, 256)
    want_tokens, want_image = p.hf.mask_decoder.transformer(
        tokens[:, None], features, position, attention_similarity=None
    )
    flat = [x.flatten(2).transpose(1, 2).numpy() for x in (features, position)]
    padded = np.concatenate([tokens.numpy(), 9 * np.ones((1, 3, 256), np.float32)], 1)
    alive = np.arange(12)[None] < 9
    ours = p.run(
        lambda m, i, e, t, a: m.sam_mask_decoder.transformer(i, e, t, a), *flat, padded, alive
    )
    check("tokens", ours[0][:, :9], want_tokens[:, 0])
    check("image", ours[1], want_image[:, 0])


def raw_heads(hf, embeddings, sparse, dense, skips):
    """All four masks and tokens: the single-mask branch without the fallback, and the rest."""
    decoder = hf.mask_decoder
    position = hf.get_image_wide_positional_embeddings()
    decoder._dynamic_multimask_via_stability = lambda masks, ious: (masks, ious)
    try:
        masks, ious, first, score = decoder(embeddings, position, sparse, dense, False, skips)
    finally:
        del decoder._dynamic_multimask_via_stability
    rest = decoder(embeddings, position, sparse, dense, True, skips)[2]
    return masks[:, 0], ious[:, 0], torch.cat([first, rest], 2)[:, 0], score[:, 0, 0]


@both
@torch.inference_mode()
def test_mask_decoder(pair, size):
    """Five prompts in one padded batch, each equal to its own unpadded run."""
    p = pair(*size)
    rows, padded = prompts(p.size)
    n, b = p.size, len(rows)
    s4, s8, s16 = (
        noise(1, 32, n // 4, n // 4),
        noise(1, 64, n // 8, n // 8),
        noise(1, 256, n // 16, n // 16),
    )
    logits = 4 * noise(1, 1, n // 4, n // 4, seed=5)
    use = np.array([False, True, False, False, False])
    features = jax.tree.map(lambda x: jnp.repeat(x, b, 0), our_features(s4, s8, s16))
    ours = p.run(
        "decode",
        features,
        features.s16,
        padded,
        jnp.repeat(jnp.asarray(logits[:, 0].numpy()), b, 0),
        jnp.asarray(use),
    )
    chosen = p.run("select", ours, jnp.zeros(b, bool))
    for i, (points, labels) in enumerate(rows):
        xy, marks = their_points(points, labels, p.size)
        sparse, dense = p.hf.prompt_encoder(xy, marks, None, logits if use[i] else None)
        masks, ious, tokens, score = raw_heads(p.hf, s16, sparse, dense, [s4, s8])
        span = float(masks.max() - masks.min())
        assert span > 5
        check(f"row {i} masks over their range", ours.mask_logits[i] / span, masks[0] / span, False)
        check(f"row {i} IoUs", ours.ious[i], ious[0], order_one=False)
        check(f"row {i} tokens", ours.tokens[i], tokens[0])
        check(f"row {i} score", ours.object_score[i], score[0], order_one=False)
        kept, iou = p.hf.mask_decoder._dynamic_multimask_via_stability(
            masks[:, None], ious[:, None]
        )
        present = bool(score[0] > 0)
        expected = kept[0, 0, 0] if present else torch.full_like(kept[0, 0, 0], -1024.0)
        check(f"row {i} chosen mask", chosen.low_res[i] / span, expected / span, order_one=False)
        check(f"row {i} chosen IoU", chosen.iou[i], iou[0, 0, 0], order_one=False)


@torch.inference_mode()
def test_dynamic_multimask_and_absence(pair):
    """Stable, unstable, empty and absent rows: choice, IoU and pointer."""
    p = pair("tiny", 512)
    b, n = 4, 128
    logits = np.random.default_rng(0).uniform(-8, 8, (b, 4, n, n)).astype(np.float32)
    logits[0, 0] = np.where(logits[0, 0] > 0, 6, -6)  # stable
    logits[1, 0] = 0.04 * np.sign(logits[1, 0])  # nothing beyond +-0.05: stability 0
    logits[2, 0] = -3  # empty: counts as stable
    ious = np.array(
        [[0.5, 0.2, 0.9, 0.3], [0.9, 0.1, 0.2, 0.8], [0.1, 0.7, 0.2, 0.3], [0.2, 0.3, 0.4, 0.5]]
    )
    tokens, score = noise(b, 4, 256), np.array([1.0, 2.0, 0.5, -0.5], np.float32)
    raw = DecoderOutput(
        jnp.asarray(logits),
        jnp.asarray(ious, jnp.float32),
        jnp.asarray(score),
        jnp.asarray(tokens.numpy()),
    )
    for multimask in (False, True):
        ours = p.run("select", raw, jnp.full(b, multimask))
        best = 1 + ious[:, 1:].argmax(1)
        masks, chosen = p.hf.mask_decoder._dynamic_multimask_via_stability(
            torch.from_numpy(logits)[:, None], torch.from_numpy(ious)[:, None]
        )
        for i in range(b):
            mask = logits[i, best[i]] if multimask else masks[i, 0, 0].numpy()
            iou = ious[i, best[i]] if multimask else float(chosen[i, 0, 0])
            np.testing.assert_array_equal(ours.low_res[i], mask if score[i] > 0 else -1024.0)
            assert ours.iou[i] == pytest.approx(iou)
            token = tokens[i, best[i] if multimask else 0]
            pointer = p.hf.object_pointer_proj(token)
            want = pointer if score[i] > 0 else p.hf.no_object_pointer[0]
            check(f"pointer of row {i}", ours.pointer[i], want)
    assert ours.low_res[1].max() > 1  # the fallback was not what decided under multimask
    single = p.run("select", raw, jnp.zeros(b, bool))
    assert single.iou[1] == pytest.approx(0.8) and single.iou[0] == pytest.approx(0.5)


@both
@torch.inference_mode()
def test_mask_as_output(pair, size):
    """A mask prompt: logits, score and pointer; an empty mask is an absent object."""
    from tests.parity import reference

    p = pair(*size)
    n = p.size
    s4, s8, s16 = (
        noise(1, 32, n // 4, n // 4),
        noise(1, 64, n // 8, n // 8),
        noise(1, 256, n // 16, n // 16),
    )
    masks = torch.stack([(image(n, seed=6)[0, 0] > 0.3).float(), torch.zeros(n, n)])
    features = jax.tree.map(lambda x: jnp.repeat(x, 2, 0), our_features(s4, s8, s16))
    none = PointPrompts(jnp.zeros((2, 3, 2)), jnp.zeros((2, 3), jnp.int32), jnp.zeros((2, 3), bool))
    ours = p.run("mask_as_output", features, features.s16, jnp.asarray(masks.numpy()), none)
    for i in range(2):
        with reference.single_mask_pointer(p.hf):
            want = p.hf._use_mask_as_output(s16, [s4, s8], masks[i][None, None])
        check(f"row {i} low-res", ours.low_res[i], want.pred_masks[0, 0], order_one=False)
        check(f"row {i} pointer", ours.pointer[i], want.object_pointer[0, 0])
        assert ours.object_score[i] == want.object_score_logits.item()
