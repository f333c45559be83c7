"""Fixed-capacity memory bank of one object, for streams of any length.

Path:    memory_encoder -> [memory_bank] -> policies -> memory attention
Axes:    one object: conditioning slots C, recent spatial slots R, recent pointer slots P, tokens N
         of width D, pointer width d. A stream stacks the banks of its objects on a leading axis O.
Units:   frame indices count decoded frames from 0; -1 marks an empty slot.
Source:  SAM 2, arXiv:2408.00714, memory bank; `sam2/modeling/sam2_base.py`.
Differs: SAM 2 keeps every frame in a dict and picks at read time. Here the two horizons (6 spatial
         memories, 15 pointers) are two rings, addressed by frame index modulo their length, and
         conditioning frames have slots of their own, the closest in time kept when they run out.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.structs import Array

EMPTY = -1


class MemoryEntry(flax.struct.PyTreeNode):
    """What one frame leaves behind for one object."""

    features: Array  # [N, D]
    pointer: Array  # [d] float32
    frame_index: Array  # [] int32
    is_conditioning: Array  # [] bool
    object_score: Array  # [] float32, logit
    iou: Array  # [] float32, predicted


class MemoryBank(flax.struct.PyTreeNode):
    """One object's memory."""

    cond_features: Array  # [C, N, D]
    cond_pointers: Array  # [C, d]
    cond_index: Array  # [C] int32
    recent_features: Array  # [R, N, D]
    recent_index: Array  # [R] int32
    pointers: Array  # [P, d]
    pointer_index: Array  # [P] int32


def init_bank(
    cond_slots: int,
    recent_slots: int,
    pointer_slots: int,
    tokens: int,
    memory_dim: int,
    pointer_dim: int,
    dtype: DTypeLike = jnp.bfloat16,
) -> MemoryBank:
    """An empty bank. Spatial memories are stored in `dtype`, pointers in float32."""
    c, r, p = cond_slots, recent_slots, pointer_slots
    return MemoryBank(
        cond_features=jnp.zeros((c, tokens, memory_dim), dtype),
        cond_pointers=jnp.zeros((c, pointer_dim), jnp.float32),
        cond_index=jnp.full((c,), EMPTY, jnp.int32),
        recent_features=jnp.zeros((r, tokens, memory_dim), dtype),
        recent_index=jnp.full((r,), EMPTY, jnp.int32),
        pointers=jnp.zeros((p, pointer_dim), jnp.float32),
        pointer_index=jnp.full((p,), EMPTY, jnp.int32),
    )


def drop_prompt(bank: MemoryBank, frame_index: jax.Array) -> MemoryBank:
    """Empties the conditioning slot of a frame; whatever else is remembered stays."""
    kept = bank.cond_index != frame_index
    return bank.replace(cond_index=jnp.where(kept, bank.cond_index, EMPTY))


def _put(slots: jax.Array, at: jax.Array, value: jax.Array, when: jax.Array) -> jax.Array:
    """slots with slots[at] = value where `when`; only one slot is touched."""
    return slots.at[at].set(jnp.where(when, value.astype(slots.dtype), slots[at]))


def conditioning_slot(cond_index: jax.Array, frame_index: jax.Array) -> jax.Array:
    """Where a conditioning frame goes: its own old slot, else an empty one, else the farthest."""
    distance = jnp.abs(cond_index - frame_index)
    big = jnp.iinfo(jnp.int32).max
    rank = jnp.where(cond_index == EMPTY, big - 1, distance)
    return jnp.argmax(jnp.where(cond_index == frame_index, big, rank))


def write(bank: MemoryBank, entry: MemoryEntry) -> MemoryBank:
    """Stores one frame. A conditioning frame also drops what the rings held of that frame.

    Raises ValueError, while tracing, if the entry's features do not fit the bank.
    """
    want = bank.cond_features.shape[1:]
    if entry.features.shape != want:  # a size-1 axis would broadcast without a word
        raise ValueError(f"features {entry.features.shape} do not fit a bank of {want}")
    t, cond = entry.frame_index, entry.is_conditioning
    slot = conditioning_slot(bank.cond_index, t)
    ring = t % bank.recent_index.shape[0]
    tail = t % bank.pointer_index.shape[0]
    recent_index = jnp.where(cond & (bank.recent_index == t), EMPTY, bank.recent_index)
    pointer_index = jnp.where(cond & (bank.pointer_index == t), EMPTY, bank.pointer_index)
    return MemoryBank(
        cond_features=_put(bank.cond_features, slot, entry.features, cond),
        cond_pointers=_put(bank.cond_pointers, slot, entry.pointer, cond),
        cond_index=_put(bank.cond_index, slot, t, cond),
        recent_features=_put(bank.recent_features, ring, entry.features, ~cond),
        recent_index=_put(recent_index, ring, t, ~cond),
        pointers=_put(bank.pointers, tail, entry.pointer, ~cond),
        pointer_index=_put(pointer_index, tail, t, ~cond),
    )
