"""Memory policies: what is kept of a frame and what a later frame reads back.

Path:    memory_bank -> [policies] -> memory attention
Axes:    one object; see `MemoryBank`. `read` returns a `MemoryRead` with B = 1.
Units:   frame indices; direction is +1 forward in time, -1 backward.
Source:  SAM 2 `sam2/modeling/sam2_base.py` (`_prepare_memory_conditioned_features`),
         `sam2_utils.py` (`select_closest_cond_frames`).
Differs: a policy is a few pure functions over a pytree of its own, so a new system adds one policy
         and changes nothing else. The tracker knows no more of a bank than that.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.memory.memory_bank import EMPTY, MemoryBank, MemoryEntry, drop_prompt, init_bank, write
from surgjax.structs import MemoryRead

Bank = Any  # any pytree of arrays; its leading axis in a stream is O


class Clock(NamedTuple):
    """Where a stream is."""

    frame_index: jax.Array  # [] int32, the frame that reads
    direction: jax.Array  # [] int32, +1 or -1
    num_frames: jax.Array  # [] int32, length of the video; 16 or more where it is not known


class MemoryPolicy(NamedTuple):
    """init() -> bank; write(bank, entry) -> bank; drop_prompt(bank, frame_index) -> bank without
    that conditioning frame, all else in place; read(bank, clock) -> MemoryRead (B = 1);
    is_empty(bank) -> [] bool; memory: shape [N, D] and dtype in which a frame's memory is kept;
    replay: how many past frames rebuild a bank by writing them again."""

    init: Callable[[], Bank]
    write: Callable[[Bank, MemoryEntry], Bank]
    drop_prompt: Callable[[Bank, jax.Array], Bank]
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


class Recalled(NamedTuple):
    """Which of a bank's spatial memories SAM 2's rule reads, conditioning slots first."""

    use: jax.Array  # [C + R] bool
    rows: jax.Array  # [C + R] int32, row of the temporal embedding
    back: jax.Array  # [C + R] int32, frames back in the direction of travel
    chosen: jax.Array  # [C] bool, read as conditioning frames


def _in_window(back: jax.Array, held: jax.Array, last: jax.Array | int) -> jax.Array:
    return held & (back >= 1) & (back <= last)


def recall(bank: MemoryBank, clock: Clock, max_cond_frames: int, num_maskmem: int) -> Recalled:
    """SAM 2's choice of spatial memories, see `read_recent`."""
    chosen = closest_conditioning(bank.cond_index, clock.frame_index, max_cond_frames)
    cond_back = (clock.frame_index - bank.cond_index) * clock.direction
    rest = (bank.cond_index != EMPTY) & ~chosen
    recent_back = (clock.frame_index - bank.recent_index) * clock.direction
    recent = _in_window(recent_back, bank.recent_index != EMPTY, num_maskmem - 1)
    also_recent = _in_window(cond_back, rest, num_maskmem - 1)
    rows = jnp.concatenate([jnp.where(chosen, num_maskmem - 1, cond_back - 1), recent_back - 1])
    return Recalled(
        use=jnp.concatenate([chosen | also_recent, recent]),
        rows=jnp.clip(rows, 0, num_maskmem - 1),  # of empty slots they are anything
        back=jnp.concatenate([cond_back, recent_back]),
        chosen=chosen,
    )


class More(NamedTuple):
    """Memories that a policy lets a frame read beside those of SAM 2's bank."""

    features: jax.Array  # [K, N, D]
    use: jax.Array  # [K] bool
    rows: jax.Array  # [K] int32
    pointers: jax.Array  # [L, d]; L is K, or 0 where none are read
    back: jax.Array  # [L] int32, frames back in the direction of travel
    pointer_use: jax.Array  # [L] bool


def pointer_horizon(clock: Clock, max_object_pointers: int) -> jax.Array:
    """[] int32: a pointer is read while it is fewer frames back than this."""
    return jnp.minimum(clock.num_frames, max_object_pointers)


def memory_read(
    bank: MemoryBank,
    clock: Clock,
    recalled: Recalled,
    max_cond_frames: int,
    max_object_pointers: int,
    signed_pointers: bool = True,
    more: More | None = None,
) -> MemoryRead:
    """What was recalled, valid memories first, with SAM 2's choice of pointers."""
    features = [bank.cond_features, bank.recent_features]
    use, rows = recalled.use, recalled.rows
    slots = min(bank.cond_index.shape[0], max_cond_frames) + bank.recent_index.shape[0]
    horizon = pointer_horizon(clock, max_object_pointers)
    cond_back = (clock.frame_index - bank.cond_index) * clock.direction
    rest = (bank.cond_index != EMPTY) & ~recalled.chosen
    tail_back = (clock.frame_index - bank.pointer_index) * clock.direction
    tail = _in_window(tail_back, bank.pointer_index != EMPTY, horizon - 1)
    cond = (recalled.chosen & (cond_back >= 0)) | _in_window(cond_back, rest, horizon - 1)
    pointers, back, valid = (
        [bank.cond_pointers, bank.pointers],
        [cond_back, tail_back],
        [cond, tail],
    )
    if more is not None:
        features.append(more.features)
        use, rows = jnp.concatenate([use, more.use]), jnp.concatenate([rows, more.rows])
        slots += more.use.shape[0]
        pointers.append(more.pointers)
        back.append(more.back)
        valid.append(more.pointer_use)
    order = jnp.argsort(~use, stable=True)[:slots]
    distance = jnp.concatenate(back)
    distance = distance if signed_pointers else jnp.abs(distance)
    return MemoryRead(
        features=jnp.concatenate(features)[order][None],
        time_index=rows[order][None].astype(jnp.int32),
        count=use.sum(dtype=jnp.int32)[None],
        pointers=jnp.concatenate(pointers)[None],
        pointer_distance=distance[None].astype(jnp.float32),
        pointer_valid=jnp.concatenate(valid)[None],
        # A one-frame video would divide by zero here; the reference then returns NaN.
        pointer_span=jnp.maximum(horizon - 1, 1).astype(jnp.float32),
    )


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
    recalled = recall(bank, clock, max_cond_frames, num_maskmem)
    return memory_read(bank, clock, recalled, max_cond_frames, max_object_pointers, signed_pointers)


def init_for(config, cond_slots: int, dtype: DTypeLike) -> MemoryBank:
    """SAM 2's empty bank for a `Sam2Config`."""
    return init_bank(
        cond_slots,
        config.num_maskmem - 1,
        config.max_object_pointers - 1,
        config.grid**2,
        config.memory_dim,
        config.hidden_dim,
        dtype,
    )


def recent(config, cond_slots: int = 16, dtype: DTypeLike = jnp.bfloat16) -> MemoryPolicy:
    """SAM 2's own policy for a `Sam2Config`: `cond_slots` are kept, config.max_cond_frames read."""

    def init() -> MemoryBank:
        return init_for(config, cond_slots, dtype)

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
        drop_prompt=drop_prompt,
        read=read,
        is_empty=lambda bank: (bank.cond_index == EMPTY).all(),
        memory=jax.ShapeDtypeStruct((config.grid**2, config.memory_dim), dtype),
        replay=config.max_object_pointers - 1,
    )
