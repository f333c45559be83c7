"""U-Net: dense segmentation without prompts, the baseline that many surgical papers train.

Path:    image -> [unet] -> logits
Axes:    images [B, H, W, 3] float32 -> logits [B, H, W, classes] float32; H and W are multiples of
         2 ** (number of widths - 1).
Errors:  ValueError, while tracing, for a size that does not halve often enough.
Source:  Ronneberger et al., arXiv:1505.04597.
Differs: padded convolutions, so sizes are kept; GroupNorm instead of none (or BatchNorm in most
         re-implementations), so the model is a pure function; narrower by default.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class _Block(nn.Module):
    """Two 3x3 convolutions with GroupNorm and ReLU."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(2):
            x = nn.Conv(self.width, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.GroupNorm(num_groups=math.gcd(8, self.width))(x))
        return x


class UNet(nn.Module):
    """widths: channels at every resolution, full size first."""

    classes: int = 1
    widths: tuple[int, ...] = (16, 32, 64, 128)

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        step = 2 ** (len(self.widths) - 1)
        if images.ndim != 4 or images.shape[1] % step or images.shape[2] % step:
            raise ValueError(
                f"images {images.shape}: [B, H, W, 3] with multiples of {step} expected."
            )
        x, skips = images, []
        for width in self.widths[:-1]:
            x = _Block(width)(x)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = _Block(self.widths[-1])(x)
        for width, skip in zip(reversed(self.widths[:-1]), reversed(skips), strict=True):
            x = nn.ConvTranspose(width, (2, 2), strides=(2, 2))(x)
            x = _Block(width)(jnp.concatenate([skip, x], -1))
        return nn.Conv(self.classes, (1, 1))(x).astype(jnp.float32)
