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
         the clip's length. Those of tracked frames end at 15, the farthest that inference reads;
         frames kept for long are read from farther away, and their pointers are not, as there.
         Corrected frames count as conditioning ones, as in SAM 2.1's fine-tuning
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
    long: Array  # [R, M] bool: kept for long, never overwritten either
    pointers: Array  # [R, V, d]
    pointer_place: Array  # [R, V] int32
    pointer_conditioning: Array  # [R, V] bool
    pointer_long: Array  # [R, V] bool
    visits: Array  # [] int32


def init_clip_memory(
    config: Sam2Config, rows: int, tokens: int, visits: int, conditioning: int
) -> ClipMemory:
    """Room for `visits` frames, of which a row has at most `conditioning` to keep throughout, those
    that are kept for long included."""
    slots = min(visits, conditioning + config.num_maskmem - 1)
    return ClipMemory(
        features=jnp.zeros((rows, slots, tokens, config.memory_dim), jnp.float32),
        place=jnp.zeros((rows, slots), jnp.int32),
        visit=jnp.full((rows, slots), EMPTY, jnp.int32),
        conditioning=jnp.zeros((rows, slots), bool),
        long=jnp.zeros((rows, slots), bool),
        pointers=jnp.zeros((rows, visits, config.hidden_dim), jnp.float32),
        pointer_place=jnp.zeros((rows, visits), jnp.int32),
        pointer_conditioning=jnp.zeros((rows, visits), bool),
        pointer_long=jnp.zeros((rows, visits), bool),
        visits=jnp.zeros((), jnp.int32),
    )


def time_rows(memory: ClipMemory, now: Array, config: Sam2Config) -> Array:
    """Rows [R, M] of the temporal table, as `memory.diverse_memory` has them at inference: a memory
    that was kept for long counts as a recent one while it lies in the short window."""
    back = now[:, None] - memory.place
    window = config.num_maskmem - 1
    rows = jnp.clip(back - 1, 0, window - 1)
    own = config.num_maskmem if config.long_memory_embedding else window
    rows = jnp.where(memory.long & (jnp.abs(back) > window), own, rows)
    return jnp.where(memory.conditioning, window, rows).astype(jnp.int32)


def read(memory: ClipMemory, now: Array, config: Sam2Config) -> MemoryRead:
    """What the next visit reads, at places `now` [R]: conditioning frames and the latest others.

    Conditioning frames may lie ahead; their pointers then have a negative distance.
    """
    age = memory.visits - jnp.arange(memory.pointers.shape[1], dtype=jnp.int32)[None]
    reach = config.max_object_pointers - 1
    distance = now[:, None] - memory.pointer_place
    near = jnp.clip(distance, -reach, reach)  # inference reads no tracked frame from farther away
    in_reach = memory.pointer_conditioning | (age <= reach)
    far_long = memory.pointer_long & (jnp.abs(distance) > reach)
    return MemoryRead(
        features=memory.features,
        time_index=time_rows(memory, now, config),
        count=(memory.visit != EMPTY).sum(-1).astype(jnp.int32),
        pointers=memory.pointers,
        pointer_distance=jnp.where(memory.pointer_conditioning, distance, near).astype(jnp.float32),
        pointer_valid=(age >= 1) & in_reach & ~far_long,
        pointer_span=jnp.asarray(reach, jnp.float32),
    )


def write(
    memory: ClipMemory,
    features: Array,
    pointer: Array,
    now: Array,
    conditioning: Array,
    config: Sam2Config,
    is_long: Array | None = None,
) -> ClipMemory:
    """Adds a visited frame: features [R, N, D], pointer [R, d], its place [R], conditioning [R].

    is_long [R]: it is kept for long, unless it is a conditioning frame; None: it is not.

    It takes the first empty slot, or that of the oldest tracked frame once there are
    `num_maskmem - 1` of those and it is one itself. A visit beyond the last that is read is lost.
    """
    want = (memory.features.shape[0], *memory.features.shape[2:])
    if features.shape != want:  # a size-1 axis would broadcast without a word
        raise ValueError(f"features {features.shape} do not fit a memory of {want}.")
    long = jnp.zeros_like(conditioning) if is_long is None else is_long & ~conditioning
    tracked = (memory.visit != EMPTY) & ~memory.conditioning & ~memory.long
    full = (tracked.sum(-1) >= config.num_maskmem - 1) & ~conditioning & ~long
    oldest = jnp.argmin(jnp.where(tracked, memory.visit, jnp.iinfo(jnp.int32).max), -1)
    slot = jnp.where(full, oldest, (memory.visit != EMPTY).sum(-1))
    here = jax.nn.one_hot(slot, memory.visit.shape[1], dtype=bool)
    turn = jnp.arange(memory.pointers.shape[1])[None] == memory.visits
    return ClipMemory(
        features=jnp.where(here[..., None, None], features[:, None], memory.features),
        place=jnp.where(here, now[:, None], memory.place),
        visit=jnp.where(here, memory.visits, memory.visit),
        conditioning=jnp.where(here, conditioning[:, None], memory.conditioning),
        long=jnp.where(here, long[:, None], memory.long),
        pointers=jnp.where(turn[..., None], pointer[:, None], memory.pointers),
        pointer_place=jnp.where(turn, now[:, None], memory.pointer_place),
        pointer_conditioning=jnp.where(turn, conditioning[:, None], memory.pointer_conditioning),
        pointer_long=jnp.where(turn, long[:, None], memory.pointer_long),
        visits=memory.visits + 1,
    )
