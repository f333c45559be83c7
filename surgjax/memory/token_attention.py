"""The semantic token's way through memory attention, beside the pixels of the frame.

Path:    Conditioned(s16, token) + memory -> [token_attention] -> Conditioned -> mask decoder
Axes:    pixels [B, N, d] with N = h * w, token [B, 1, d].
Numerics: those of the layers, whose weights the token shares.
Source:  SAM2S, arXiv:2511.16618: a token that attends to memory and to the current frame. That it
         is not rotated, as object pointers are not, and what reads it are our choices.
Differs: by default nothing reads the token, so it is computed in a pass of its own after each
         layer: a query row more in a masked sequence would give the same token, but also other
         shapes and thus other roundings of the pixels. So the masks of a model are those it has
         without the token. The price is that keys of the memory are projected once more for the
         token (keys of the frame are the same expression twice, which XLA merges). With
         `is_read` pixels have the token as one more key of their self-attention.
"""

import jax
import jax.numpy as jnp

from surgjax.layers.attention import attention
from surgjax.memory.memory_attention import (
    MemoryAttention,
    MemoryAttentionLayer,
    PositionedMemory,
)
from surgjax.structs import Conditioned, MemoryRead


def condition(
    stack: MemoryAttention,
    frame: Conditioned,
    memory: tuple[MemoryRead, jax.Array, jax.Array],
    is_read: bool,
    tiled: bool = False,
    train: bool = False,
) -> Conditioned:
    """What `MemoryAttention` makes of the pixels, and of the token.

    memory: what `MemoryAttention` takes: the read, its time table and its pointers' positions.
    """
    x, token = frame.s16, frame.token
    x, positioned, table = stack.start(x, *memory)
    for i, layer in enumerate(stack.layers):
        seen, pixels = positioned.at_layer(i, stack.num_layers), x
        # Pixels first: dropout then draws for them what it draws without the token.
        if is_read:
            x = _reading_layer(layer, pixels, token, seen, table, tiled, train)
        else:
            x = layer(pixels, seen, table, tiled, train)
        token = _token_layer(layer, pixels, token, seen, table, tiled, train)
    return Conditioned(stack.norm(x).reshape(frame.s16.shape), stack.norm(token))


def _keys_and_values(layer: MemoryAttentionLayer, x, token, table) -> tuple[jax.Array, jax.Array]:
    """Of the normed pixels, rotated, and of the normed token after them, unrotated: [B, N+1, d]."""
    attn = layer.self_attn
    keys = jnp.concatenate([attn.keys(x, table), attn.keys(token, None)], 1)
    return keys, jnp.concatenate([attn.v_proj(x), attn.v_proj(token)], 1)


def _attend(layer: MemoryAttentionLayer, q, keys, values) -> jax.Array:
    out = attention(q[:, :, None], keys[:, :, None], values[:, :, None])
    return layer.self_attn.out_proj(out[:, :, 0]).astype(jnp.float32)


def _token_layer(
    layer: MemoryAttentionLayer, x, token, memory: PositionedMemory, table, tiled, train
) -> jax.Array:
    """The token after one layer: it looks at the pixels, at itself, and at the memory."""
    normed = layer.norm1(token)
    q = layer.self_attn.queries(normed, None)
    keys, values = _keys_and_values(layer, layer.norm1(x), normed, table)
    token = token + layer.drop(_attend(layer, q, keys, values), not train)
    return layer.recall(token, None, memory, tiled, train)


def _reading_layer(
    layer: MemoryAttentionLayer, x, token, memory: PositionedMemory, table, tiled, train
) -> jax.Array:
    """The pixels after one layer in which they look at the token too."""
    normed = layer.norm1(x)
    q = layer.self_attn.queries(normed, table)
    keys, values = _keys_and_values(layer, normed, layer.norm1(token), table)
    x = x + layer.drop(_attend(layer, q, keys, values), not train)
    return layer.recall(x, table, memory, tiled, train)
