"""Training batches of clips from prepared sets, in an order that a step number restores.

Path:    reader, samplers, augment, mixture -> [clips] -> train step
Axes:    B clips, T frames, O objects, S side of the square input.
Units:   frames uint8 RGB; labels 0 background, 1..O objects, 255 ignore; frame_index and positions
         in stored frames; time_s in seconds of the source video.
Errors:  ValueError for settings that do not fit each other, before a frame is read; what a reading
         thread raises reaches the caller of `next`.
Source:  Grain for the reading threads.
Differs: no iterator state is saved. Batch `step` depends on (sets, settings, seed, step) alone,
         whatever the number of threads or processes, so a resumed run opens at its step. Masks
         travel as one label map per frame, O times smaller, and `expand_masks` opens them on the
         device.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from surgjax.data import augment, samplers
from surgjax.data.augment import IGNORE, AugmentConfig
from surgjax.data.class_shares import Classes, class_row
from surgjax.data.index import VideoEntry
from surgjax.data.mixture import Mixture, MixtureEntry, Share, Weighting
from surgjax.structs import Array


class ClipBatch(flax.struct.PyTreeNode):
    """What a training step takes. Shapes are the same for every batch; frame 0 is the prompted one.

    An object of a few pixels may vanish when the first frame is made smaller: its slot is then not
    valid. A clip without any valid slot stays in the batch and has no part in the loss.
    """

    frames_u8: Array  # [B, T, S, S, 3] uint8
    label_maps: Array  # [B, T, S, S] uint8
    object_valid: Array  # [B, O] bool: the slot holds an object, visible in the first frame
    visible: Array  # [B, T, O] bool: at least one pixel; False where not annotated
    is_annotated: Array  # [B, T] bool: losses skip the other frames
    is_long: Array  # [B, T] bool: long-range frames of hybrid clips
    is_reversed: Array  # [B] bool
    frame_index: Array  # [B, T] int32: frames travelled since the first, ascending
    time_s: Array  # [B, T] float32: seconds travelled since the first; 0 for images
    category: Array  # [B, O] int32: index into `Clips.categories`, -1 for an empty slot
    set_index: Array  # [B] int32: which set of the mixture
    object_class: Array | None = None  # [B, O] int32: row of a text bank, -1 for tissue, unknown
    class_shares: Array | None = None  # [B, K] float32, one for all: how often a row is drawn


@dataclasses.dataclass(frozen=True)
class ClipSource:
    """Where a clip comes from; stays on the host."""

    number: int
    set_name: str
    split: str
    video_id: str
    positions: tuple[int, ...]
    object_ids: tuple[int, ...]  # of slots 0, 1, ..


class LoadedBatch(NamedTuple):
    """A batch with its step: training that has used it goes on at `step + 1`."""

    step: int
    clips: ClipBatch
    sources: tuple[ClipSource, ...]


def expand_masks(label_maps: Array, objects: int) -> Array:
    """[..., S, S] to bool [..., O, S, S]: slot k is where the label is k + 1."""
    slots = jnp.arange(1, objects + 1, dtype=label_maps.dtype)
    slots = slots.reshape((1,) * (label_maps.ndim - 2) + (objects, 1, 1))
    return jnp.expand_dims(label_maps, -3) == slots


def is_ignored(label_maps: Array) -> Array:
    """Pixels whose truth is unknown; bool of the same shape."""
    return label_maps == IGNORE


# Another version of an instance map [H, W]: what is stored, its video, the position of its frame.
# A function of its arguments, so that a frame is labelled alike whenever it is drawn. Picklable.
Relabel = Callable[[np.ndarray, VideoEntry, int], np.ndarray]


class _Example(NamedTuple):
    arrays: dict[str, np.ndarray]
    source: ClipSource


@dataclasses.dataclass(frozen=True)
class ClipLoader:
    """Makes example number n; what the reading threads share. Picklable."""

    mixture: Mixture
    size: int
    augment: AugmentConfig
    categories: tuple[str, ...]
    relabel: Relabel | None = None
    classes: Classes | None = None  # see `open_clips`
    class_shares: np.ndarray | None = None

    def empty(self, count: int) -> dict[str, np.ndarray]:
        """Room for the pictures and labels of `count` clips."""
        sampler, side = self.mixture.entries[0].sampler, self.size
        return dict(
            frames_u8=np.empty((count, sampler.frames, side, side, 3), np.uint8),
            label_maps=np.empty((count, sampler.frames, side, side), np.uint8),
        )

    def example(self, number: int, room: dict[str, np.ndarray] | None = None) -> _Example:
        """Draws, reads, decodes and augments one clip: T pictures and at most T maps.

        room: where frames_u8 and label_maps of this clip go; new arrays by default.
        """
        room = room or {name: array[0] for name, array in self.empty(1).items()}
        pick, rng = self.mixture.pick(number), self.mixture.generator(number)
        video, sampler = pick.video, pick.entry.sampler
        draw = samplers.draw_clip(rng, video, sampler)
        images, maps, times = pick.entry.prepared.read_frames(
            pick.disk_split, video, draw.positions.tolist(), draw.is_annotated.tolist()
        )
        if self.relabel is not None:
            maps = [
                None if stored is None else self.relabel(stored, video, int(position))
                for stored, position in zip(maps, draw.positions, strict=True)
            ]
        frames_u8, label_maps = room["frames_u8"], room["label_maps"]
        again = [False, *(np.diff(draw.positions) == 0)]
        augment.augment_clip(
            rng, images, maps, _table(draw, maps, video), self.augment, frames_u8, label_maps, again
        )
        visible = np.zeros((sampler.frames, sampler.objects), bool)
        for t in np.flatnonzero(draw.is_annotated):
            visible[t] = augment.slots_seen(label_maps[t], sampler.objects)
        items = {item.id: item for item in video.objects}
        category = np.full(sampler.objects, -1, np.int32)
        for slot, object_id in enumerate(draw.object_ids):
            category[slot] = self.categories.index(items[object_id].category)
        arrays = dict(
            frames_u8=frames_u8,
            label_maps=label_maps,
            object_valid=visible[0],
            visible=visible,
            is_annotated=draw.is_annotated,
            is_long=draw.is_long,
            is_reversed=np.array(draw.is_reversed),
            frame_index=draw.frame_index,
            time_s=_travelled_seconds(draw.positions, times, video.fps),
            category=category,
            set_index=np.array(pick.set_index, np.int32),
        )
        if self.classes is not None:
            rows = self.classes[pick.entry.prepared.name]
            arrays["object_class"] = np.full(sampler.objects, -1, np.int32)
            for slot, item in enumerate(items[object_id] for object_id in draw.object_ids):
                arrays["object_class"][slot] = class_row(item, rows)
        if self.class_shares is not None:
            arrays["class_shares"] = self.class_shares
        positions = tuple(int(t) for t in draw.positions)
        source = ClipSource(
            number,
            pick.entry.prepared.name,
            pick.disk_split,
            video.video_id,
            positions,
            draw.object_ids,
        )
        return _Example(arrays, source)


def _travelled_seconds(positions: np.ndarray, times: np.ndarray, fps: float) -> np.ndarray:
    """[T] float32 since the first frame, either way; a frame that is shown again takes its turn."""
    steps = np.abs(np.diff(times))
    steps[np.diff(positions) == 0] = 1 / fps if fps else 0
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.float32)


def _table(
    draw: samplers.ClipDraw, maps: Sequence[np.ndarray | None], video: VideoEntry
) -> np.ndarray:
    """Label of each value of the instance maps: chosen objects 1.., ignore, the rest background."""
    dtype = next((m.dtype for m in maps if m is not None), np.dtype(np.uint8))
    largest = np.iinfo(dtype).max
    table = np.zeros(largest + 1, np.uint8)
    table[largest] = IGNORE
    for slot, object_id in enumerate(draw.object_ids):
        if not 0 < object_id < largest:
            raise ValueError(
                f"{video.video_id}: object {object_id} of the index cannot be a value of {dtype} "
                f"maps, whose objects are 1..{largest - 1}."
            )
        table[object_id] = slot + 1
    return table


class _Numbered:
    """Examples of one process as a Grain source; each is written into its row of its batch."""

    def __init__(self, loader: ClipLoader, share: Share):
        self._loader, self._share = loader, share
        self._rooms: dict[int, dict[str, np.ndarray]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return 1 << 48

    def __getitem__(self, index: int) -> _Example:
        step, slot = divmod(index, self._share.local_size)
        with self._lock:
            if step not in self._rooms:
                self._rooms[step] = self._loader.empty(self._share.local_size)
            room = {name: array[slot] for name, array in self._rooms[step].items()}
        return self._loader.example(self._share.number(index), room)

    def take_room(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of a batch all of whose examples have been made."""
        with self._lock:
            return self._rooms.pop(step)


