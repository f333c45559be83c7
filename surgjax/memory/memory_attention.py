"""Memory attention: the current frame's features attend to what was remembered of an object.

Path:    s16 + MemoryRead -> [memory_attention] -> mask decoder
Axes:    s16 [B, h, w, d]; memory slots [B, M, N, D] with N = h * w; pointers [B, Q, d], each of
         which becomes d / D tokens of width D.
Numerics: pre-norm, LayerNorm eps 1e-5, ReLU; norms, softmax and rotations in float32.
Source:  SAM 2 `sam2/modeling/memory_attention.py`, `sam2_base.py`
         (`_prepare_memory_conditioned_features`).
Differs: values stay in the raw memory width D until after the softmax-weighted sum (its weights sum
         to one, so the value projection and its bias commute with it): a quarter of the work.
         `tiled=True` walks over tiles of keys with a running softmax and a trip count that is
         data, so an empty slot costs nothing (in half precision on an NVIDIA GPU cuDNN's kernel
         takes its place); `tiled=False` is dense and differentiable.
"""

import copy

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from surgjax.layers.attention import (
    attention,
    dense_attention,
    empty_softmax,
    finish_softmax,
    fits_fused,
    fused_attention,
    online_softmax,
)
from surgjax.layers.linear import Dtype, LayerNorm, Linear, project
from surgjax.layers.position_encoding import axial_rope_table, rope_permutation, rotate, sine_2d
from surgjax.structs import FarMemory, MemoryRead

_KEY_TILE = 512


