"""Every module and the whole image path against transformers, float32 on the CPU.

Axes:    torch maps are NCHW and sequences (N, B, C); `nhwc` and `rows` bring them to ours.
Units:   absolute errors on features whose standard deviation is asserted to be of order 1.
Errors:  AssertionError with the name of the stage and the measured error.
Source:  transformers 5.23, Sam2VideoModel with the weights of reference.lively_weights.
Differs: the modules' inputs come from the reference, so that errors do not add up; the tests
         called whole_path feed the frame alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

from surgjax.layers.position_encoding import sine_1d, sine_2d  # noqa: E402
from surgjax.structs import DecoderOutput, ImageFeatures, MemoryRead, PointPrompts  # noqa: E402

pytestmark = pytest.mark.parity
LIMIT = 1e-4
SIZES = [("tiny", 512), ("base_plus", 512)]
both = pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}-{s[1]}")
all_three = pytest.mark.parametrize(
    "size", [*SIZES, ("tiny", 1024)], ids=lambda s: f"{s[0]}-{s[1]}"
)


def check(name, ours, theirs, order_one=True, limit=LIMIT):
    """Absolute error within the limit, and a reference that is neither tiny nor huge."""
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape, f"{name}: {ours.shape}, expected {theirs.shape}"
    error, spread = float(np.abs(ours - theirs).max()), float(theirs.std())
    print(f"{name}: max abs error {error:.1e}, std {spread:.2f}")
    assert not order_one or 0.2 < spread < 5, f"{name}: std {spread} is not of order 1"
    assert error <= limit, f"{name}: max abs error {error:.2e} > {limit:.0e}"


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def image(size, batch=1, seed=1):
    """Smooth normalised images: noise at two scales."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((batch, 3, size // 32, size // 32)).astype(np.float32)
    x = F.interpolate(torch.from_numpy(coarse), (size, size), mode="bicubic")
    return x + 0.2 * torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32))


def noise(*shape, seed=2):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def our_features(s4, s8, s16):
    return ImageFeatures(*(jnp.asarray(nhwc(x).numpy()) for x in (s4, s8, s16)))


def maps(hf, frames):
    """The three projected maps of the video model as NCHW."""
    flat = hf.get_image_features(frames, return_dict=True).fpn_hidden_states
    sizes = hf.backbone_feature_sizes
    return [
        x.permute(1, 2, 0).reshape(x.shape[1], -1, *s) for x, s in zip(flat, sizes, strict=True)
    ]


@both
@torch.inference_mode()
def test_patch_and_position_embedding(pair, size):
    p = pair(*size)
    frames, n = image(p.size), p.size // 4
    trunk = p.hf.vision_encoder.backbone
    ours = p.run(lambda m, x: m.image_encoder.trunk.patch_embed(x), nhwc(frames).numpy())
    check("patch embedding", ours, trunk.patch_embed(frames))
    ours = p.run(lambda m: m.image_encoder.trunk.position_embedding(n, n))
    check("position embedding", ours, trunk._get_pos_embed((n, n)), limit=1e-5)


@all_three
@torch.inference_mode()
def test_trunk_neck_and_whole_path(pair, size):
    """Trunk maps, neck alone on the reference's maps, then frame to decoder features."""
    p = pair(*size)
    frames = image(p.size)
    x = nhwc(frames).numpy()
    want = p.hf.vision_encoder.backbone(frames).intermediate_hidden_states

    def everything(m, frames, theirs):
        return m.image_encoder.trunk(frames), m.image_encoder.neck(theirs), m.encode_image(frames)

    trunk, neck, whole = p.run(everything, x, [w.numpy() for w in want])
    for i, (a, b) in enumerate(zip(trunk, want, strict=True)):
        check(f"trunk stage {i + 1}", a, b)
    levels = p.hf.vision_encoder.neck(want)[0][-3:][::-1]
    for name, a, b in zip(("s4", "s8", "s16"), neck, levels, strict=True):
        check(f"neck {name}", a, nhwc(b))
    features = maps(p.hf, frames)
    for name, b in zip(("s4", "s8", "s16"), features, strict=True):
        check(f"encode_image {name}", getattr(whole, name), nhwc(b))


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


