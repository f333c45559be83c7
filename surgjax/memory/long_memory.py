"""Long-term memory of one object: a quality gate, a buffer of candidates, a few kept for long.

Path:    memory_bank -> [long_memory] -> diverse_memory -> memory attention
Axes:    one object: K long slots, N tokens of width D, pointer width d. A stream stacks the banks
         of its objects on a leading axis O.
Units:   frame indices count decoded frames; -1 marks an empty slot.
Source:  SAM2S, arXiv:2511.16618 (DiveMem, as far as it is stated); DLM of ReSurgSAM2.
Differs: the buffer is no list of memories. What it is compared with stays the same until it is full
         or is emptied, so its least similar member is known at any time: one candidate, its score
         and a count give the same choice (ties go to the earliest) in memory that does not depend
         on the size of the buffer.
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.memory import memory_bank
from surgjax.memory.memory_bank import EMPTY, MemoryBank, MemoryEntry
from surgjax.structs import Array

# (candidate, reference [N, D], candidates before it) -> []; the lowest score is kept for long.
Score = Callable[[MemoryEntry, jax.Array, jax.Array], jax.Array]
Gate = Callable[[MemoryBank, MemoryEntry], jax.Array]  # candidate or not, [] bool


class LongBank(flax.struct.PyTreeNode):
    """One object's memory: SAM 2's bank, and what is kept for long beside it."""

    short: MemoryBank
    features: Array  # [K, N, D]
    pointers: Array  # [K, d]
    index: Array  # [K] int32
    order: Array  # [K] int32, ascending in the order of choice; EMPTY where the slot is
    chosen: Array  # [] int32, how many were ever chosen
    candidate: Array  # [N, D], the best of the buffer so far
    candidate_pointer: Array  # [d]
    candidate_index: Array  # [] int32
    candidate_score: Array  # [] float32
    count: Array  # [] int32, candidates in the buffer
    last_index: Array  # [] int32, the tracked frame that was written last
    reference_index: Array  # [] int32, a conditioning frame; EMPTY: the newest of the long ones


def init_long_bank(short: MemoryBank, slots: int) -> LongBank:
    """Nothing kept for long yet, beside an empty bank."""
    tokens, pointer = short.cond_features.shape[1:], short.cond_pointers.shape[1:]
    dtype, none = short.cond_features.dtype, jnp.int32(EMPTY)
    return LongBank(
        short=short,
        features=jnp.zeros((slots, *tokens), dtype),
        pointers=jnp.zeros((slots, *pointer), jnp.float32),
        index=jnp.full((slots,), EMPTY, jnp.int32),
        order=jnp.full((slots,), EMPTY, jnp.int32),
        chosen=jnp.int32(0),
        candidate=jnp.zeros(tokens, dtype),
        candidate_pointer=jnp.zeros(pointer, jnp.float32),
        candidate_index=none,
        candidate_score=jnp.float32(0),
        count=jnp.int32(0),
        last_index=none,
        reference_index=none,
    )


def _nearest(cond_index: jax.Array, among: jax.Array, frame_index: jax.Array) -> jax.Array:
    """The slot of the conditioning frame nearest in time, of those that `among` [C] marks."""
    big = jnp.iinfo(jnp.int32).max
    return jnp.argmin(jnp.where(among, jnp.abs(cond_index - frame_index), big))


def _passed(bank: LongBank, frame_index: jax.Array) -> jax.Array:
    """[C] bool: conditioning frames met since the last tracked frame; all of them at the start.

    Prompts may be known long before a stream comes to them, so what counts is where they lie.
    """
    prompts, last = bank.short.cond_index, bank.last_index
    way = jnp.sign(frame_index - last)
    between = ((prompts - last) * way >= 0) & ((frame_index - prompts) * way > 0)
    return (prompts != EMPTY) & ((last == EMPTY) | between)


def _turn_to_prompt(bank: LongBank, frame_index: jax.Array, follow: bool) -> LongBank:
    """Empties the buffer where a prompt was just passed, and compares with that from here on.

    The latter without `follow` only as long as nothing is kept for long.
    """
    passed = _passed(bank, frame_index)
    turn = passed.any() & (follow | (bank.order == EMPTY).all())
    nearest = bank.short.cond_index[_nearest(bank.short.cond_index, passed, frame_index)]
    return bank.replace(
        reference_index=jnp.where(turn, nearest, bank.reference_index),
        count=jnp.where(passed.any(), 0, bank.count),
    )


def _reference(bank: LongBank, frame_index: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What candidates are compared with [N, D], and whether there is anything [] bool."""
    prompts = bank.short.cond_index
    here = (prompts == bank.reference_index) & (prompts != EMPTY)
    slot = jnp.where(here.any(), jnp.argmax(here), _nearest(prompts, prompts != EMPTY, frame_index))
    has_long = (bank.order != EMPTY).any()
    newest = bank.features[jnp.argmax(bank.order)]
    by_prompt = (bank.reference_index != EMPTY) | ~has_long
    reference = jnp.where(by_prompt, bank.short.cond_features[slot], newest)
    return reference, has_long | (prompts != EMPTY).any()


