"""What a training step remembers of the frames of a clip that it has visited, in fixed shapes.

Path:    answers -> memory encoder -> [clip_memory] -> memory attention of the next frame
Axes:    R rows (one object of one clip), M slots, V visits that are remembered, N tokens, D memory
         width, d hidden width.
Units:   `now` and places count frames of the source clip travelled since its first frame.
Source:  SAM 2, arXiv:2408.00714; reference file sam2/modeling/sam2_base.py.
Differs: distances are true frame distances, so a clip with gaps trains the far rows of the temporal
         embedding; SAM 2 counts frames of the clip. The latest frames are the latest that were
         tracked, also where a conditioning frame lies among them; SAM 2 then reads one fewer.
         Pointer distances are always divided by 15, as in a long video; SAM 2's training divides by
         the clip's length. Corrected frames count as conditioning ones, as in SAM 2.1's fine-tuning
         (add_all_frames_to_correct_as_cond).
"""

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.models.variants import Sam2Config
from surgjax.structs import Array, MemoryRead

EMPTY = -1


class ClipMemory(flax.struct.PyTreeNode):
    """The carry of a scan over the frames of a clip. Filled slots come first."""

    features: Array  # [R, M, N, D]
    place: Array  # [R, M] int32
    visit: Array  # [R, M] int32, EMPTY where the slot is
    conditioning: Array  # [R, M] bool: never overwritten
    pointers: Array  # [R, V, d]
    pointer_place: Array  # [R, V] int32
    pointer_conditioning: Array  # [R, V] bool
    visits: Array  # [] int32


def init_clip_memory(
    config: Sam2Config, rows: int, tokens: int, visits: int, conditioning: int
) -> ClipMemory:
    """Room for `visits` frames, of which a row has at most `conditioning` to keep throughout."""
    slots = min(visits, conditioning + config.num_maskmem - 1)
    return ClipMemory(
        features=jnp.zeros((rows, slots, tokens, config.memory_dim), jnp.float32),
        place=jnp.zeros((rows, slots), jnp.int32),
        visit=jnp.full((rows, slots), EMPTY, jnp.int32),
        conditioning=jnp.zeros((rows, slots), bool),
        pointers=jnp.zeros((rows, visits, config.hidden_dim), jnp.float32),
        pointer_place=jnp.zeros((rows, visits), jnp.int32),
        pointer_conditioning=jnp.zeros((rows, visits), bool),
        visits=jnp.zeros((), jnp.int32),
    )


def read(memory: ClipMemory, now: Array, config: Sam2Config) -> MemoryRead:
    """What the next visit reads, at places `now` [R]: conditioning frames and the latest others.

    Conditioning frames may lie ahead; their pointers then have a negative distance.
    """
    last_row = config.num_maskmem - 1
    recent = jnp.clip(now[:, None] - memory.place - 1, 0, last_row - 1)
    age = memory.visits - jnp.arange(memory.pointers.shape[1], dtype=jnp.int32)[None]
    reach = config.max_object_pointers - 1
    return MemoryRead(
        features=memory.features,
        time_index=jnp.where(memory.conditioning, last_row, recent).astype(jnp.int32),
        count=(memory.visit != EMPTY).sum(-1).astype(jnp.int32),
        pointers=memory.pointers,
        pointer_distance=(now[:, None] - memory.pointer_place).astype(jnp.float32),
        pointer_valid=(age >= 1) & (memory.pointer_conditioning | (age <= reach)),
        pointer_span=jnp.asarray(reach, jnp.float32),
    )


def write(
    memory: ClipMemory,
    features: Array,
    pointer: Array,
    now: Array,
    conditioning: Array,
    config: Sam2Config,
) -> ClipMemory:
    """Adds a visited frame: features [R, N, D], pointer [R, d], its place [R], conditioning [R].

    It takes the first empty slot, or that of the oldest tracked frame once there are
    `num_maskmem - 1` of those and it is one itself. A visit beyond the last that is read is lost.
    """
    want = (memory.features.shape[0], *memory.features.shape[2:])
    if features.shape != want:  # a size-1 axis would broadcast without a word
        raise ValueError(f"features {features.shape} do not fit a memory of {want}.")
    tracked = (memory.visit != EMPTY) & ~memory.conditioning
    full = (tracked.sum(-1) >= config.num_maskmem - 1) & ~conditioning
    oldest = jnp.argmin(jnp.where(tracked, memory.visit, jnp.iinfo(jnp.int32).max), -1)
    slot = jnp.where(full, oldest, (memory.visit != EMPTY).sum(-1))
    here = jax.nn.one_hot(slot, memory.visit.shape[1], dtype=bool)
    turn = jnp.arange(memory.pointers.shape[1])[None] == memory.visits
    return ClipMemory(
        features=jnp.where(here[..., None, None], features[:, None], memory.features),
        place=jnp.where(here, now[:, None], memory.place),
        visit=jnp.where(here, memory.visits, memory.visit),
        conditioning=jnp.where(here, conditioning[:, None], memory.conditioning),
        pointers=jnp.where(turn[..., None], pointer[:, None], memory.pointers),
        pointer_place=jnp.where(turn, now[:, None], memory.pointer_place),
        pointer_conditioning=jnp.where(turn, conditioning[:, None], memory.pointer_conditioning),
        visits=memory.visits + 1,
    )
