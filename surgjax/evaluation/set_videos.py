"""Videos of prepared sets, and generated scenes: their ground truth is written as PNGs when needed.

Path:    surgjax.data, surgjax.synthetic -> [PreparedData, GeneratedData] -> labelled_videos
Axes:    frames uint8 (H, W, 3); instance maps (H, W).
Units:   fps of the stored frames, 0 for sets of single images.
Errors:  ValueError naming set, split, video or preset: nothing there, ids that no PNG can hold.
Source:  ours.
Differs: a folder of ground truth says what it was made from (SOURCE_FILE), and is made again for
         anything else: a run that was killed may have left the truth of other settings.
"""

import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.checkpoints.atomic import atomic_folder
from surgjax.data import index as set_index
from surgjax.data.index import VideoEntry
from surgjax.data.reader import PreparedSet, version_folder
from surgjax.evaluation.labelled_videos import LabelledVideo, check_rate
from surgjax.evaluation.mask_folders import SequenceFiles, find_sequence
from surgjax.inference.frame_source import FrameSource
from surgjax.inference.frames import SequenceSource
from surgjax.inference.mask_writer import write_palette_png
from surgjax.metrics.label_maps import IGNORED
from surgjax.synthetic import generate_clip
from surgjax.synthetic.config import PRESETS

SOURCE_FILE = ".source.json"  # hidden: no mask, and no sequence


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A split of a set made by experiments.prepare_data; videos without an object are left out."""

    folder: str = ""
    set: str = ""
    split: str = "val"
    videos: tuple[str, ...] = ()
    fps: float = 0.0  # 0: the set's own

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on."""
        folder = version_folder(self.folder, self.set)
        return {"kind": "prepared", "folder": os.path.abspath(folder), "split": self.split}

    def find(self) -> list[LabelledVideo]:
        """The videos, in order of their names."""
        check_rate(self.fps, "--fps")
        if not self.folder or not self.set:
            missing = "folder (--data)" if not self.folder else "set"
            raise ValueError(f"config data.{missing}: a prepared set is needed, nothing is given.")
        prepared = PreparedSet(version_folder(self.folder, self.set))
        entries = prepared.index.videos(self.split)
        named = {entry.video_id.replace("/", "_"): (place, entry) for place, entry in entries}
        if len(named) != len(entries):
            raise ValueError(f"{prepared.folder}: two videos of split {self.split!r} share a name.")
        if unknown := sorted(set(self.videos) - set(named)):
            raise ValueError(
                f"--videos {unknown[0]}: split {self.split!r} of {self.set} has no such video."
            )
        chosen = {n: v for n, v in named.items() if v[1].objects and n in (self.videos or named)}
        if not chosen:
            raise ValueError(f"{prepared.folder}: split {self.split!r} has no video with objects.")
        return [
            self._video(prepared, place, entry, name)
            for name, (place, entry) in sorted(chosen.items())
        ]

    def _video(self, prepared: PreparedSet, split: str, entry: VideoEntry, name: str):
        stems = tuple(f"{t:05d}" for t in range(entry.length))
        frames = functools.partial(PreparedFrames, prepared, split, entry)
        identity = self.identity() | {"video": entry.video_id}
        truth = functools.partial(_write_prepared, prepared, split, entry, name, identity)
        return LabelledVideo(name, stems, self.fps or entry.fps, frames, truth, is_checked=True)


class PreparedFrames(FrameSource):
    """The frames of one video of a prepared set, decoded when they are asked for."""

    def __init__(self, prepared: PreparedSet, split: str, entry: VideoEntry):
        self._prepared, self._split, self._entry = prepared, split, entry
        self.path = f"{prepared.name}/{split}/{entry.video_id}"
        self.num_frames, self.height, self.width = entry.length, entry.height, entry.width
        self.fps = entry.fps or None

    def __getitem__(self, frame_index: int) -> np.ndarray:
        frame_index = self._check_index(frame_index)
        images, _, _ = self._prepared.read_frames(self._split, self._entry, [frame_index], [False])
        return images[0]


