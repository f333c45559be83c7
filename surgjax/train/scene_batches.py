"""Batches of generated scenes: shards in a folder, objects drawn per scene, cheap augmentation.

Path:    surgjax.synthetic -> shards -> [scene_batches] -> SceneBatch -> train step
Axes:    N scenes of a shard, T frames, O objects, H W pixels of the shard, S of the batch.
Units:   frames uint8 RGB; labels uint8 instance ids (0 background); parts uint8 part ids.
Errors:  ValueError naming the folder or file when there is no shard, a key is missing or a scene
         of a held-out seed turns up in training data.
Differs: besides instances, their connected components and parts are objects too.
"""

import dataclasses
import itertools
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import jax
import numpy as np

from surgjax.data.mixture import Share
from surgjax.synthetic.build import HELD_OUT
from surgjax.train.batch_sources import SourcedBatch
from surgjax.train.scene_augment import apply_colour, draw_colour, draw_warp
from surgjax.train.steps.promptable import SceneBatch

_MIN_AREA = 0.004  # of the image, for an object to be prompted
_KEYS = {
    "image": ("images", "labels", "parts", "seeds"),
    "clip": ("frames", "labels", "parts", "seeds"),
}


@dataclasses.dataclass(frozen=True)
class BatchOptions:
    """What one kind of batch looks like."""

    kind: str = "image"  # or "clip", "dense" (images), "shapes" (see `warm_start`)
    size: int = 256  # pixels, square
    batch: int = 8
    objects: int = 4
    frames: int = 1
    max_stride: int = 2  # frames of the source clip between two tracked frames
    max_gap: int = 6  # and between the prompted frame and the first tracked one
    p_parts: float = 1.0  # of an image whose parts and pieces are objects too
    p_cut: float = 0.0  # of a clip whose last frames show another scene: the objects are absent


