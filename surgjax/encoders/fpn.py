"""Feature pyramid neck and the image encoder (trunk + neck).

Path:    hiera -> [fpn] -> memory attention, mask decoder
Axes:    trunk maps [B, H, W, C] at strides 4, 8, 16, 32 -> maps of width d at strides 4, 8, 16.
Source:  SAM 2 `sam2/modeling/backbones/image_encoder.py` (FpnNeck, scalp = 1).
Differs: the stride-32 map only feeds the top-down path; SAM 2 computes it and drops it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from surgjax.encoders.hiera import Hiera
from surgjax.layers.convolution import Conv
from surgjax.layers.linear import Dtype
from surgjax.ops.resize import upsample_nearest_2x


class LateralConv(nn.Module):
    """A 1x1 convolution, one level down the tree as in the reference (`convs.N.conv`)."""

    in_features: int
    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.conv = Conv(self.in_features, self.features, 1, dtype=self.dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x)


class FpnNeck(nn.Module):
    """convs_0 belongs to the deepest level. Only the stride-16 map gets a top-down sum."""

    widths: tuple[int, ...]  # deepest first
    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.convs = [LateralConv(w, self.features, self.dtype) for w in self.widths]

    def __call__(self, maps: list[jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        lateral = [c(m) for c, m in zip(self.convs, reversed(maps), strict=True)]
        deep, s16, s8, s4 = (x.astype(jnp.float32) for x in lateral)
        return s4, s8, s16 + upsample_nearest_2x(deep)


class ImageEncoder(nn.Module):
    """Frame [B, S, S, 3] -> maps of width d at strides 4, 8 and 16, float32."""

    trunk_fields: dict
    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        e = self.trunk_fields["embed_dim"]
        self.trunk = Hiera(**self.trunk_fields, dtype=self.dtype)
        self.neck = FpnNeck(tuple(e << i for i in (3, 2, 1, 0)), self.features, self.dtype)

    def __call__(
        self, frames: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        return self.neck(self.trunk(frames, train))
