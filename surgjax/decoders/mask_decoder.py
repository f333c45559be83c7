"""Mask decoder: conditioned image features and prompts become masks, IoUs and an object score.

Path:    memory attention, prompt encoder -> [mask_decoder] -> object pointer, memory encoder
Axes:    s16 [B, h, w, d], s8 [B, 2h, 2w, d/4], s4 [B, 4h, 4w, d/8] -> mask logits [B, 4, 4h, 4w].
Numerics: hypernetwork products (the mask read-out) are float32 in every precision.
Source:  SAM 2 `sam2/modeling/sam/mask_decoder.py`.
Differs: all four masks are returned; which one counts is `Sam2.select`'s business.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from surgjax.decoders import semantic_reader
from surgjax.decoders.two_way_transformer import TwoWayTransformer
from surgjax.layers.convolution import Conv, UpConv2x2
from surgjax.layers.linear import Dtype, Embedding, LayerNorm, Mlp, gelu
from surgjax.structs import DecoderOutput, ImageFeatures

NUM_MASKS = 4  # one for unambiguous prompts, three candidates


class MaskDecoder(nn.Module):
    """Parameters as in `sam_mask_decoder.*`."""

    features: int
    heads: int
    mlp_dim: int
    dtype: Dtype = jnp.float32

    def setup(self):
        d, dt = self.features, self.dtype
        self.transformer = TwoWayTransformer(d, self.heads, self.mlp_dim, dt)
        self.iou_token = Embedding(1, d)
        self.mask_tokens = Embedding(NUM_MASKS, d)
        self.obj_score_token = Embedding(1, d)
        self.output_upscaling_0 = UpConv2x2(d, d // 4, dt)
        self.output_upscaling_1 = LayerNorm(d // 4, 1e-6)
        self.output_upscaling_3 = UpConv2x2(d // 4, d // 8, dt)
        self.conv_s0 = Conv(d, d // 8, 1, dtype=dt)
        self.conv_s1 = Conv(d, d // 4, 1, dtype=dt)
        # Heads are float32 always: a mask's sign and an IoU tie hang on their last digits.
        self.output_hypernetworks_mlps = [Mlp((d, d, d, d // 8)) for _ in range(NUM_MASKS)]
        self.iou_prediction_head = Mlp((d, d, d, NUM_MASKS))
        self.pred_obj_score_head = Mlp((d, d, d, 1))

    def project_skips(self, s4: jax.Array, s8: jax.Array, s16: jax.Array) -> ImageFeatures:
        """Neck maps of width d -> what the decoder reads; once per image, not per object."""
        f32 = jnp.float32
        return ImageFeatures(self.conv_s0(s4).astype(f32), self.conv_s1(s8).astype(f32), s16)

    def __call__(
        self,
        features: ImageFeatures,
        s16: jax.Array,
        sparse: jax.Array,
        sparse_mask: jax.Array,
        dense: jax.Array,
        dense_pe: jax.Array,
        reader: jax.Array | None = None,
        is_read: bool = False,
    ) -> DecoderOutput:
        """sparse [B, P, d] with sparse_mask [B, P]; dense [B, h, w, d]; dense_pe [h, w, d].

        reader [B, 1, d]: a token that reads the others; they and the image read it if `is_read`.
        """
        b, h, w, d = s16.shape
        own = jnp.concatenate([self.obj_score_token(), self.iou_token(), self.mask_tokens()])
        tokens = jnp.concatenate([jnp.broadcast_to(own[None], (b, *own.shape)), sparse], 1)
        alive = jnp.ones((b, own.shape[0]), bool)
        token_mask = jnp.concatenate([alive, sparse_mask], 1)
        image = (s16 + dense).reshape(b, h * w, d)
        image_pe = dense_pe.reshape(1, h * w, d)
        semantic = None
        if reader is None:
            tokens, image = self.transformer(image, image_pe, tokens, token_mask)
        else:
            follow = semantic_reader.appended if is_read else semantic_reader.aside
            tokens, image, semantic = follow(
                self.transformer, image, image_pe, tokens, token_mask, reader
            )

        x = self.output_upscaling_0(image.reshape(b, h, w, d)).astype(jnp.float32) + features.s8
        x = gelu(self.output_upscaling_1(x))
        x = gelu(self.output_upscaling_3(x).astype(jnp.float32) + features.s4)
        mask_tokens = tokens[:, 2 : 2 + NUM_MASKS]
        hyper = [m(mask_tokens[:, i]) for i, m in enumerate(self.output_hypernetworks_mlps)]
        mask_logits = jnp.einsum("bkc,bhwc->bkhw", jnp.stack(hyper, 1), x)
        return DecoderOutput(
            mask_logits=mask_logits,
            ious=jax.nn.sigmoid(self.iou_prediction_head(tokens[:, 1])),
            object_score=self.pred_obj_score_head(tokens[:, 0])[:, 0],
            tokens=mask_tokens,
            semantic=semantic,
        )


def stability_choice(
    output: DecoderOutput, delta: float = 0.05, threshold: float = 0.98
) -> jax.Array:
    """Index [B] of the mask to use when one is asked for: the single mask if stable.

    Stable means that area(logit > delta) / area(logit > -delta) reaches the threshold (an empty
    denominator counts as stable); else the candidate with the highest predicted IoU.
    """
    single = output.mask_logits[:, 0]
    inner = (single > delta).sum((-2, -1)).astype(jnp.float32)
    outer = (single > -delta).sum((-2, -1)).astype(jnp.float32)
    stability = jnp.where(outer > 0, inner / jnp.maximum(outer, 1.0), 1.0)
    return jnp.where(stability >= threshold, 0, 1 + jnp.argmax(output.ious[:, 1:], -1))
