"""Two-way transformer: tokens attend to the image and the image to the tokens.

Path:    prompt tokens, conditioned image -> [two_way_transformer] -> mask decoder heads
Axes:    tokens [B, T, d], image [B, N, d] (row-major grid); token_mask [B, T] hides padding.
Numerics: post-norm, LayerNorm eps 1e-5 (PyTorch's default), ReLU MLP.
Source:  SAM 2 `sam2/modeling/sam/transformer.py`.
Differs: padded tokens are masked wherever tokens are keys, so a prompt may have any number of
         slots and gives the same mask.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from surgjax.layers.attention import dense_attention
from surgjax.layers.linear import Dtype, LayerNorm, Linear, Mlp


class TokenAttention(nn.Module):
    """Multi-head attention in `inner` channels between sequences of width d."""

    features: int
    inner: int
    heads: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.q_proj = Linear(self.features, self.inner, self.dtype)
        self.k_proj = Linear(self.features, self.inner, self.dtype)
        self.v_proj = Linear(self.features, self.inner, self.dtype)
        self.out_proj = Linear(self.inner, self.features, self.dtype)

    def __call__(
        self, q: jax.Array, k: jax.Array, v: jax.Array, key_mask: jax.Array | None = None
    ) -> jax.Array:
        def heads(x):
            return x.reshape(*x.shape[:2], self.heads, self.inner // self.heads)

        out = dense_attention(
            heads(self.q_proj(q)), heads(self.k_proj(k)), heads(self.v_proj(v)), key_mask
        )
        return self.out_proj(out.reshape(*q.shape[:2], self.inner)).astype(jnp.float32)


class TwoWayBlock(nn.Module):
    """One round; the first has no residual and no positions in its self-attention."""

    features: int
    heads: int
    mlp_dim: int
    first: bool
    dtype: Dtype = jnp.float32

    def setup(self):
        d, h = self.features, self.heads
        self.self_attn = TokenAttention(d, d, h, self.dtype)
        self.cross_attn_token_to_image = TokenAttention(d, d // 2, h, self.dtype)
        self.cross_attn_image_to_token = TokenAttention(d, d // 2, h, self.dtype)
        self.mlp = Mlp((d, self.mlp_dim, d), jax.nn.relu, self.dtype)
        self.norm1, self.norm2, self.norm3, self.norm4 = (LayerNorm(d, 1e-5) for _ in range(4))

    def __call__(self, q, k, q_pe, k_pe, token_mask):
        q = self.advance(q, q_pe, q, q_pe, k, k_pe, token_mask)
        back = self.cross_attn_image_to_token(k + k_pe, q + q_pe, q, token_mask)
        return q, self.norm4(k + back)

    def advance(self, q, q_pe, others, others_pe, k, k_pe, mask):
        """Tokens q after a look at the tokens `others`, where mask [B, T'], and at the image k."""
        if self.first:
            q = self.self_attn(q, others, others, mask)
        else:
            q = q + self.self_attn(q + q_pe, others + others_pe, others, mask)
        q = self.norm1(q)
        q = self.norm2(q + self.cross_attn_token_to_image(q + q_pe, k + k_pe, k))
        return self.norm3(q + self.mlp(q).astype(jnp.float32))


class TwoWayTransformer(nn.Module):
    """Two blocks and a last look at the image."""

    features: int
    heads: int
    mlp_dim: int
    dtype: Dtype = jnp.float32

    def setup(self):
        d, h = self.features, self.heads
        self.layers = [TwoWayBlock(d, h, self.mlp_dim, i == 0, self.dtype) for i in range(2)]
        self.final_attn_token_to_image = TokenAttention(d, d // 2, h, self.dtype)
        self.norm_final_attn = LayerNorm(d, 1e-5)

    def __call__(
        self, image: jax.Array, image_pe: jax.Array, tokens: jax.Array, token_mask: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Returns tokens [B, T, d] and image [B, N, d]; image_pe is [1, N, d]."""
        q, k = tokens, image
        for layer in self.layers:
            q, k = layer(q, k, tokens, image_pe, token_mask)
        return self.finish(q, tokens, k, image_pe), k

    def finish(self, q: jax.Array, q_pe: jax.Array, k: jax.Array, k_pe: jax.Array) -> jax.Array:
        """Tokens after the last look at the image."""
        return self.norm_final_attn(q + self.final_attn_token_to_image(q + q_pe, k + k_pe, k))