class Clips(Iterator[LoadedBatch]):
    """Endless batches of this process from `start_step` on. Close it, or use it in a `with`."""

    def __init__(
        self, loader: ClipLoader, share: Share, start_step: int, threads: int, prefetch: int
    ):
        import grain

        self.loader, self.share, self.step = loader, share, start_step
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=max(threads, prefetch * share.local_size)
        )
        self._numbered = _Numbered(loader, share)
        begun = grain.MapDataset.source(self._numbered)[start_step * share.local_size :]
        self._examples = iter(begun.to_iter_dataset(options))

    @property
    def categories(self) -> tuple[str, ...]:
        """What the numbers in `ClipBatch.category` stand for."""
        return self.loader.categories

    def __next__(self) -> LoadedBatch:
        examples = [next(self._examples) for _ in range(self.share.local_size)]
        arrays = self._numbered.take_room(self.step)
        for name in examples[0].arrays.keys() - arrays.keys():
            arrays[name] = np.stack([example.arrays[name] for example in examples])
        batch = LoadedBatch(self.step, ClipBatch(**arrays), tuple(e.source for e in examples))
        self.step += 1
        return batch

    def close(self) -> None:
        """Ends the reading threads."""
        self._examples.close()

    def __enter__(self) -> "Clips":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def open_clips(
    entries: Sequence[MixtureEntry],
    *,
    batch_size: int,
    size: int,
    seed: int,
    start_step: int = 0,
    weighting: Weighting = "given",
    augment_config: AugmentConfig | None = None,
    process_index: int | None = None,
    process_count: int | None = None,
    threads: int = 2,
    prefetch: int = 2,
    relabel: Relabel | None = None,
    classes: Classes | None = None,
    class_shares: np.ndarray | None = None,
) -> Clips:
    """Batches of clips from a mixture of prepared sets.

    batch_size: clips of all processes together; each takes an equal share, in process order.
    size: side of the square frames in pixels.
    start_step: the number of batches used so far, as the train state counts them.
    augment_config: SAM 2's augmentation by default; `augment.NO_AUGMENT` only resizes.
    process_index, process_count: those of JAX by default.
    prefetch: batches prepared ahead in host memory.
    relabel: changes instance maps before anything else is done with them.
    classes: of each set by name, the row of a text bank by the category of an instrument; batches
        then have `object_class`.
    class_shares: [K] of each row among what is drawn, see `data.class_shares`; batches carry it.
    """
    for name, value, least in (
        ("size", size, 16), ("start_step", start_step, 0), ("threads", threads, 1),
        ("prefetch", prefetch, 1),
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} must be {least} or more, found {value}.")
    mixture = Mixture(entries, seed, weighting)
    shapes = {(entry.sampler.frames, entry.sampler.objects) for entry in mixture.entries}
    if len(shapes) > 1:
        raise ValueError(
            f"samplers of one mixture need the same (frames, objects), found {sorted(shapes)}."
        )
    names = {
        item.category for pairs in mixture.videos for _, video in pairs for item in video.objects
    }
    absent = {entry.prepared.name for entry in mixture.entries} - set(classes or ())
    if classes is not None and absent:
        raise ValueError(f"classes: none for the sets {sorted(absent)}.")
    share = Share(
        batch_size,
        jax.process_index() if process_index is None else process_index,
        jax.process_count() if process_count is None else process_count,
    )
    cv2.setNumThreads(1)  # the reading threads are the parallelism; OpenCV's own would fight them
    changes, categories = augment_config or AugmentConfig(), tuple(sorted(names))
    loader = ClipLoader(mixture, size, changes, categories, relabel, classes, class_shares)
    return Clips(loader, share, start_step, threads, prefetch)
