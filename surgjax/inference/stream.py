"""The streaming core: one frame in, one mask per object out, state in, state out.

Path:    frame -> encode -> [per object: recall, condition, decode, remember] -> masks
Axes:    O object slots, P point slots, S side of the model input, N = (S/16)^2 memory tokens.
Units:   frames normalised RGB [S, S, 3]; points in model pixels, column first; frame indices count
         from 0.
Source:  SAM 2 `sam2/modeling/sam2_base.py` (`track_step`), `sam2_video_predictor.py`.
Differs: SAM 2 grows a dict by one entry a frame and runs objects one call at a time. Here every
         shape is fixed, so one compiled program serves a video of any length: objects and prompts
         sit in padded slots, and the loop over objects runs as often as there are objects to run
         (its bound is data), so an empty slot costs nothing. Objects never see each other.
"""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from surgjax.memory.memory_bank import MemoryEntry
from surgjax.memory.policies import Bank, Clock, MemoryPolicy
from surgjax.memory.registry import build_policy
from surgjax.models.sam2 import NO_OBJECT_LOGIT, Sam2
from surgjax.models.variants import TEXT_DIM, Sam2Config
from surgjax.ops.resize import resize_bilinear
from surgjax.structs import Array, ImageFeatures, MaskOutput, PointPrompts

UNKNOWN_LENGTH = 1 << 20  # a live stream: long enough for every horizon


class TrackState(flax.struct.PyTreeNode):
    """Everything a stream carries from frame to frame: a pytree of fixed shapes."""

    bank: Bank  # the policy's pytree, leading axis O
    frame_index: jax.Array  # [] int32, the frame that comes next
    direction: jax.Array  # [] int32, +1 or -1
    num_frames: jax.Array  # [] int32


class FramePrompts(flax.struct.PyTreeNode):
    """Prompts on one frame, padded to O objects and P points.

    A prompted object starts afresh on this frame (SAM 2's initial conditioning frame: no memory is
    read) unless `use_memory`, which is a correction of a tracked frame.
    """

    points: PointPrompts  # [O, P, ...]
    masks: Array  # [O, S, S] bool
    has_mask: Array  # [O] bool; a mask stands alone, points are then ignored
    previous_logits: Array  # [O, S/4, S/4], the mask being corrected
    has_previous: Array  # [O] bool
    use_memory: Array  # [O] bool
    as_conditioning: Array  # [O] bool, kept as a conditioning memory
    track: Array  # [O] bool, run this object if it has memory, prompted or not


class TrackOutput(flax.struct.PyTreeNode):
    """What a frame yields; objects that did not run have logits -1024 and score -1024."""

    low_res: jax.Array  # [O, S/4, S/4] mask logits
    object_score: jax.Array  # [O] logit
    iou: jax.Array  # [O] predicted
    pointer: jax.Array  # [O, d]
    memory: jax.Array  # [O, N, D] in the bank's dtype
    ran: jax.Array  # [O] bool
    semantic: jax.Array | None = None  # [O, 512]; None in a model without a semantic token


def no_prompts(config: Sam2Config, max_objects: int, max_points: int = 4) -> FramePrompts:
    """An unprompted frame as NumPy arrays: every object with memory is tracked."""
    o, p, s, q = max_objects, max_points, config.image_size, config.mask_size
    false = np.zeros(o, bool)
    points = PointPrompts(
        np.zeros((o, p, 2), np.float32), np.full((o, p), -1, np.int32), np.zeros((o, p), bool)
    )
    return FramePrompts(
        points=points,
        masks=np.zeros((o, s, s), bool),
        has_mask=false,
        previous_logits=np.zeros((o, q, q), np.float32),
        has_previous=false,
        use_memory=false,
        as_conditioning=~false,
        track=~false,
    )


