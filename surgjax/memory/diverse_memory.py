"""Policies that keep some frames for long: DiveMem, DLM, and their controls.

Path:    long_memory -> [diverse_memory] -> memory attention
Axes:    one object; see `LongBank`. `read` returns a `MemoryRead` with B = 1.
Units:   `delta` and `replay` count frames; `delta_s` is seconds; `gamma` is a predicted IoU and
         `likeness` a cosine of object pointers.
Errors:  ValueError naming the option.
Source:  SAM2S, arXiv:2511.16618 (`divemem`); ReSurgSAM2's DLM (`dlm`).
Differs: SAM2S's code could not be had: which of its numbers are stated, read off a figure or
         chosen by us is in docs/memory_policies.md. ReSurgSAM2 has one conditioning frame per
         object; what prompts on the way do here is our choice. `likeness` is ours: a predicted IoU
         says whether the mask is good, not whether it lies on the object.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.memory import long_memory
from surgjax.memory.long_memory import LongBank, Score, init_long_bank
from surgjax.memory.memory_bank import EMPTY, MemoryBank, MemoryEntry, drop_prompt
from surgjax.memory.policies import (
    Clock,
    MemoryPolicy,
    More,
    init_for,
    memory_read,
    pointer_horizon,
    recall,
)
from surgjax.memory.similarity import KINDS, cosine, similarity
from surgjax.structs import MemoryRead

SELECTIONS = ("diverse", "random", "fifo")


@dataclasses.dataclass(frozen=True)
class LongOptions:
    """What may be varied in `divemem`, `dlm` and `random_long`; defaults are DiveMem's."""

    delta: int = 5  # candidates that fill the buffer
    delta_s: float = 0.0  # the same in seconds, where above 0; needs the video's frame rate
    long: int = 3  # memories kept for long
    gamma: float = 0.95  # a candidate's predicted IoU is above it
    similarity: str = "flatten"  # how memories are compared: flatten, token, width
    selection: str = "diverse"  # which candidate is kept: diverse, random, fifo (the latest)
    presence: bool = True  # a candidate's object score is above 0
    likeness: float = -1.0  # a candidate's pointer is this like that of some conditioning frame
    follow: bool = True  # compare with the latest prompt after it, not with the newest long memory
    pointers: bool = False  # read the object pointers of long memories too
    embedding: bool = True  # use the model's own temporal embedding of long memories, if it has one
    seed: int = 0  # of the random selection
    replay: int = 1024  # past frames that rebuild a bank where a session starts anew

    def __post_init__(self):
        for name, least in (("delta", 1), ("long", 1), ("replay", 1), ("seed", 0)):
            if not least <= getattr(self, name) < 2**31:
                raise ValueError(f"{name}={getattr(self, name)}: an integer from {least} expected.")
        if not 0 <= self.delta_s < 1e6:
            raise ValueError(f"delta_s={self.delta_s}: seconds from 0 expected.")
        if not abs(self.gamma) < 1e6:
            raise ValueError(f"gamma={self.gamma}: a predicted IoU expected.")
        if not -1 <= self.likeness <= 1:
            raise ValueError(f"likeness={self.likeness}: a cosine from -1 to 1 expected.")
        for name, known in (("similarity", KINDS), ("selection", SELECTIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name}={getattr(self, name)}: expected one of {', '.join(known)}."
                )

    def at_rate(self, fps: float | None) -> "LongOptions":
        """The same with the buffer's size in frames, at least 1; ValueError without a rate."""
        if not self.delta_s:
            return self
        if not fps:
            raise ValueError(f"delta_s={self.delta_s:g}: the video has no frame rate; use delta.")
        return dataclasses.replace(self, delta=max(1, round(self.delta_s * fps)), delta_s=0.0)


DIVEMEM = LongOptions()
DLM = LongOptions(presence=False, follow=False, embedding=False)
RANDOM_LONG = LongOptions(selection="random")


def _score(options: LongOptions) -> Score:
    """The rule that picks among candidates: the lowest score wins, the earliest of equals."""

    def diverse(entry: MemoryEntry, reference: jax.Array, count: jax.Array) -> jax.Array:
        return similarity(entry.features, reference, options.similarity)

    def random(entry: MemoryEntry, reference: jax.Array, count: jax.Array) -> jax.Array:
        # A number of its own for every frame: the draw does not depend on how the stream got there.
        key = jax.random.fold_in(jax.random.key(options.seed), entry.frame_index)
        return jax.random.uniform(key)

    def fifo(entry: MemoryEntry, reference: jax.Array, count: jax.Array) -> jax.Array:
        return -count.astype(jnp.float32)

    return {"diverse": diverse, "random": random, "fifo": fifo}[options.selection]


def long_row(config, options: LongOptions) -> int:
    """Row of the temporal table for long memories: the model's own, else that of prompts."""
    own = options.embedding and config.long_memory_embedding
    return config.num_maskmem if own else config.num_maskmem - 1


def read_long(bank: LongBank, clock: Clock, config, options: LongOptions) -> MemoryRead:
    """Conditioning and recent memories as `read_recent`, then the long ones outside the window."""
    short = bank.short
    recalled = recall(short, clock, config.max_cond_frames, config.num_maskmem)
    back = (clock.frame_index - bank.index) * clock.direction
    held = bank.order != EMPTY
    use = held & ~((back >= 1) & (back <= config.num_maskmem - 1))
    pointers = slice(None) if options.pointers else slice(0)
    horizon = pointer_horizon(clock, config.max_object_pointers)
    more = More(
        features=bank.features,
        use=use,
        rows=jnp.full_like(bank.index, long_row(config, options)),
        pointers=bank.pointers[pointers],
        back=back[pointers],
        pointer_use=(held & (back >= horizon))[pointers],
    )
    return memory_read(
        short,
        clock,
        recalled,
        config.max_cond_frames,
        config.max_object_pointers,
        config.has_pointer_positions,
        more,
    )


def long_policy(
    config, options: LongOptions, cond_slots: int = 16, dtype: DTypeLike = jnp.bfloat16
) -> MemoryPolicy:
    """SAM 2's memory with memories kept for long beside it, for a `Sam2Config`."""
    if options.delta_s:
        raise ValueError(f"delta_s={options.delta_s:g}: needs a frame rate, see `at_rate`.")
    score = _score(options)

    def gate(short: MemoryBank, entry: MemoryEntry) -> jax.Array:
        enters = entry.iou > options.gamma
        if options.presence:
            enters &= entry.object_score > 0
        if options.likeness > -1:
            alike = cosine(short.cond_pointers, entry.pointer[None], -1) >= options.likeness
            enters &= (alike & (short.cond_index != EMPTY)).any()
        return enters

    def init() -> LongBank:
        return init_long_bank(init_for(config, cond_slots, dtype), options.long)

    def write(bank: LongBank, entry: MemoryEntry) -> LongBank:
        return long_memory.write(bank, entry, options.delta, gate, score, options.follow)

    return MemoryPolicy(
        init=init,
        write=write,
        drop_prompt=lambda bank, t: bank.replace(short=drop_prompt(bank.short, t)),
        read=lambda bank, clock: read_long(bank, clock, config, options),
        is_empty=lambda bank: (bank.short.cond_index == EMPTY).all(),
        memory=jax.ShapeDtypeStruct((config.grid**2, config.memory_dim), dtype),
        replay=max(options.replay, config.max_object_pointers - 1),
    )
