"""Memory attention and memory encoder against transformers, float32 on the CPU.

Axes, units and what is compared: tests.parity.stages.
"""

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from surgjax.structs import MemoryRead  # noqa: E402
from tests.parity.stages import both, check, image, nhwc, noise  # noqa: E402

pytestmark = pytest.mark.parity


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
