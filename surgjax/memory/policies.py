"""Memory policies: what is kept of a frame and what a later frame reads back.

Path:    memory_bank -> [policies] -> memory attention
Axes:    one object; see `MemoryBank`. `read` returns a `MemoryRead` with B = 1.
Units:   frame indices; direction is +1 forward in time, -1 backward.
Source:  SAM 2 `sam2/modeling/sam2_base.py` (`_prepare_memory_conditioned_features`),
         `sam2_utils.py` (`select_closest_cond_frames`).
Differs: a policy is three pure functions over a pytree of its own, so a new system adds one policy
         and changes nothing else. The tracker knows no more of a bank than that.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.memory.memory_bank import EMPTY, MemoryBank, MemoryEntry, init_bank, write
from surgjax.structs import MemoryRead

Bank = Any  # any pytree of arrays; its leading axis in a stream is O


class Clock(NamedTuple):
    """Where a stream is."""

    frame_index: jax.Array  # [] int32, the frame that reads
    direction: jax.Array  # [] int32, +1 or -1
    num_frames: jax.Array  # [] int32, length of the video; 16 or more where it is not known


class MemoryPolicy(NamedTuple):
    """init() -> bank; write(bank, entry) -> bank; read(bank, clock) -> MemoryRead (B = 1);
    is_empty(bank) -> [] bool; memory: shape [N, D] and dtype in which a frame's memory is kept;
    replay: how many past frames rebuild a bank by writing them again."""

    init: Callable[[], Bank]
    write: Callable[[Bank, MemoryEntry], Bank]
    read: Callable[[Bank, Clock], MemoryRead]
    is_empty: Callable[[Bank], jax.Array]
    memory: jax.ShapeDtypeStruct
    replay: int


def closest_conditioning(cond_index: jax.Array, frame_index: jax.Array, limit: int) -> jax.Array:
    """Which conditioning slots [C] are read: the closest before, the closest at or after, then
    those nearest in time, `limit` in all."""
    valid = cond_index != EMPTY
    big = jnp.iinfo(jnp.int32).max
    distance = jnp.abs(cond_index - frame_index)
    before = valid & (cond_index < frame_index)
    after = valid & (cond_index >= frame_index)
    # Distances are at least 0, so -1 puts the two neighbours first whatever the others are.
    rank = jnp.where(valid, distance, big)
    for side in (before, after):
        nearest = jnp.argmin(jnp.where(side, distance, big))
        rank = rank.at[nearest].set(jnp.where(side[nearest], -1, rank[nearest]))
    order = jnp.argsort(rank, stable=True)
    chosen = jnp.zeros_like(valid).at[order[:limit]].set(True)
    return chosen & valid


def read_recent(
    bank: MemoryBank,
    clock: Clock,
    max_cond_frames: int,
    num_maskmem: int,
    max_object_pointers: int,
    signed_pointers: bool = True,
) -> MemoryRead:
    """SAM 2's rule: conditioning frames, the latest frames' memories, the latest pointers.

    Temporal row num_maskmem - 1 marks conditioning frames, row k - 1 a frame k steps back. An
    unselected conditioning frame counts as a recent one. Pointers of conditioning frames that lie
    ahead in the direction of travel are not read.
    """
    c, r = bank.cond_index.shape[0], bank.recent_index.shape[0]
    chosen = closest_conditioning(bank.cond_index, clock.frame_index, max_cond_frames)
    cond_back = (clock.frame_index - bank.cond_index) * clock.direction
    rest = (bank.cond_index != EMPTY) & ~chosen

    def in_window(back: jax.Array, held: jax.Array, last: jax.Array | int) -> jax.Array:
        return held & (back >= 1) & (back <= last)

    recent_back = (clock.frame_index - bank.recent_index) * clock.direction
    recent = in_window(recent_back, bank.recent_index != EMPTY, num_maskmem - 1)
    also_recent = in_window(cond_back, rest, num_maskmem - 1)
    use = jnp.concatenate([chosen | also_recent, recent])
    rows = jnp.concatenate([jnp.where(chosen, num_maskmem - 1, cond_back - 1), recent_back - 1])
    slots = min(c, max_cond_frames) + r
    order = jnp.argsort(~use, stable=True)[:slots]
    features = jnp.concatenate([bank.cond_features, bank.recent_features])[order]

    horizon = jnp.minimum(clock.num_frames, max_object_pointers)
    tail_back = (clock.frame_index - bank.pointer_index) * clock.direction
    tail = in_window(tail_back, bank.pointer_index != EMPTY, horizon - 1)
    cond_pointers = (chosen & (cond_back >= 0)) | in_window(cond_back, rest, horizon - 1)
    back = jnp.concatenate([cond_back, tail_back])
    back = back if signed_pointers else jnp.abs(back)
    return MemoryRead(
        features=features[None],
        time_index=jnp.clip(rows[order], 0, num_maskmem - 1)[None].astype(jnp.int32),
        count=use.sum(dtype=jnp.int32)[None],
        pointers=jnp.concatenate([bank.cond_pointers, bank.pointers])[None],
        pointer_distance=back[None].astype(jnp.float32),
        pointer_valid=jnp.concatenate([cond_pointers, tail])[None],
        # A one-frame video would divide by zero here; the reference then returns NaN.
        pointer_span=jnp.maximum(horizon - 1, 1).astype(jnp.float32),
    )


def recent(config, cond_slots: int = 16, dtype: DTypeLike = jnp.bfloat16) -> MemoryPolicy:
    """SAM 2's own policy for a `Sam2Config`: `cond_slots` are kept, config.max_cond_frames read."""

    def init() -> MemoryBank:
        return init_bank(
            cond_slots,
            config.num_maskmem - 1,
            config.max_object_pointers - 1,
            config.grid**2,
            config.memory_dim,
            config.hidden_dim,
            dtype,
        )

    def read(bank: MemoryBank, clock: Clock) -> MemoryRead:
        return read_recent(
            bank,
            clock,
            config.max_cond_frames,
            config.num_maskmem,
            config.max_object_pointers,
            config.has_pointer_positions,
        )

    return MemoryPolicy(
        init=init,
        write=write,
        read=read,
        is_empty=lambda bank: (bank.cond_index == EMPTY).all(),
        memory=jax.ShapeDtypeStruct((config.grid**2, config.memory_dim), dtype),
        replay=config.max_object_pointers - 1,
    )