def _write_prepared(
    prepared: PreparedSet,
    split: str,
    entry: VideoEntry,
    name: str,
    identity: Mapping[str, Any],
    root: Path,
) -> SequenceFiles:
    def write(folder: Path) -> None:
        for t in set_index.positions_of(entry.annotated):
            instances = prepared.read_frames(split, entry, [t], [True])[1][0]
            assert instances is not None
            unknown = np.iinfo(instances.dtype).max
            known = np.where(instances == unknown, 0, instances)
            if known.max() >= IGNORED:
                raise ValueError(
                    f"{prepared.name}/{split}/{entry.video_id}: object id {known.max()}; a palette "
                    f"PNG holds ids up to {IGNORED - 1}."
                )
            label_map = np.where(instances == unknown, IGNORED, known).astype(np.uint8)
            write_palette_png(folder / f"{t:05d}.png", label_map)

    return _written(root, name, identity, write)


def _is_whole(folder: Path, source: Any) -> bool:
    """Whether a folder was made from `source`, and no file of it is missing."""
    try:
        found = json.loads((folder / SOURCE_FILE).read_text())
    except (OSError, ValueError):
        return False
    return found == {"source": source, "files": sorted(path.name for path in folder.glob("*.png"))}


def _written(
    root: Path, name: str, identity: Mapping[str, Any], write: Callable[[Path], None]
) -> SequenceFiles:
    """The folder ROOT/NAME of label maps, made whole by `write` unless it is there already.

    `identity`: what the label maps depend on. A folder made from anything else is replaced, and
    one that lacks a file.
    """
    folder, source = root / name, json.loads(json.dumps(identity))
    if folder.is_dir() and not _is_whole(folder, source):
        shutil.rmtree(folder)
    if not folder.is_dir():
        with atomic_folder(folder) as temporary:
            write(temporary)
            made = {"source": source, "files": sorted(p.name for p in temporary.iterdir())}
            (temporary / SOURCE_FILE).write_text(json.dumps(made) + "\n")
    files = find_sequence(folder, name)
    if files is None:
        raise ValueError(f"{folder}: it holds no PNG; remove it, it will be written anew.")
    return files


@dataclasses.dataclass(frozen=True)
class GeneratedData:
    """Generated surgical scenes with exact truth; the same options give the same pixels."""

    preset: str = "simple"
    seed: int = 40_000_000  # far from those that are trained on
    count: int = 8
    frames: int = 32
    size: int = 256
    fps: float = 25.0
    videos: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """What the pixels depend on, beside the seed, which names the video."""
        return {"kind": "generated"} | {n: getattr(self, n) for n in ("preset", "frames", "size")}

    def find(self) -> list[LabelledVideo]:
        """`count` clips, named by preset and seed."""
        check_rate(self.fps, "--fps")
        if self.preset not in PRESETS:
            known = ", ".join(sorted(PRESETS))
            raise ValueError(f"config data.preset {self.preset!r}: expected one of {known}.")
        for name in ("count", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"config data.{name} {getattr(self, name)}: at least 1 expected.")
        seeds = {f"{self.preset}_{self.seed + i}": self.seed + i for i in range(self.count)}
        if unknown := sorted(set(self.videos) - set(seeds)):
            raise ValueError(f"--videos {unknown[0]}: expected of {', '.join(seeds)}.")
        return [self._video(n, s) for n, s in seeds.items() if n in (self.videos or seeds)]

    def _video(self, name: str, seed: int) -> LabelledVideo:
        @functools.lru_cache(1)  # one clip at a time: made for its frames, kept for its truth
        def clip():
            return generate_clip(seed, self.frames, self.size, PRESETS[self.preset])

        def write(folder: Path) -> None:
            for t, label_map in enumerate(clip().label_maps):
                write_palette_png(folder / f"{t:05d}.png", label_map)

        def frames() -> FrameSource:
            source = SequenceSource(clip().frames_u8, name)
            clip.cache_clear()  # the source holds the frames; they go with it
            return source

        return LabelledVideo(
            name,
            tuple(f"{t:05d}" for t in range(self.frames)),
            self.fps,
            frames,
            lambda root: _written(root, name, self.identity() | {"seed": seed}, write),
            is_checked=True,
        )