@dataclasses.dataclass(frozen=True)
class Stream:
    """The pure functions of a tracker. Hashable, so it may be a static argument of `jax.jit`."""

    config: Sam2Config
    policy: MemoryPolicy
    dtype: DTypeLike = jnp.float32
    cond_slots: int = 16  # conditioning frames that the policy's bank holds

    @classmethod
    def create(
        cls,
        config: Sam2Config,
        dtype: DTypeLike = jnp.float32,
        memory_dtype: DTypeLike = jnp.bfloat16,
        cond_slots: int = 16,
        memory: str = "recent",
        memory_options: Any = "",
    ) -> "Stream":
        """A policy by its name, see `memory.registry`; SAM 2's by default. Memories are kept in
        bfloat16 whatever the compute precision."""
        policy = build_policy(memory, config, memory_options, cond_slots, memory_dtype)
        return cls(config, policy, dtype, cond_slots)

    @property
    def model(self) -> Sam2:
        return Sam2(self.config, self.dtype)

    def init_state(
        self, max_objects: int, num_frames: int | None = None, frame_index: int = 0
    ) -> TrackState:
        """An empty state. num_frames is the video's length where it is known: below 16 it shortens
        the pointers' horizon, as in SAM 2."""
        row = self.policy.init()
        bank = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (max_objects, *x.shape)), row)
        return TrackState(
            bank=bank,
            frame_index=jnp.int32(frame_index),
            direction=jnp.int32(1),
            num_frames=jnp.int32(UNKNOWN_LENGTH if num_frames is None else num_frames),
        )

    def encode(self, params: dict, frame: jax.Array) -> ImageFeatures:
        """One frame [S, S, 3] -> features with B = 1; done once, whatever the number of objects."""
        features: Any = self.model.apply({"params": params}, frame[None], method="encode_image")
        return features

    def step(
        self, params: dict, state: TrackState, frame: jax.Array, prompts: FramePrompts
    ) -> tuple[TrackState, TrackOutput]:
        """Tracks, prompts and remembers one frame; the state moves on by one frame."""
        return self.track(params, state, self.encode(params, frame), prompts)

    def track(
        self, params: dict, state: TrackState, features: ImageFeatures, prompts: FramePrompts
    ) -> tuple[TrackState, TrackOutput]:
        """`step` for a frame that has been encoded already."""
        afresh = prompts.has_mask | (prompts.points.valid.any(-1) & ~prompts.use_memory)
        empty = jax.vmap(self.policy.is_empty)(state.bank)
        run = prompts.track & (afresh | ~empty)  # without any memory there is nothing to attend to
        order = jnp.argsort(~run, stable=True)
        clock = Clock(state.frame_index, state.direction, state.num_frames)
        one = functools.partial(self._object, params, features, clock)

        def body(i, carry):
            bank, output = carry
            o = order[i]
            row, prompt = jax.tree.map(lambda x: x[o], (bank, prompts))
            row, new = one(row, prompt)
            put = functools.partial(jax.tree.map, lambda all_, x: all_.at[o].set(x))
            return put(bank, row), put(output, new)

        start = (state.bank, self._blank_output(prompts.track.shape[0]))
        bank, output = lax.fori_loop(0, run.sum(), body, start)
        frame_index = state.frame_index + state.direction
        return state.replace(bank=bank, frame_index=frame_index), output

    def _blank_output(self, objects: int) -> TrackOutput:
        c = self.config
        return TrackOutput(
            low_res=jnp.full((objects, c.mask_size, c.mask_size), NO_OBJECT_LOGIT),
            object_score=jnp.full((objects,), NO_OBJECT_LOGIT),
            iou=jnp.zeros(objects),
            pointer=jnp.zeros((objects, c.hidden_dim)),
            memory=jnp.zeros((objects, *self.policy.memory.shape), self.policy.memory.dtype),
            ran=jnp.zeros(objects, bool),
            semantic=jnp.zeros((objects, TEXT_DIM)) if c.semantic_token else None,
        )

    def _object(
        self,
        params: dict,
        features: ImageFeatures,
        clock: Clock,
        row: Bank,
        prompt: FramePrompts,
    ) -> tuple[Bank, TrackOutput]:
        """One object on one frame; leaves of `row` and `prompt` have no object axis."""
        apply = functools.partial(self.model.apply, {"params": params})
        has_points = prompt.points.valid.any() & ~prompt.has_mask
        prompted = has_points | prompt.has_mask
        output = self._answer(apply, features, clock, row, prompt, has_points)
        side = self.config.image_size
        high = resize_bilinear(output.low_res, (side, side))
        memory = apply(
            features.s16, high, output.object_score, prompted[None], method="encode_memory"
        )[0]
        memory = memory.astype(self.policy.memory.dtype)
        entry = MemoryEntry(
            features=memory,
            pointer=output.pointer[0],
            frame_index=clock.frame_index,
            is_conditioning=prompted & prompt.as_conditioning,
            object_score=output.object_score[0],
            iou=output.iou[0],
        )
        result = TrackOutput(
            low_res=output.low_res[0],
            object_score=output.object_score[0],
            iou=output.iou[0],
            pointer=output.pointer[0],
            memory=memory,
            ran=jnp.bool_(True),
            semantic=None if output.semantic is None else output.semantic[0],
        )
        return self.policy.write(row, entry), result

    def _answer(self, apply, features, clock, row, prompt, has_points) -> MaskOutput:
        """Mask of one object: a mask prompt is the answer itself, else the decoder's (B = 1)."""
        s16 = features.s16
        has_mask = prompt.has_mask

        def with_memory():
            return apply(s16, self.policy.read(row, clock), tiled=True, method="condition")

        def afresh():  # a mask prompt's pointer comes from the raw features
            return apply(s16, has_mask[None], method="add_no_memory")

        starts = has_mask | (has_points & ~prompt.use_memory)
        conditioned = lax.cond(starts, afresh, with_memory)
        mask = prompt.masks[None]
        dense = lax.cond(
            has_mask,
            lambda: apply(mask, method="prompt_of_mask"),
            lambda: prompt.previous_logits[None],
        )
        points = jax.tree.map(lambda x: x[None], prompt.points)
        points = points.replace(valid=points.valid & ~has_mask)
        use_dense = has_mask | (has_points & prompt.has_previous)
        decoded = apply(features, conditioned, points, dense, use_dense[None], method="decode")
        multimask = ~has_mask & (points.valid.sum() <= 1)
        output = apply(decoded, multimask[None], method="select")
        return lax.cond(
            has_mask,
            lambda: apply(mask, output.pointer, output.semantic, method="answer_with_mask"),
            lambda: output,
        )