@both
@torch.inference_mode()
def test_position_encodings(pair, size):
    p = pair(*size)
    n = p.config.grid
    theirs = p.hf.vision_encoder(image(p.size)).fpn_position_encoding[-1]
    check("sine 256", sine_2d(n, n, 256)[None], nhwc(theirs), limit=1e-5)
    shape = torch.Size((1, 64, n, n))
    theirs = p.hf.memory_encoder.position_encoding(shape, "cpu", torch.float32)
    check("sine 64", sine_2d(n, n, 64)[None], nhwc(theirs), limit=1e-5)
    from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe

    steps = torch.arange(-3, 16) / 15
    check(
        "sine 1-D", sine_1d(jnp.asarray(steps.numpy()), 256), get_1d_sine_pe(steps, 256), limit=1e-5
    )
    ours = p.run(lambda m: m.sam_prompt_encoder.dense_positions())
    check("dense Fourier", ours[None], nhwc(p.hf.get_image_wide_positional_embeddings()))


def prompts(size):
    """Five rows: click, two clicks, box, box and clicks, and nothing; padded to five slots."""
    rows = [
        ([[0.2, 0.7]], [1]),
        ([[0.2, 0.7], [0.9, 0.05]], [1, 0]),
        ([[0.1, 0.2], [0.8, 0.9]], [2, 3]),
        ([[0.1, 0.2], [0.8, 0.9], [0.4, 0.4], [0.5, 0.6], [0.0, 1.0]], [2, 3, 1, 0, -1]),
        ([], []),
    ]
    xy, labels = np.full((5, 5, 2), 7.0, np.float32), np.full((5, 5), 1, np.int32)
    valid = np.zeros((5, 5), bool)
    for i, (points, marks) in enumerate(rows):
        if points:
            xy[i, : len(points)], labels[i, : len(points)] = np.array(points) * size, marks
        valid[i, : len(points)] = True
    return rows, PointPrompts(jnp.asarray(xy), jnp.asarray(labels), jnp.asarray(valid))


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


def memory_case(p, frames_back, pointers, seed):
    """Memories, time rows and pointers of one row, and transformers' inputs for the same."""
    n, hf = p.config.grid, p.hf
    features = noise(len(frames_back), n * n, 64, seed=seed).bfloat16().float()
    position = hf.memory_encoder.position_encoding(torch.Size((1, 64, n, n)), "cpu", torch.float32)
    position = position.flatten(2).permute(2, 0, 1)
    stored = [
        (back, dict(maskmem_features=f[:, None], maskmem_pos_enc=position))
        for back, f in zip(frames_back, features, strict=True)
    ]
    memory, place = hf._build_memory_attention_inputs(stored, "cpu")
    vectors = noise(max(len(pointers), 1), 256, seed=seed + 1)[: len(pointers)]
    tokens, token_place = hf._process_object_pointers(
        list(pointers), [v[None] for v in vectors], 16, 1, 256, "cpu"
    )
    count = 0
    if tokens is not None:
        memory, place, count = [*memory, tokens], [*place, token_place], len(tokens)
    theirs = dict(
        memory=torch.cat(memory),
        memory_posision_embeddings=torch.cat(place),
        num_object_pointer_tokens=count,
    )
    return features, vectors, theirs


@both
@pytest.mark.parametrize("tiled", [False, True], ids=["dense", "tiled"])
@torch.inference_mode()
def test_memory_attention(pair, size, tiled):
    """Rows with 7, 3 and 1 memories and 16, 2 and no pointers in one padded call."""
    _memory_attention(pair(*size), tiled)


