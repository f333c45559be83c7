"""Memory encoder: a frame's features and an object's mask become that object's memory.

Path:    mask decoder -> [memory_encoder] -> memory bank
Axes:    s16 [B, h, w, d] (raw, not memory-conditioned), mask [B, 16h, 16w] already scaled
         -> memory [B, h, w, D].
Source:  SAM 2 `sam2/modeling/memory_encoder.py`; scaling of the mask in `sam2_base.py`
         (`_encode_new_memory`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from surgjax.layers.convolution import Conv, DepthwiseConv
from surgjax.layers.linear import Dtype, LayerNorm, Linear, gelu

_CHANNELS = (1, 4, 16, 64, 256)


class MaskDownsampler(nn.Module):
    """Four 3x3 stride-2 convolutions, then 1x1: [B, S, S] -> [B, S/16, S/16, d].

    Submodules carry the indices of the reference's `encoder` sequence.
    """

    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        pairs = list(zip(_CHANNELS[:-1], _CHANNELS[1:], strict=True))
        convs = [Conv(i, o, 3, 2, 1, self.dtype) for i, o in pairs]
        norms = [LayerNorm(o, 1e-6) for _, o in pairs]
        self.encoder_0, self.encoder_3, self.encoder_6, self.encoder_9 = convs
        self.encoder_1, self.encoder_4, self.encoder_7, self.encoder_10 = norms
        self.encoder_12 = Conv(_CHANNELS[-1], self.features, 1, dtype=self.dtype)

    def __call__(self, mask: jax.Array) -> jax.Array:
        x = mask[..., None]
        for conv, norm in (
            (self.encoder_0, self.encoder_1),
            (self.encoder_3, self.encoder_4),
            (self.encoder_6, self.encoder_7),
            (self.encoder_9, self.encoder_10),
        ):
            x = gelu(norm(conv(x)))
        return self.encoder_12(x).astype(jnp.float32)


class FuserBlock(nn.Module):
    """A ConvNeXt block with layer scale (`gamma`)."""

    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        d = self.features
        self.dwconv = DepthwiseConv(d, 7)
        self.norm = LayerNorm(d, 1e-6)
        self.pwconv1 = Linear(d, 4 * d, self.dtype)
        self.pwconv2 = Linear(4 * d, d, self.dtype)
        self.gamma = self.param("gamma", nn.initializers.constant(1e-6), (d,))

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.pwconv2(gelu(self.pwconv1(self.norm(self.dwconv(x)))))
        return x + y.astype(jnp.float32) * self.gamma.reshape(1, 1, 1, -1)


class Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.layers = [FuserBlock(self.features, self.dtype) for _ in range(2)]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Parameters as in `memory_encoder.*`."""

    features: int
    memory_dim: int
    dtype: Dtype = jnp.float32

    def setup(self):
        d = self.features
        self.mask_downsampler = MaskDownsampler(d, self.dtype)
        self.pix_feat_proj = Conv(d, d, 1, dtype=self.dtype)
        self.fuser = Fuser(d, self.dtype)
        self.out_proj = Conv(d, self.memory_dim, 1, dtype=self.dtype)

    def __call__(self, s16: jax.Array, mask: jax.Array) -> jax.Array:
        x = self.pix_feat_proj(s16).astype(jnp.float32) + self.mask_downsampler(mask)
        return self.out_proj(self.fuser(x)).astype(jnp.float32)
