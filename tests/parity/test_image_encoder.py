"""Image encoder and position encodings against transformers, float32 on the CPU.

Axes, units and what is compared: tests.parity.stages.
"""

import jax.numpy as jnp
import pytest

torch = pytest.importorskip("torch")

from surgjax.layers.position_encoding import sine_1d, sine_2d  # noqa: E402
from tests.parity.stages import all_three, both, check, image, maps, nhwc  # noqa: E402

pytestmark = pytest.mark.parity


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
