"""What every training step works on, whatever source its batch came from.

Path:    ClipBatch (prepared sets) or SceneBatch (generated scenes) -> [training_clips] -> steps
Axes:    B clips, T frames, O objects, R = B*O rows, S side of the input.
Units:   frames uint8 RGB; `travelled` counts frames of the source clip from the first one.
Errors:  TypeError on another kind of batch; ValueError, while tracing, on shapes that do not fit.
Source:  ours.
Differs: label maps are opened into masks here, on the device. Objects of generated scenes may
         overlap (an instrument and its parts), so masks and not maps are what both kinds share.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from surgjax.data.clips import ClipBatch, expand_masks, is_ignored
from surgjax.structs import Array


@flax.struct.dataclass
class SceneBatch:
    """Frames with object masks; an object that only fills a slot is not valid."""

    frames: Array  # [B, T, S, S, 3] uint8
    masks: Array  # [B, T, O, S, S] bool
    valid: Array  # [B, O] bool
    frame_index: Array  # [B, T] int32, ascending in the direction of travel
    classes: Array | None = None  # [B, T, S, S] uint8, see `train.auxiliary_head`
    object_class: Array | None = None  # [B, O] int32: row of a text bank, -1 without one


class FrameTruth(flax.struct.PyTreeNode):
    """One frame of every clip, one row per object."""

    masks: Array  # [R, S, S] bool
    known: Array | None  # [R, S, S] bool, False where the truth is unknown; None: known everywhere
    weights: Array  # [R] float32: 1 for a row that counts on this frame, else 0

    def with_weights(self, weights: Array) -> "FrameTruth":
        return self.replace(weights=weights)


class TrainingClips(flax.struct.PyTreeNode):
    """The internal form of a batch."""

    frames_u8: Array  # [B, T, S, S, 3] uint8
    masks: Array  # [B, T, O, S, S] bool
    ignored: Array | None  # [B, T, S, S] bool: no loss and no click there; None: nowhere
    valid: Array  # [B, O] bool: the slot holds an object
    annotated: Array  # [B, T] bool: a frame without annotation has no loss
    travelled: Array  # [B, T] int32, 0 for the first frame, never descending
    is_long: Array  # [B, T] bool: long-range frames of clips of hybrid sampling
    classes: Array | None  # [B, T, S, S] uint8, see `train.auxiliary_head`
    object_class: Array | None = None  # [B, O] int32: row of a text bank, -1 without one
    class_shares: Array | None = None  # [B, K] float32, see `data.class_shares`

    @property
    def objects(self) -> int:
        return self.masks.shape[2]

    @property
    def row_weights(self) -> Array:
        """[R] float32: 1 for a slot that holds an object."""
        return jnp.asarray(self.valid).reshape(-1).astype(jnp.float32)

    def first(self, frames: int) -> "TrainingClips":
        """The same clips cut to so many frames."""
        return self._with_frames(lambda x: x[:, :frames])

    def visited(self, order: Array | None) -> "TrainingClips":
        """The same clips with frames in another order [B, T]; None leaves them as they are."""
        if order is None:
            return self

        def take(x: Array) -> Array:
            index = order.reshape(*order.shape, *(1,) * (x.ndim - 2))
            return jnp.take_along_axis(jnp.asarray(x), index, 1)

        return self._with_frames(take)

    def _with_frames(self, change: Callable[[Array], Array]) -> "TrainingClips":
        """Every array that has a T axis, changed."""
        whole = {name: getattr(self, name) for name in ("valid", "object_class", "class_shares")}
        framed = jax.tree.map(change, self.replace(**dict.fromkeys(whole)))
        return framed.replace(**whole)

    def truths(self) -> FrameTruth:
        """The truth of all frames, T leading: what a scan over the frames takes."""
        clips, frames, objects, side, _ = self.masks.shape
        masks = jnp.moveaxis(jnp.asarray(self.masks), 1, 0).reshape(frames, -1, side, side)
        annotated = jnp.repeat(jnp.asarray(self.annotated), objects, 0).T
        known = None
        if self.ignored is not None:
            known = jnp.repeat(jnp.moveaxis(~jnp.asarray(self.ignored), 1, 0), objects, 1)
        return FrameTruth(masks, known, annotated * self.row_weights.reshape(1, clips * objects))


def training_clips(batch: ClipBatch | SceneBatch) -> TrainingClips:
    """The internal form of either kind of batch."""
    if isinstance(batch, SceneBatch):
        clips = _from_scenes(batch)
    elif isinstance(batch, ClipBatch):
        clips = _from_clips(batch)
    else:
        raise TypeError(f"a SceneBatch or a ClipBatch expected, found {type(batch).__name__}.")
    side = clips.masks.shape[-1]
    if clips.frames_u8.shape != (*clips.masks.shape[:2], side, side, 3):
        raise ValueError(
            f"frames {clips.frames_u8.shape} do not fit masks [B, T, O, S, S] = "
            f"{clips.masks.shape}."
        )
    return clips


def batch_from_arrays(arrays: Mapping[str, Any]) -> ClipBatch | SceneBatch:
    """The batch whose fields are `arrays`, as a failed step keeps them; ValueError if none fits."""
    for kind in (SceneBatch, ClipBatch):
        names = {field.name for field in dataclasses.fields(kind)}
        optional = {"classes", "object_class", "class_shares"} & names
        if names - optional <= set(arrays) <= names:
            return kind(**arrays)
    raise ValueError(f"arrays of a SceneBatch or a ClipBatch expected, found {sorted(arrays)}.")


def count_losses(batch: ClipBatch | SceneBatch, sum_frames: bool = False) -> Array:
    """[] what the loss of a batch is divided by: objects, times annotated frames unless summed."""
    clips = training_clips(batch)
    per_clip = jnp.asarray(clips.valid).sum(-1)
    frames = 1 if sum_frames else jnp.asarray(clips.annotated).sum(-1)
    return (per_clip * frames).sum()


def _from_scenes(batch: SceneBatch) -> TrainingClips:
    if batch.masks.ndim != 5:
        raise ValueError(f"masks must be [B, T, O, S, S], found {batch.masks.shape}.")
    index = jnp.asarray(batch.frame_index)
    return TrainingClips(
        frames_u8=batch.frames,
        masks=batch.masks,
        ignored=None,
        valid=batch.valid,
        annotated=jnp.ones(batch.masks.shape[:2], bool),
        travelled=jnp.abs(index - index[:, :1]).astype(jnp.int32),
        is_long=jnp.zeros(batch.masks.shape[:2], bool),
        classes=batch.classes,
        object_class=batch.object_class,
    )


def _from_clips(batch: ClipBatch) -> TrainingClips:
    if batch.label_maps.ndim != 4:
        raise ValueError(f"label_maps must be [B, T, S, S], found {batch.label_maps.shape}.")
    maps = jnp.asarray(batch.label_maps)
    return TrainingClips(
        frames_u8=batch.frames_u8,
        masks=expand_masks(maps, batch.object_valid.shape[1]),
        ignored=is_ignored(maps),
        valid=batch.object_valid,
        annotated=batch.is_annotated,
        travelled=jnp.asarray(batch.frame_index),
        is_long=batch.is_long,
        classes=None,
        object_class=batch.object_class,
        class_shares=batch.class_shares,
    )


def per_object(tree: Any, objects: int) -> Any:
    """[B, ...] to [B*O, ...]: every object of an image sees that image."""
    return jax.tree.map(lambda x: jnp.repeat(x, objects, 0), tree)
