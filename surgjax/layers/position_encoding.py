"""Fixed position encodings: 2-D sine, 1-D sine, axial rotary.

Axes:    grids flatten row-major, token n sits at x = n mod W, y = n // W.
Units:   grid cells; `sine_1d` takes any scalar position.
Source:  SAM 2 `position_encoding.py` (PositionEmbeddingSine, compute_axial_cis), `sam2_utils.py`
         (get_1d_sine_pe).
Differs: the rotary rotation works on channels with all even ones first, so that a rotation reads
         two contiguous halves; `rope_permutation` is folded into the projections' columns. A dot
         product does not change when both sides are permuted alike.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


@functools.lru_cache(maxsize=32)
def sine_2d(height: int, width: int, channels: int) -> np.ndarray:
    """[H, W, channels]: the y block first, then x; sine on even channels, cosine on odd ones."""
    half = channels // 2
    i = np.arange(half)
    tau = 10000.0 ** (2 * (i // 2) / half)

    def axis(n: int) -> np.ndarray:
        v = (np.arange(n) + 1) / (n + 1e-6) * 2 * np.pi
        angle = v[:, None] / tau
        return np.where(i % 2 == 0, np.sin(angle), np.cos(angle))

    y = np.broadcast_to(axis(height)[:, None], (height, width, half))
    x = np.broadcast_to(axis(width)[None], (height, width, half))
    return np.concatenate([y, x], -1).astype(np.float32)


def sine_1d(position: jax.Array, channels: int) -> jax.Array:
    """[...] -> [..., channels]: all sines, then all cosines."""
    half = channels // 2
    tau = jnp.asarray(10000.0 ** (2 * (np.arange(half) // 2) / half), jnp.float32)
    angle = position[..., None].astype(jnp.float32) / tau.reshape((1,) * position.ndim + (-1,))
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


@functools.lru_cache(maxsize=32)
def axial_rope_table(side: int, channels: int, theta: float = 10000.0, pool: int = 1) -> np.ndarray:
    """[2, side*side, channels/2] float32: cosines and sines of the axial rotation angles.

    pool: the grid's cells are squares of so many by so many, and sit in the middle of theirs.
    """
    frequencies = theta ** (-4.0 * np.arange(channels // 4) / channels)
    n = np.arange(side * side)
    x, y = (pool * at + (pool - 1) / 2 for at in (n % side, n // side))
    angle = np.concatenate([np.outer(x, frequencies), np.outer(y, frequencies)], axis=-1)
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


@functools.lru_cache(maxsize=8)
def rope_permutation(channels: int) -> np.ndarray:
    """Channel order with even channels first: pair j of the rotation is (j, j + channels/2)."""
    return np.concatenate([np.arange(0, channels, 2), np.arange(1, channels, 2)])


def rotate(x: jax.Array, table: jax.Array) -> jax.Array:
    """Rotates x [..., N, C], channels in `rope_permutation` order, by table [2, N, C/2]."""
    half = x.shape[-1] // 2
    x = x.astype(jnp.float32)
    a, b = x[..., :half], x[..., half:]
    lead = (1,) * (x.ndim - 2)
    cos, sin = table[0].reshape(lead + table[0].shape), table[1].reshape(lead + table[1].shape)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
