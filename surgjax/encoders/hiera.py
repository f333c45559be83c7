"""Hiera trunk with windowed absolute position embeddings.

Path:    frame -> [hiera] -> fpn -> memory attention
Axes:    [B, H, W, C]; four outputs at strides 4, 8, 16, 32 with C = E, 2E, 4E, 8E.
Units:   frames are normalised RGB, S x S pixels, S a multiple of 32.
Source:  SAM 2, arXiv:2408.00714; `sam2/modeling/backbones/hieradet.py`, `utils.py`.
Differs: qkv is computed before the padding of a window (the reference pads zeros after the norm,
         whose q, k and v equal the bias), and outputs are projected after the padding is cut off:
         same numbers, less work.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from surgjax.layers.attention import attention
from surgjax.layers.convolution import Conv
from surgjax.layers.linear import Dtype, LayerNorm, Linear, Mlp, gelu
from surgjax.ops.resize import max_pool_2x2, resize_bicubic_grid

_EPS = 1e-6


class PatchEmbed(nn.Module):
    """7x7 convolution of stride 4, padding 3: [B, S, S, 3] -> [B, S/4, S/4, E]."""

    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.proj = Conv(3, self.features, 7, 4, 3, self.dtype)

    def __call__(self, frames: jax.Array) -> jax.Array:
        return self.proj(frames)


def _pad_with(x: jax.Array, fill: jax.Array, height: int, width: int) -> jax.Array:
    """Extends x [B, H, W, C] at the bottom and right with the vector fill [C]."""
    b, h, w, c = x.shape
    if (height, width) == (h, w):
        return x
    inside = (jnp.arange(height) < h)[:, None] & (jnp.arange(width) < w)[None, :]
    x = jnp.pad(x, ((0, 0), (0, height - h), (0, width - w), (0, 0)))
    return jnp.where(inside[None, :, :, None], x, fill.astype(x.dtype).reshape(1, 1, 1, c))


def _to_windows(x: jax.Array, window: int, heads: int) -> jax.Array:
    """[B, H, W, C] -> [B * windows, window * window, heads, C / heads]."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, window * window, heads, c // heads)


