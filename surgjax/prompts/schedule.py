"""Which frame of a training clip is prompted, with what, and which frames are corrected by clicks.

Path:    key -> [schedule] -> simulated_prompts, train.steps
Axes:    B clips, T frames of a clip, R rows (objects of all clips, clip after clip).
Units:   frames count from 0 within the clip.
Errors:  ValueError on a probability outside 0..1, on counts that are not
         1 <= conditioning_frames <= corrected_frames, and on a clip with fewer frames than those.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: mask, click or box is drawn per object, not per batch; the two counts and the order of
         preference of the frames are drawn once per batch, as in SAM 2, so that all clips of a
         batch take the same path through one compiled program. A clip takes the first so many of
         its annotated frames in that order; the reference knows no other frames. Conditioning
         frames come in ascending order, not in the order in which they were drawn; they read no
         memory, so their order changes nothing.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.typing import Array, Bool, Int

NONE, CLICK, BOX, MASK = range(4)  # what an object is given on a frame, before any correction


@dataclasses.dataclass(frozen=True)
class ScheduleOptions:
    """SAM 2.1's fine-tuning has 2 and 2 frames, and 0.5 for both probabilities."""

    conditioning_frames: int = 1  # at most; frame 0, and others anywhere in the clip
    random_conditioning: bool = (
        True  # how many: uniform in 1..conditioning_frames, or always so many
    )
    corrected_frames: int = 1  # at most; the conditioning frames, and others anywhere
    random_corrected: bool = True  # uniform from the number drawn above, or always so many
    mask_probability: float = 0.0  # of an object that is given by its mask, and never corrected
    box_probability: float = 0.5  # of a box instead of a click, per conditioning frame

    def __post_init__(self):
        if not 1 <= self.conditioning_frames <= self.corrected_frames:
            raise ValueError(
                "1 <= conditioning_frames <= corrected_frames expected, found "
                f"{self.conditioning_frames} and {self.corrected_frames}."
            )
        for name in ("mask_probability", "box_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: 0..1 expected, found {getattr(self, name)}.")


class PromptSchedule(flax.struct.PyTreeNode):
    """One draw; shapes are fixed, counts are in the flags, and the same for all clips."""

    conditioning: Bool[Array, "B T"]  # frames that carry a prompt from the start
    order: Int[Array, "B T"]  # frames as they are visited: conditioning ones first, then in time
    corrected: Bool[Array, "T R"]  # rows that get correction clicks on a frame
    by_mask: Bool[Array, "R"]  # rows that are given by masks on every conditioning frame
    is_box: Bool[Array, "T R"]  # box or click, should the row be prompted by points there

    def kinds(self) -> Int[Array, "T R"]:
        """NONE, CLICK, BOX or MASK: what each row is given on each frame."""
        rows = self.by_mask.shape[0]
        points = jnp.where(self.is_box, BOX, CLICK)
        given = jnp.where(self.by_mask.reshape(1, rows), MASK, points)
        return jnp.where(self.per_row(self.conditioning).T, given, NONE)

    def per_row(self, of_clips: Array) -> Array:
        """[B, T] to [R, T]: what holds for a clip holds for its objects."""
        return jnp.repeat(of_clips, self.by_mask.shape[0] // of_clips.shape[0], 0)


def draw_schedule(
    key: Array,
    frames: int,
    rows: int,
    options: ScheduleOptions,
    annotated: Bool[Array, "B T"] | None = None,
) -> PromptSchedule:
    """One schedule for a batch of clips. A single frame is always prompted by points, as an image.

    Frame 0 is a conditioning frame; the others are drawn without replacement among the annotated
    ones (all by default, and then B is 1). The corrected frames hold the conditioning ones, and
    more that are drawn from the rest. Where a clip has fewer annotated frames than conditioning
    ones are asked for, all clips of the batch have as few as that.
    """
    if annotated is None:
        annotated = jnp.ones((1, frames), bool)
    most, most_corrected = options.conditioning_frames, options.corrected_frames
    if frames == 1:
        most = most_corrected = 1
    if frames < most_corrected:
        raise ValueError(
            f"a clip of {most_corrected} frames or more expected for conditioning_frames={most} "
            f"and corrected_frames={most_corrected}, found {frames}."
        )
    count_key, corrected_key, frame_key, mask_key, box_key = jax.random.split(key, 5)
    count = jnp.int32(most)
    if options.random_conditioning:
        count = jax.random.randint(count_key, (), 1, most + 1)
    count = jnp.maximum(jnp.minimum(count, annotated.sum(1).min()), 1)
    corrected_count = jnp.int32(most_corrected)
    if options.random_corrected:
        corrected_count = jax.random.randint(corrected_key, (), count, most_corrected + 1)
    # A frame's place in one random order that begins with frame 0 decides both sets: the first
    # `count` are conditioning frames, and what follows is a fair draw among the others.
    others = 1 + jax.random.permutation(frame_key, frames - 1).astype(jnp.int32)
    place = jnp.concatenate([jnp.zeros(1, jnp.int32), others])
    # Within a clip the annotated frames move up over those that are not.
    place = jnp.where(annotated, place[None], place[None] + frames)
    place = jnp.argsort(jnp.argsort(place, 1), 1)
    conditioning = place < count
    corrected = (place < corrected_count) & annotated
    time = jnp.arange(frames, dtype=jnp.int32)[None]
    by_mask = jax.random.bernoulli(mask_key, options.mask_probability, (rows,)) & (frames > 1)
    return PromptSchedule(
        conditioning=conditioning,
        order=jnp.argsort(jnp.where(conditioning, time, time + frames), 1).astype(jnp.int32),
        corrected=jnp.repeat(corrected, rows // len(annotated), 0).T & ~by_mask.reshape(1, rows),
        by_mask=by_mask,
        is_box=jax.random.bernoulli(box_key, options.box_probability, (frames, rows)),
    )
