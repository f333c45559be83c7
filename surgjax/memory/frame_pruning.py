"""Frame pruning: of the recent memories, those most like the newest are not read.

Path:    memory_bank -> [frame_pruning] -> memory attention
Axes:    one object; see `MemoryBank`. `read` returns a `MemoryRead` with B = 1.
Units:   frame indices.
Errors:  ValueError naming the option.
Source:  Surgical-SAM-2, arXiv:2408.07931; its repository in the state that is built on SAM 2.1.
Differs: all conditioning frames are protected and none of them counts towards the limit, where the
         reference protects the first of its list; with one of them both are the same. Of memories
         equally alike the oldest goes. Here too what is not read stays in the bank.
"""

import dataclasses

import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.memory.memory_bank import MemoryBank
from surgjax.memory.policies import (
    Clock,
    MemoryPolicy,
    Recalled,
    memory_read,
    recall,
    recent,
)
from surgjax.memory.similarity import KINDS, similarity
from surgjax.structs import MemoryRead


@dataclasses.dataclass(frozen=True)
class PruningOptions:
    """What may be varied in `frame_pruning`."""

    prune: int = 2  # recent memories left out once the window is full
    similarity: str = "token"  # how memories are compared: flatten, token, width

    def __post_init__(self):
        if not 0 <= self.prune < 2**31:
            raise ValueError(f"prune={self.prune}: a number of frames from 0 expected.")
        if self.similarity not in KINDS:
            raise ValueError(f"similarity={self.similarity}: expected one of {', '.join(KINDS)}.")


def pruned(bank: MemoryBank, recalled: Recalled, keep: int, kind: str = "token") -> Recalled:
    """At most `keep` (1 or more) of the recent memories: the newest, and those least like it."""
    first = bank.cond_index.shape[0]
    use, back = recalled.use[first:], recalled.back[first:]
    far = jnp.iinfo(jnp.int32).max
    newest = jnp.argmin(jnp.where(use, back, far))
    alike = similarity(bank.recent_features, bank.recent_features[newest][None], kind)
    alike = jnp.where(use, alike, -jnp.inf).at[newest].set(-jnp.inf)
    # The most alike come first, the oldest of equals before the others.
    order = jnp.lexsort((-back, -alike))
    excess = jnp.maximum(use.sum() - keep, 0)
    dropped = jnp.zeros_like(use).at[order].set(jnp.arange(use.shape[0]) < excess)
    return recalled._replace(use=jnp.concatenate([recalled.use[:first], use & ~dropped]))


def frame_pruning(
    config,
    options: PruningOptions = PruningOptions(),
    cond_slots: int = 16,
    dtype: DTypeLike = jnp.bfloat16,
) -> MemoryPolicy:
    """SAM 2's bank, read with fewer memories, for a `Sam2Config`."""
    window = config.num_maskmem - 1
    keep = window - options.prune
    if keep < 1:
        raise ValueError(
            f"prune={options.prune}: below {window} expected, the number of recent memories."
        )

    def read(bank: MemoryBank, clock: Clock) -> MemoryRead:
        recalled = recall(bank, clock, config.max_cond_frames, config.num_maskmem)
        if options.prune:
            recalled = pruned(bank, recalled, keep, options.similarity)
        return memory_read(
            bank,
            clock,
            recalled,
            config.max_cond_frames,
            config.max_object_pointers,
            config.has_pointer_positions,
        )

    return recent(config, cond_slots, dtype)._replace(read=read)