def _from_windows(x: jax.Array, window: int, height: int, width: int) -> jax.Array:
    """Inverse of `_to_windows` for a padded map of height x width."""
    c = x.shape[2] * x.shape[3]
    x = x.reshape(-1, height // window, width // window, window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, height, width, c)


class MultiScaleAttention(nn.Module):
    """Window (or global, window 0) attention; with `pool`, queries are max-pooled 2x2 first."""

    in_features: int
    features: int
    heads: int
    window: int
    pool: bool
    dtype: Dtype = jnp.float32

    def setup(self):
        self.qkv = Linear(self.in_features, 3 * self.features, self.dtype)
        self.proj = Linear(self.features, self.features, self.dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, _ = x.shape
        q, k, v = jnp.split(self.qkv(x), 3, axis=-1)
        if self.window == 0:
            if self.pool:
                q = max_pool_2x2(q)
            hq, wq = q.shape[1:3]
            q, k, v = (t.reshape(b, -1, self.heads, self.features // self.heads) for t in (q, k, v))
            return self.proj(attention(q, k, v).reshape(b, hq, wq, self.features))
        window = self.window
        hp, wp = (-(-n // window) * window for n in (h, w))
        fills = jnp.split(self.qkv.weights()[1], 3)
        q, k, v = (_pad_with(t, f, hp, wp) for t, f in zip((q, k, v), fills, strict=True))
        q_window = window
        if self.pool:
            q, q_window, h, w = max_pool_2x2(q), window // 2, h // 2, w // 2
        hq, wq = q.shape[1:3]
        k, v = (_to_windows(t, window, self.heads) for t in (k, v))
        out = attention(_to_windows(q, q_window, self.heads), k, v)
        return self.proj(_from_windows(out, q_window, hq, wq)[:, :h, :w])


class MultiScaleBlock(nn.Module):
    """A transformer block; where the width changes, the map is pooled, the shortcut projected."""

    in_features: int
    features: int
    heads: int
    window: int
    pool: bool
    drop_path: float = 0.0
    dtype: Dtype = jnp.float32

    def setup(self):
        self.norm1 = LayerNorm(self.in_features, _EPS)
        self.attn = MultiScaleAttention(
            self.in_features, self.features, self.heads, self.window, self.pool, self.dtype
        )
        self.norm2 = LayerNorm(self.features, _EPS)
        c = self.features
        self.mlp = Mlp((c, 4 * c, c), gelu, self.dtype)
        if self.in_features != c:
            self.proj = Linear(self.in_features, c, self.dtype)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = self.norm1(x)
        if self.in_features != self.features:
            # The shortcut goes through the *normalised* input, as in the reference.
            x = self.proj(y).astype(jnp.float32)
            x = max_pool_2x2(x) if self.pool else x
        x = x + self._drop(self.attn(y), train)
        return x + self._drop(self.mlp(self.norm2(x)), train)

    def _drop(self, branch: jax.Array, train: bool) -> jax.Array:
        """Stochastic depth: whole rows of a residual branch are dropped while training."""
        branch = branch.astype(jnp.float32)
        if not train or self.drop_path == 0.0:
            return branch
        keep = 1.0 - self.drop_path
        shape = (branch.shape[0], 1, 1, 1)
        alive = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return branch * alive.astype(jnp.float32) / keep


def block_plan(
    stages: tuple[int, ...], windows: tuple[int, ...], global_blocks: tuple[int, ...]
) -> list[tuple[int, int, bool]]:
    """(stage, window, pools) of every block.

    A block takes its window one block late: the first block of a stage still uses the window of
    the stage before, since it pools from that grid.
    """
    plan = []
    for stage, depth in enumerate(stages):
        for i in range(depth):
            first = i == 0 and stage > 0
            window = windows[stage - 1] if first else windows[stage]
            plan.append((stage, 0 if len(plan) in global_blocks else window, first))
    return plan


class Hiera(nn.Module):
    """The trunk. Returns the maps at the ends of the four stages, high resolution first."""

    embed_dim: int
    num_heads: int
    stages: tuple[int, ...]
    global_blocks: tuple[int, ...]
    window_spec: tuple[int, ...]
    pos_embed_grid: int
    drop_path_rate: float = 0.0
    remat: bool = False
    dtype: Dtype = jnp.float32

    def setup(self):
        e, b, w = self.embed_dim, self.pos_embed_grid, self.window_spec[0]
        self.patch_embed = PatchEmbed(e, self.dtype)
        init = nn.initializers.truncated_normal(0.02)
        self.pos_embed = self.param("pos_embed", init, (1, b, b, e))
        self.pos_embed_window = self.param("pos_embed_window", init, (1, w, w, e))
        block = nn.remat(MultiScaleBlock, static_argnums=(2,)) if self.remat else MultiScaleBlock
        blocks, width = [], e
        plan = block_plan(self.stages, self.window_spec, self.global_blocks)
        for i, (stage, window, pools) in enumerate(plan):
            rate = self.drop_path_rate * i / max(len(plan) - 1, 1)
            out, heads = e << stage, self.num_heads << stage
            blocks.append(block(width, out, heads, window, pools, rate, self.dtype))
            width = out
        self.blocks = blocks

    def __call__(self, frames: jax.Array, train: bool = False) -> list[jax.Array]:
        x = self.patch_embed(frames).astype(jnp.float32)
        x = x + self.position_embedding(*x.shape[1:3])
        ends = {sum(self.stages[: i + 1]) - 1 for i in range(len(self.stages))}
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x, train)
            if i in ends:
                maps.append(x)
        return maps

    def position_embedding(self, height: int, width: int) -> jax.Array:
        """[1, H, W, E]: a stretched background plus a repeated window."""
        window = self.pos_embed_window
        tiles = (1, height // window.shape[1], width // window.shape[2], 1)
        return resize_bicubic_grid(self.pos_embed, (height, width)) + jnp.tile(window, tiles)
