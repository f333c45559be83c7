"""What a training step remembers of the frames of a clip that it has visited.

Path:    answers -> memory encoder -> [clip_memory] -> memory attention of the next frame
Axes:    R rows (one object of one clip), N tokens, D memory width, d hidden width, T frames.
Units:   frame_index counts frames of the source clip.
Source:  SAM 2, arXiv:2408.00714; reference file sam2/modeling/sam2_base.py.
Differs: every visited frame is read, however far; SAM 2 reads the last six and the conditioning
         ones, which is the same for clips of up to seven frames. Corrected frames always count as
         conditioning ones, as in SAM 2.1's fine-tuning (add_all_frames_to_correct_as_cond).
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from surgjax.ops.resize import resize_bilinear
from surgjax.structs import Array, ImageFeatures, MaskOutput, MemoryRead

CONDITIONING_TIME_INDEX = 6
POINTER_HORIZON = 16


def memory_read(
    memories: list[Array],
    pointers: list[Array],
    frame_index: Array,
    now: int,
    conditioning: Array | None = None,
) -> MemoryRead:
    """What the visit `now` to a frame of a clip reads: all visits before it.

    memories: [R, N, D] and pointers: [R, d], one per earlier visit. frame_index [R, now + 1 or
    more], in the order of the visits, which begin with the first frame of the clip; it may count
    down. conditioning [R, now]: visits to frames with prompts or corrections, by default the first
    alone; only those may lie ahead, and their pointers then have a negative distance. Distances
    are true frame distances, so a clip with gaps trains the far rows of the temporal embedding.
    """
    rows = memories[0].shape[0]
    if conditioning is None:
        conditioning = jnp.broadcast_to(jnp.arange(now).reshape(1, now) == 0, (rows, now))
    travel = jnp.where(frame_index[:, now] < frame_index[:, 0], -1, 1)
    distance = travel[:, None] * (frame_index[:, now, None] - frame_index[:, :now])
    recent = jnp.clip(jnp.abs(distance) - 1, 0, CONDITIONING_TIME_INDEX - 1)
    return MemoryRead(
        features=jnp.stack(memories, 1),
        time_index=jnp.where(conditioning, CONDITIONING_TIME_INDEX, recent).astype(jnp.int32),
        count=jnp.full((rows,), now, jnp.int32),
        pointers=jnp.stack(pointers, 1),
        pointer_distance=distance.astype(jnp.float32),
        pointer_valid=jnp.ones((rows, now), bool),
        pointer_span=jnp.asarray(POINTER_HORIZON - 1, jnp.float32),
    )


@dataclasses.dataclass
class ClipMemory:
    """Grows by one entry per visited frame, while a step is traced.

    frame_index is [R, T], in the order of the visits.
    """

    frame_index: Array
    memories: list[Array] = dataclasses.field(default_factory=list)
    pointers: list[Array] = dataclasses.field(default_factory=list)
    conditioning: list[Array] = dataclasses.field(default_factory=list)

    def read(self) -> MemoryRead:
        """For the frame that is visited next."""
        return memory_read(
            self.memories,
            self.pointers,
            self.frame_index,
            len(self.memories),
            jnp.stack(self.conditioning, -1),
        )

    def write(
        self,
        model: Any,
        variables: Any,
        features: ImageFeatures,
        output: MaskOutput,
        conditioning: Array,
        side: int,
    ) -> None:
        """Adds a visited frame's answer; conditioning [R]: rows with prompts or corrections."""
        high_res = resize_bilinear(output.low_res.astype(jnp.float32), (side, side))
        memory = model.apply(
            variables,
            features.s16,
            high_res,
            output.object_score,
            conditioning,
            method="encode_memory",
        )
        self.memories.append(memory)
        self.pointers.append(output.pointer)
        self.conditioning.append(conditioning)