class RopeAttention(nn.Module):
    """Parameters of one single-head rotary attention; kv_features is D for memory, d for self."""

    features: int
    kv_features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.q_proj = Linear(self.features, self.features, self.dtype)
        self.k_proj = Linear(self.kv_features, self.features, self.dtype)
        self.v_proj = Linear(self.kv_features, self.features, self.dtype)
        self.out_proj = Linear(self.features, self.features, self.dtype)

    def queries(self, x: jax.Array, table: jax.Array | None) -> jax.Array:
        q = self._permuted(self.q_proj, x)
        return (q if table is None else rotate(q, table)).astype(self.dtype)

    def keys(self, x: jax.Array, table: jax.Array | None) -> jax.Array:
        k = self._permuted(self.k_proj, x)
        return (k if table is None else rotate(k, table)).astype(self.dtype)

    def _permuted(self, linear: Linear, x: jax.Array) -> jax.Array:
        """Projects into `rope_permutation` order by permuting the weights, not the activations."""
        kernel, bias = linear.weights()
        order = rope_permutation(self.features)
        return project(x, kernel[:, order], bias[order], self.dtype)

    def attend_self(self, x: jax.Array, table: jax.Array) -> jax.Array:
        """x [B, N, d] -> [B, N, d]."""
        q, k = self.queries(x, table), self.keys(x, table)
        out = attention(q[:, :, None], k[:, :, None], self.v_proj(x)[:, :, None])
        return self.out_proj(out[:, :, 0]).astype(jnp.float32)

    def finish(self, attended: jax.Array) -> jax.Array:
        """Softmax-weighted raw memory [B, N, D] -> [B, N, d]."""
        return self.out_proj(self.v_proj(attended)).astype(jnp.float32)


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to memory, feed-forward."""

    features: int
    memory_dim: int
    ffn_dim: int
    dropout: float
    dtype: Dtype = jnp.float32

    def setup(self):
        d = self.features
        self.self_attn = RopeAttention(d, d, self.dtype)
        self.cross_attn_image = RopeAttention(d, self.memory_dim, self.dtype)
        self.linear1 = Linear(d, self.ffn_dim, self.dtype)
        self.linear2 = Linear(self.ffn_dim, d, self.dtype)
        self.norm1, self.norm2, self.norm3 = (LayerNorm(d, 1e-5) for _ in range(3))
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, x, memory, table, tiled: bool = False, train: bool = False):
        x = x + self.drop(self.self_attn.attend_self(self.norm1(x), table), not train)
        return self.recall(x, table, memory, tiled, train)

    def recall(self, x, query_table, memory, tiled: bool = False, train: bool = False):
        """What follows self-attention, row by row; query_table None leaves queries unrotated."""
        still = not train
        q = self.cross_attn_image.queries(self.norm2(x), query_table)
        x = x + self.drop(self._cross(q, memory, tiled), still)
        y = jax.nn.relu(self.linear1(self.norm3(x)))
        y = self.linear2(self.drop(y, still)).astype(jnp.float32)
        return x + self.drop(y, still)

    def _cross(self, q, memory, tiled: bool):
        """The form that suits backend, precision and purpose."""
        if not tiled:
            return self._dense(q, memory)
        keys = memory.pointers.shape[1]
        keys += sum(part.features.shape[1] * part.features.shape[2] for part in memory.spatial)
        # cuDNN's kernel has no weights of keys.
        if memory.is_weighted or not fits_fused(q[:, :, None], keys):
            return self._tiled(q, memory)
        return self._fused(q, memory)

    def _dense(self, q, memory):
        """All slots at once, invalid ones masked."""
        keys, values, mask, weight = self._all_keys(memory)
        out = dense_attention(
            q[:, :, None],
            keys[:, :, None],
            values[:, :, None].astype(self.dtype),
            mask,
            weight if memory.is_weighted else None,
        )
        return self.cross_attn_image.finish(out[:, :, 0])

    def _fused(self, q, memory):
        """One kernel over the valid keys. They must come first: pointers lie behind all slots, and
        valid ones among invalid ones. Its values are as wide as its keys, so they are projected."""
        attn = self.cross_attn_image
        keys, values, mask, _ = self._all_keys(memory)
        values = attn.v_proj(values).astype(self.dtype)
        first = jnp.argsort(~mask, axis=1, stable=True)[:, :, None]
        keys, values = (jnp.take_along_axis(x, first, 1) for x in (keys, values))
        out = fused_attention(
            q[:, :, None],
            keys[:, :, None],
            values[:, :, None],
            mask.sum(1, dtype=jnp.int32),
        )
        return attn.out_proj(out[:, :, 0]).astype(jnp.float32)

    def _all_keys(self, memory):
        """Keys [B, K, d], raw values [B, K, D], which are valid [B, K], their weights [K]."""
        attn = self.cross_attn_image
        keys, values, mask, weight = [], [], [], []
        for part in memory.spatial:
            b, m, n, width = part.features.shape
            spatial = part.features.astype(jnp.float32).reshape(b, m * n, width)
            position = part.slot_position[:, :, None] + part.grid_position[None, None]
            angles = jnp.tile(part.table, (1, m, 1))
            keys.append(attn.keys(spatial + position.reshape(b, m * n, width), angles))
            values.append(spatial)
            valid = jnp.arange(m)[None] < part.count[:, None]
            mask.append(jnp.repeat(valid, n, axis=1))
            weight.append(jnp.full(m * n, part.cells, jnp.float32))
        keys.append(attn.keys(memory.pointers + memory.pointer_position, None))
        values.append(memory.pointers)
        mask.append(memory.pointer_mask)
        weight.append(jnp.ones(memory.pointers.shape[1]))
        return (
            *(jnp.concatenate(each, 1) for each in (keys, values, mask)),
            jnp.concatenate(weight),
        )

    def _tiled(self, q, memory):
        """Pointers first, then one tile of one slot at a time, stopping after the last valid."""
        attn, dtype = self.cross_attn_image, self.dtype
        carry = empty_softmax(q.shape[:2], memory.pointers.shape[-1])
        keys = attn.keys(memory.pointers + memory.pointer_position, None)
        values = memory.pointers.astype(dtype)
        carry = online_softmax(carry, q, keys, values, q.shape[-1] ** -0.5, memory.pointer_mask)
        for part in memory.spatial:
            carry = self._walk(carry, q, part)
        return attn.finish(finish_softmax(carry))

    def _walk(self, carry, q, memory):
        """Tile after tile of the valid slots of one set of spatial memories."""
        b, _, n, width = memory.features.shape
        tile = _KEY_TILE if n % _KEY_TILE == 0 else n
        per_slot = n // tile

        def step(i, carry):
            slot, at = i // per_slot, (i % per_slot) * tile
            start = (jnp.zeros_like(slot), slot, at, jnp.zeros_like(slot))
            part = lax.dynamic_slice(memory.features, start, (b, 1, tile, width))[:, 0]
            part = part.astype(jnp.float32)
            grid = lax.dynamic_slice_in_dim(memory.grid_position, at, tile, 0)
            position = lax.dynamic_slice_in_dim(memory.slot_position, slot, 1, 1)
            angles = lax.dynamic_slice_in_dim(memory.table, at, tile, 1)
            keys = self.cross_attn_image.keys(part + grid[None] + position, angles)
            live = jnp.broadcast_to((slot < memory.count)[:, None], (b, tile))
            values, scale = part.astype(self.dtype), q.shape[-1] ** -0.5
            return online_softmax(carry, q, keys, values, scale, live, memory.cells)

        return lax.fori_loop(0, memory.count.max() * per_slot, step, carry)


class SpatialMemory:
    """Spatial memories of one resolution, with positions; a key stands for p * p cells.

    features [B, M, n, D] may be bfloat16; they are read as float32 where they are used.
    """

    def __init__(self, read: MemoryRead | FarMemory, time_table: jax.Array, side: int, d: int):
        _, _, n, width = read.features.shape
        coarse = round(n**0.5)
        pool = side // coarse
        self.features, self.count, self.cells = read.features, read.count, pool**2
        grid = sine_2d(side, side, width).reshape(coarse, pool, coarse, pool, width)
        self.grid_position = jnp.asarray(grid.mean((1, 3)).reshape(n, width))
        self.slot_position = jnp.asarray(time_table)[read.time_index]
        self.table = jnp.asarray(axial_rope_table(coarse, d, pool=pool))


class PositionedMemory:
    """A MemoryRead with its positional parts, computed once for all layers."""

    def __init__(self, read: MemoryRead, time_table: jax.Array, pointer_position: jax.Array):
        b, _, n, width = read.features.shape
        side = round(n**0.5)
        d = read.pointers.shape[-1]
        self.spatial = [SpatialMemory(read, time_table, side, d)]
        self._far = read.far and SpatialMemory(read.far, time_table, side, d)
        self._far_layers = 0 if read.far is None else read.far.layers
        # A pointer of width d is d / D consecutive tokens of width D with one position.
        q, d = read.pointers.shape[1:]
        parts = d // width
        self.pointers = read.pointers.astype(jnp.float32).reshape(b, q * parts, width)
        self.pointer_position = jnp.repeat(pointer_position, parts, axis=1)
        self.pointer_mask = jnp.repeat(read.pointer_valid, parts, axis=1)

    @property
    def is_weighted(self) -> bool:
        """Whether some keys count more than once."""
        return any(part.cells != 1 for part in self.spatial)

    def at_layer(self, layer: int, num_layers: int) -> "PositionedMemory":
        """What a layer reads."""
        if self._far is None or layer < num_layers - self._far_layers:
            return self
        seen = copy.copy(self)
        seen.spatial = [*self.spatial, self._far]
        return seen


class MemoryAttention(nn.Module):
    """Parameters as in `memory_attention.*`."""

    features: int
    memory_dim: int
    num_layers: int
    ffn_dim: int
    dropout: float = 0.1
    dtype: Dtype = jnp.float32

    def setup(self):
        self.layers = [
            MemoryAttentionLayer(
                self.features, self.memory_dim, self.ffn_dim, self.dropout, self.dtype
            )
            for _ in range(self.num_layers)
        ]
        self.norm = LayerNorm(self.features, 1e-5)

    def __call__(
        self,
        s16: jax.Array,
        read: MemoryRead,
        time_table: jax.Array,
        pointer_position: jax.Array,
        tiled: bool = False,
        train: bool = False,
    ) -> jax.Array:
        """time_table [rows, D]; pointer_position [B, Q, D]. Returns [B, h, w, d]."""
        x, memory, table = self.start(s16, read, time_table, pointer_position)
        for i, layer in enumerate(self.layers):
            x = layer(x, memory.at_layer(i, self.num_layers), table, tiled, train)
        return self.norm(x).reshape(s16.shape)

    def start(
        self,
        s16: jax.Array,
        read: MemoryRead,
        time_table: jax.Array,
        pointer_position: jax.Array,
    ) -> tuple[jax.Array, PositionedMemory, jax.Array]:
        """What the first layer takes: pixels [B, h * w, d], memory, rotations."""
        b, h, w, d = s16.shape
        memory = PositionedMemory(read, time_table, pointer_position)
        table = jnp.asarray(axial_rope_table(h, d))
        x = s16 + 0.1 * jnp.asarray(sine_2d(h, w, d))[None]
        return x.reshape(b, h * w, d), memory, table
