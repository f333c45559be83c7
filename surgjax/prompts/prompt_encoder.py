"""Prompt encoder: points, box corners and masks become tokens and a dense embedding.

Path:    prompts -> [prompt_encoder] -> mask decoder
Axes:    points [B, P, 2] -> sparse [B, P + 1, d] with a token mask [B, P + 1];
         mask logits [B, S/4, S/4] -> dense [B, S/16, S/16, d].
Units:   points_xy in pixels of the model input (0..S), column first; this module alone adds +0.5.
Source:  SAM 2 `sam2/modeling/sam/prompt_encoder.py`.
Differs: padding is hidden from the decoder's attention by the token mask. Label -1 is not padding
         in SAM 2: it is a live "not a point" token, and one is always appended.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from surgjax.layers.convolution import Conv
from surgjax.layers.linear import Dtype, Embedding, LayerNorm, gelu
from surgjax.structs import PointPrompts


class FourierPositions(nn.Module):
    """Random Fourier features of coordinates in [0, 1]^2; the matrix is fixed, not trained."""

    features: int

    @nn.compact
    def __call__(self, coordinates: jax.Array) -> jax.Array:
        """[..., 2] (x, y) -> [..., d], float32."""
        matrix = self.param(
            "positional_encoding_gaussian_matrix",
            nn.initializers.normal(1.0),
            (2, self.features // 2),
        )
        matrix = jax.lax.stop_gradient(matrix)
        c = 2.0 * coordinates - 1.0
        # Written out: a K=2 product must not run in reduced precision on an accelerator.
        lead = (1,) * (c.ndim - 1) + (-1,)
        angle = c[..., :1] * matrix[0].reshape(lead) + c[..., 1:] * matrix[1].reshape(lead)
        angle = 2.0 * np.pi * angle
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


class PromptEncoder(nn.Module):
    """Parameters as in `sam_prompt_encoder.*`."""

    features: int
    image_size: int
    dtype: Dtype = jnp.float32

    def setup(self):
        d = self.features
        self.pe_layer = FourierPositions(d)
        self.point_embeddings = [Embedding(1, d) for _ in range(4)]
        self.not_a_point_embed = Embedding(1, d)
        self.no_mask_embed = Embedding(1, d)
        self.mask_downscaling_0 = Conv(1, 4, 2, 2, dtype=self.dtype)
        self.mask_downscaling_1 = LayerNorm(4, 1e-6)
        self.mask_downscaling_3 = Conv(4, 16, 2, 2, dtype=self.dtype)
        self.mask_downscaling_4 = LayerNorm(16, 1e-6)
        self.mask_downscaling_6 = Conv(16, d, 1, dtype=self.dtype)

    def encode_points(self, points: PointPrompts) -> tuple[jax.Array, jax.Array]:
        """Sparse tokens [B, P + 1, d] and which of them are live [B, P + 1]."""
        unprompted = ~points.valid.any(-1, keepdims=True)
        first = jnp.arange(points.valid.shape[1])[None, :] == 0
        blank = unprompted & first  # the unprompted case has one live "not a point" token
        live = points.valid | blank
        labels = jnp.where(points.valid, points.labels, -1)
        positions = self.pe_layer((points.points_xy + 0.5) / self.image_size)
        tables = [self.not_a_point_embed(), *(e() for e in self.point_embeddings)]
        offsets = jnp.concatenate(tables)[labels + 1]
        is_point = (labels >= 0)[..., None]
        tokens = jnp.where(is_point, positions, 0.0) + offsets
        pad = jnp.broadcast_to(tables[0][None], (tokens.shape[0], 1, tokens.shape[2]))
        return (
            jnp.concatenate([tokens, pad], 1),
            jnp.concatenate([live, jnp.ones_like(unprompted)], 1),
        )

    def encode_mask(self, mask_logits: jax.Array, use_mask: jax.Array) -> jax.Array:
        """Dense embedding [B, S/16, S/16, d]; rows without use_mask [B] get no_mask_embed."""
        x = self.mask_downscaling_0(mask_logits[..., None])
        x = gelu(self.mask_downscaling_1(x))
        x = gelu(self.mask_downscaling_4(self.mask_downscaling_3(x)))
        x = self.mask_downscaling_6(x).astype(jnp.float32)
        absent = self.no_mask_embed().reshape(1, 1, 1, -1)
        return jnp.where(use_mask[:, None, None, None], x, absent)

    def dense_positions(self) -> jax.Array:
        """Fourier features of the stride-16 grid, [S/16, S/16, d]."""
        n = self.image_size // 16
        centre = (np.arange(n, dtype=np.float32) + 0.5) / n
        grid = np.stack(np.meshgrid(centre, centre, indexing="xy"), -1)
        return self.pe_layer(jnp.asarray(grid))