class ShardFolder:
    """Shards `images_*.npz` or `clips_*.npz`, kept in memory; new ones are taken up."""

    def __init__(
        self,
        folders: Sequence[str | os.PathLike],
        kind: str,
        max_scenes: int = 40_000,
        classes: Mapping[str, int] | None = None,
    ):
        """classes: row of a text bank by name; batches then have `object_class`."""
        if kind not in _KEYS:
            raise ValueError(f"kind must be one of {sorted(_KEYS)}, found {kind!r}.")
        self._folders = [pathlib.Path(folder) for folder in folders]
        self._kind, self._max_scenes, self.classes = kind, max_scenes, classes
        self._seen: set[pathlib.Path] = set()
        self._shards: list[dict[str, np.ndarray]] = []
        self._lock = threading.Lock()  # several sources may read one folder
        self.refresh()
        if not self._shards:
            where = ", ".join(map(str, self._folders))
            raise ValueError(f"{where}: no {self._kind}s_*.npz shard found.")

    def refresh(self) -> None:
        """Loads shards that have appeared since the last call, up to `max_scenes`."""
        with self._lock:
            self._load_new()

    def _load_new(self) -> None:
        paths = [path for folder in self._folders for path in folder.glob(f"{self._kind}s_*.npz")]
        for path in sorted(paths):
            if path in self._seen or len(self) >= self._max_scenes:
                continue
            keys = _KEYS[self._kind] + (("names",) if self.classes is not None else ())
            with np.load(path) as arrays:
                missing = [key for key in keys if key not in arrays]
                if missing:
                    raise ValueError(f"{path}: keys {missing} are missing, found {arrays.files}.")
                shard = {key: arrays[key] for key in keys}
            if shard["seeds"].max() >= HELD_OUT:
                raise ValueError(f"{path}: seed {shard['seeds'].max()} is held out for evaluation.")
            self._seen.add(path)
            self._shards.append(shard)

    def __len__(self) -> int:
        return sum(len(shard["seeds"]) for shard in self._shards)

    def draw(
        self,
        rng: np.random.Generator,
        drawn: list[int] | None = None,
        named: list[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One scene: frames [T, H, W, 3], labels [T, H, W], parts [T, H, W]; T = 1 for images.

        drawn: takes in the seed that the scene was generated from; named: what its objects are, as
        rows of the text bank.
        """
        index = int(rng.integers(len(self)))
        for shard in self._shards:
            if index < len(shard["seeds"]):
                if drawn is not None:
                    drawn.append(int(shard["seeds"][index]))
                if named is not None and self.classes is not None:
                    rows = [self.classes.get(str(name), -1) for name in shard["names"][index]]
                    named.append(np.array(rows, np.int32))
                frames, labels, parts = (shard[key][index] for key in _KEYS[self._kind][:3])
                if self._kind == "image":
                    return frames[None], labels[None], parts[None]
                return frames, labels, parts
            index -= len(shard["seeds"])
        raise AssertionError("index within the shards' total")


def draw_objects(
    rng: np.random.Generator, labels: np.ndarray, parts: np.ndarray, objects: int, whole: bool
) -> list[tuple[int, int | None, np.ndarray | None]]:
    """Up to `objects` descriptions (label, part or None, component mask or None) of one frame.

    Instances come first in random order; then, for images, parts and components of instances fill
    the slots that are left. With `whole`, only instances are drawn.
    """
    least = _MIN_AREA * labels.size
    counts = np.bincount(labels.ravel(), minlength=1)
    ids = [int(i) for i in np.nonzero(counts >= least)[0] if i > 0]
    rng.shuffle(ids)
    found: list[tuple[int, int | None, np.ndarray | None]] = [(i, None, None) for i in ids]
    if whole:
        return found[:objects]
    keep = max(1, objects - 1)  # a slot or more for parts and components
    extra: list[tuple[int, int | None, np.ndarray | None]] = []
    for i in ids:
        inside = labels == i
        part_counts = np.bincount(parts[inside].ravel(), minlength=1)
        extra += [(i, int(p), None) for p in np.nonzero(part_counts >= least)[0] if p > 0]
        count, components, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
        if count > 2:  # background, and at least two pieces
            large = [c for c in range(1, count) if stats[c, cv2.CC_STAT_AREA] >= least]
            extra += [(i, None, components == c) for c in large]
    rng.shuffle(extra)
    return (found[:keep] + extra + found[keep:])[:objects]


def slot_classes(
    rows: np.ndarray, chosen: Sequence[tuple[int, int | None, np.ndarray | None]], objects: int
) -> np.ndarray:
    """[O] int32 row of the text bank of what fills a slot; -1 for tissue and for a part alone."""
    found = np.full(objects, -1, np.int32)
    for slot in range(objects):
        label, part, _ = chosen[slot % len(chosen)]
        if part is None:
            found[slot] = rows[label - 1]
    return found


def dense_classes(labels: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """What each pixel is, as `train.auxiliary_head` counts: part, other object, edge."""
    classes = np.where(parts > 0, parts, np.where(labels > 0, 4, 0)).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    classes[cv2.dilate(labels, square) != cv2.erode(labels, square)] = 5
    return classes


def _frame_choice(
    rng: np.random.Generator, labels: np.ndarray, options: BatchOptions
) -> np.ndarray:
    """Frames of a clip in the direction of travel: the prompted one, a gap, the tracked ones."""
    length = len(labels)
    stride = int(rng.integers(1, options.max_stride + 1))
    gap = int(rng.integers(1, options.max_gap + 1)) if rng.random() < 0.5 else stride
    need = gap + (options.frames - 2) * stride
    if need >= length:
        stride, gap = 1, 1
        need = options.frames - 1
    start = int(rng.integers(0, length - need))
    index = np.concatenate([[start], start + gap + stride * np.arange(options.frames - 1)])
    return length - 1 - index if rng.random() < 0.5 else index


def draw_scene(
    rng: np.random.Generator,
    shards: ShardFolder,
    options: BatchOptions,
    augment: bool = True,
    drawn: list[int] | None = None,
    named: list[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """frames [T, S, S, 3], masks [T, O, S, S], valid [O], frame_index [T], classes [T, S, S].

    drawn: takes in the seeds of the scenes that were looked at; the last one is shown.
    named: takes in the class [O] of each slot, see `slot_classes`.
    """
    size, looked = options.size, []
    for _ in range(50):
        frames, labels, parts = shards.draw(rng, drawn, looked)
        index = np.zeros(1, np.int64)
        if options.kind == "clip":
            index = _frame_choice(rng, labels, options)
        height, width = labels.shape[1:]
        if augment:
            matrix = draw_warp(rng, height, width, size)
        else:
            matrix = np.array([[size / width, 0, 0], [0, size / height, 0]], np.float32)
        shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < 0.75
        colour = draw_colour(rng)
        images, label_maps, part_maps = [], [], []
        for t in index:
            frame = cv2.GaussianBlur(frames[t], (0, 0), 0.7) if shrink else frames[t]
            warp: dict[str, Any] = dict(dsize=(size, size), borderMode=cv2.BORDER_REFLECT_101)
            image = cv2.warpAffine(frame, matrix, flags=cv2.INTER_LINEAR, **warp)
            images.append(apply_colour(rng, image, colour) if augment else image)
            label_maps.append(cv2.warpAffine(labels[t], matrix, flags=cv2.INTER_NEAREST, **warp))
            part_maps.append(cv2.warpAffine(parts[t], matrix, flags=cv2.INTER_NEAREST, **warp))
        whole = options.kind == "clip" or rng.random() >= options.p_parts
        chosen = draw_objects(rng, label_maps[0], part_maps[0], options.objects, whole)
        if not chosen:
            continue  # nothing in view after the crop
        masks = np.zeros((len(index), options.objects, size, size), bool)
        valid = np.zeros(options.objects, bool)
        for slot, (label, part, component) in enumerate(chosen):
            valid[slot] = True
            for t in range(len(index)):
                mask = label_maps[t] == label
                if part is not None:
                    mask &= part_maps[t] == part
                masks[t, slot] = mask if component is None else component
        for slot in range(len(chosen), options.objects):  # again, with another prompt
            masks[:, slot], valid[slot] = masks[:, slot % len(chosen)], options.kind != "clip"
        if named is not None and looked:
            named.append(slot_classes(looked[-1], chosen, options.objects))
        classes = [dense_classes(*maps) for maps in zip(label_maps, part_maps, strict=True)]
        return np.stack(images), masks, valid, index.astype(np.int32), np.stack(classes)
    raise ValueError(f"no object of at least {_MIN_AREA:.1%} of the image in 50 scenes.")


def cut_away(
    rng: np.random.Generator, scene: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """`scene` of `draw_scene` with some frames after the first from `other`, objects absent there.

    Half of the cuts last to the end; after the others the objects are back.
    """
    frames, masks, valid, index, classes = (x.copy() for x in scene)
    begin = int(rng.integers(1, len(frames)))
    end = len(frames) if rng.random() < 0.5 else int(rng.integers(begin + 1, len(frames) + 1))
    frames[begin:end], classes[begin:end] = other[0][begin:end], other[4][begin:end]
    masks[begin:end] = False
    return frames, masks, valid, index, classes


def scene_batch(
    shards: ShardFolder, options: BatchOptions, seed: int, number: int, rows: range | None = None
) -> SourcedBatch:
    """Batch `number`, or some `rows` of it: a function of its arguments and of the shards.

    A row's source are the seeds of its scenes, the one that cuts in last.
    """
    scenes, sources = [], []
    named: list[np.ndarray] = []
    for row in range(options.batch) if rows is None else rows:
        rng = np.random.default_rng((seed, number, row))
        drawn: list[int] = []
        scene = draw_scene(rng, shards, options, drawn=drawn, named=named)
        shown = drawn[-1:]
        if rng.random() < options.p_cut:
            scene = cut_away(rng, scene, draw_scene(rng, shards, options, drawn=drawn))
            shown += drawn[-1:]
        scenes.append(scene)
        sources.append({"scenes": shown, "batch": number, "row": row})
    arrays = [np.stack(x) for x in zip(*scenes, strict=True)]
    batch = SceneBatch(*arrays, object_class=np.stack(named) if named else None)
    return SourcedBatch(batch, tuple(sources))


def rows_of_process(options: BatchOptions) -> range:
    """The rows of every global batch that this process makes."""
    share = Share(options.batch, jax.process_index(), jax.process_count())
    return range(share.number(0), share.number(0) + share.local_size)


def scene_batches(
    shards: ShardFolder,
    options: BatchOptions,
    seed: int,
    refresh_every: int = 50,
    start: int = 0,
    rows: range | None = None,
) -> Iterator[SourcedBatch]:
    """Endless batches from number `start` on, or some `rows` of each.

    New shards are taken up every `refresh_every` batches; while a folder grows, a batch depends on
    when it is made, and only a finished one gives the same batches again.
    """
    cv2.setNumThreads(1)
    for number in itertools.count(start):
        if number % refresh_every == refresh_every - 1:
            shards.refresh()
        yield scene_batch(shards, options, seed, number, rows)
