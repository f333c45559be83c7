"""Resampling with half-pixel centres, numerically equal to the PyTorch kernels SAM 2 uses.

Axes:    images are [..., H, W] here unless a docstring says otherwise.
Source:  SAM 2 `sam2/modeling/backbones/hieradet.py` (bicubic position embedding),
         `sam2/modeling/sam2_base.py` (mask upsampling, antialiased mask downsampling).
Differs: `jax.image.resize(..., "cubic")` uses a = -0.5 and renormalises at the border, which is
         off by 0.2 on random input; PyTorch uses a = -0.75 with clamped taps, so the bicubic
         matrix is built here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


@functools.lru_cache(maxsize=64)
def bicubic_matrix(n_out: int, n_in: int) -> np.ndarray:
    """Weights [n_out, n_in] of Keys' bicubic kernel (a = -0.75), no antialiasing, clamped taps."""
    a = -0.75
    centre = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    base = np.floor(centre).astype(np.int64)
    matrix = np.zeros((n_out, n_in), np.float64)
    for tap in range(-1, 3):
        x = np.abs(centre - (base + tap))
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        weight = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
        np.add.at(matrix, (np.arange(n_out), np.clip(base + tap, 0, n_in - 1)), weight)
    return matrix.astype(np.float32)


def resize_bicubic_grid(grid: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes an embedding [1, b, b, E] to [1, H, W, E] the way PyTorch's bicubic does."""
    rows = jnp.asarray(bicubic_matrix(size[0], grid.shape[1]))
    cols = jnp.asarray(bicubic_matrix(size[1], grid.shape[2]))
    return jnp.einsum("hi,wj,nijc->nhwc", rows, cols, grid, precision="highest")


def resize_bilinear(images: jax.Array, size: tuple[int, int], antialias: bool = False) -> jax.Array:
    """Resizes [..., H, W] to [..., *size]; PyTorch's `interpolate(mode="bilinear")` to 5e-7."""
    shape = (*images.shape[:-2], *size)
    if images.shape == shape:
        return images
    return jax.image.resize(images, shape, "linear", antialias=antialias)


def upsample_nearest_2x(x: jax.Array) -> jax.Array:
    """Duplicates every pixel of [B, H, W, C] into a 2x2 square."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """2x2 max pooling of [B, H, W, C] with even H and W.

    Pairwise maxima: on XLA CPU their gradient is seven times cheaper than that of one reduction.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c)
    x = jnp.maximum(x[:, :, 0], x[:, :, 1])
    return jnp.maximum(x[:, :, :, 0], x[:, :, :, 1])