def put_long(
    bank: LongBank,
    features: jax.Array,
    pointer: jax.Array,
    frame_index: jax.Array,
    when: jax.Array | bool = True,
) -> LongBank:
    """Keeps a memory [N, D] for long: in an empty slot, else in that of the one chosen first."""
    slot = jnp.argmin(bank.order)
    here = (jnp.arange(bank.order.shape[0]) == slot) & when

    def put(slots: jax.Array, value: jax.Array) -> jax.Array:
        value = jnp.where(when, value.astype(slots.dtype), slots[slot])
        return slots.at[slot].set(value)

    return bank.replace(
        features=put(bank.features, features),
        pointers=put(bank.pointers, pointer),
        index=jnp.where(here, frame_index, bank.index),
        order=jnp.where(here, bank.chosen, bank.order),
        chosen=bank.chosen + jnp.asarray(when, jnp.int32),
    )


def _write_tracked(
    bank: LongBank, entry: MemoryEntry, size: int, gate: Gate, score: Score, follow: bool
) -> LongBank:
    t = entry.frame_index
    bank = _turn_to_prompt(bank, t, follow)
    reference, known = _reference(bank, t)
    enters = gate(bank.short, entry) & known
    value = score(entry, reference, bank.count)
    best = enters & ((bank.count == 0) | (value < bank.candidate_score))
    bank = bank.replace(
        candidate=jnp.where(best, entry.features.astype(bank.candidate.dtype), bank.candidate),
        candidate_pointer=jnp.where(best, entry.pointer, bank.candidate_pointer),
        candidate_index=jnp.where(best, t, bank.candidate_index),
        candidate_score=jnp.where(best, value, bank.candidate_score),
        count=bank.count + enters,
        last_index=t,
    )
    full = bank.count >= size
    chosen = (bank.candidate, bank.candidate_pointer, bank.candidate_index)
    return put_long(bank, *chosen, full).replace(
        count=jnp.where(full, 0, bank.count),
        reference_index=jnp.where(full, EMPTY, bank.reference_index),
    )


def _write_prompted(bank: LongBank, entry: MemoryEntry) -> LongBank:
    """A conditioning frame empties the buffer, and is nothing else beside."""
    same = bank.index == entry.frame_index
    return bank.replace(
        index=jnp.where(same, EMPTY, bank.index),
        order=jnp.where(same, EMPTY, bank.order),
        count=jnp.int32(0),
    )


def write(
    bank: LongBank, entry: MemoryEntry, size: int, gate: Gate, score: Score, follow: bool
) -> LongBank:
    """Stores one frame. When `size` candidates came through the gate, the one with the lowest
    score is kept for long, and the buffer starts again.

    follow: after a prompt on the way, candidates are compared with that prompt, not with the
    newest memory that was kept for long.
    """
    short = memory_bank.write(bank.short, entry)  # which refuses what does not fit
    tracked = _write_tracked(bank, entry, size, gate, score, follow)
    prompted = _write_prompted(bank, entry)
    cond = entry.is_conditioning
    long = jax.tree.map(lambda a, b: jnp.where(cond, a, b), prompted, tracked)
    return long.replace(short=short)