@pytest.mark.parametrize("tiled", [False, True], ids=["dense", "tiled"])
@torch.inference_mode()
def test_memory_attention_version_2_0(pair, tiled):
    """SAM 2.0: pointers without positions."""
    _memory_attention(pair("tiny", 256, version="2.0"), tiled)


def _memory_attention(p, tiled):
    n = p.config.grid
    cases = [((0, 6, 5, 4, 3, 2, 1), (-2, *range(1, 16))), ((0, 2, 1), (3, 1)), ((0,), ())]
    slots, most = 8, 18
    b = len(cases)
    read = dict(
        features=np.full((b, slots, n * n, 64), 3.0, np.float32),
        time_index=np.full((b, slots), 2, np.int32),
        count=np.zeros(b, np.int32),
        pointers=np.full((b, most, 256), 5.0, np.float32),
        pointer_distance=np.full((b, most), 4.0, np.float32),
        pointer_valid=np.zeros((b, most), bool),
        pointer_span=np.float32(15),
    )
    current = noise(b, 256, n, n, seed=9)
    position = (
        p.hf.vision_encoder.neck.position_encoding(torch.Size((1, 256, n, n)), "cpu", torch.float32)
        .flatten(2)
        .permute(2, 0, 1)
    )
    want = []
    for i, (back, pointers) in enumerate(cases):
        features, vectors, theirs = memory_case(p, back, pointers, seed=20 + 2 * i)
        order = np.random.default_rng(i).permutation(len(back))  # slots in any order
        read["features"][i, : len(back)] = features.numpy()[order]
        read["time_index"][i, : len(back)] = (np.array(back)[order] - 1) % 7
        read["count"][i] = len(back)
        at = np.random.default_rng(i).permutation(most)[: len(pointers)]  # pointers in any place
        read["pointers"][i, at], read["pointer_distance"][i, at] = vectors.numpy(), pointers
        read["pointer_valid"][i, at] = True
        flat = current[i : i + 1].flatten(2).permute(2, 0, 1)
        out = p.hf.memory_attention(flat, current_vision_position_embeddings=position, **theirs)
        want.append(out.squeeze(1).transpose(1, 2).reshape(1, 256, n, n))
    read = MemoryRead(**{k: jnp.asarray(v) for k, v in read.items()})
    ours = p.run("condition", jnp.asarray(nhwc(current).numpy()), read, tiled=tiled)
    for i, theirs in enumerate(want):
        check(f"memory attention row {i}", ours[i : i + 1], nhwc(theirs))
    alone = nhwc(want[2]).numpy()
    assert np.abs(alone - nhwc(want[1]).numpy()).max() > 0.1  # the memories matter


@both
@torch.inference_mode()
def test_memory_encoder(pair, size):
    """Soft and binarised masks, present and absent objects, in one batch."""
    p = pair(*size)
    n = p.config.grid
    s16, logits = noise(4, 256, n, n), 4 * image(p.size, 2).repeat(2, 1, 1, 1)[:, :1]
    score = torch.tensor([[1.0], [-1.0], [2.0], [-0.5]])
    binarize = np.array([False, False, True, True])
    ours = p.run(
        "encode_memory",
        jnp.asarray(nhwc(s16).numpy()),
        jnp.asarray(logits[:, 0].numpy()),
        jnp.asarray(score[:, 0].numpy()),
        jnp.asarray(binarize),
    )
    store = torch.Tensor.to
    for i in range(4):
        flat = s16[i : i + 1].flatten(2).permute(2, 0, 1)
        # The reference rounds to bfloat16 on the way out; compare before the rounding.
        torch.Tensor.to = lambda x, *a, **k: x if a == (torch.bfloat16,) else store(x, *a, **k)
        try:
            want = p.hf._encode_new_memory(
                flat, logits[i : i + 1], score[i : i + 1], bool(binarize[i])
            )[0]
        finally:
            torch.Tensor.to = store
        assert want.dtype == torch.float32
        check(f"memory row {i}", ours[i], want[:, 0])


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
