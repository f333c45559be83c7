"""Frames of a prepared data set by number: encoded bytes found, and only what is asked decoded.

Path:    array_record shards, clips.json -> [reader] -> clips
Axes:    image [H, W, 3] RGB uint8; instances [H, W] uint8 or uint16.
Units:   record counts the frames of a split; position counts the frames of a video.
Errors:  ValueError naming the folder, split, record or key: no prepared set, records that do not
         match the index, a shard that is missing, bytes that are no picture, a picture whose size
         is not that of the index.
Source:  TFDS for the layout and the example parser; it needs no TensorFlow for this.
Differs: a TFDS data source decodes every feature of a record and keeps every shard open; sets with
         one shard per video would run out of file handles. PNG maps with a palette give their
         indices, where OpenCV (and with it TFDS) gives colours.
"""

import bisect
import collections
import dataclasses
import io
import itertools
import os
import threading
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import PIL.Image

from surgjax.data import index as set_index
from surgjax.data.index import SetIndex, VideoEntry

_KEYS = ("image", "instances")
_OPEN_SHARDS = 64
_PNG = b"\x89PNG\r\n\x1a\n"
_RGB = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR)  # not in every OpenCV 4
_GREY, _PALETTE = 0, 3  # colour types of a PNG header


def _versions(base: str) -> list[tuple[tuple[int, ...], str]]:
    """(numbers, name) of the version folders of a folder, ascending."""
    names = os.listdir(base) if os.path.isdir(base) else ()
    return sorted(
        (tuple(int(part) for part in name.split(".")), name)
        for name in names
        if all(part.isdigit() for part in name.split("."))
    )


def version_folder(data_dir: str | os.PathLike, name: str) -> str:
    """DATA_DIR and NAME[/CONFIG][:VERSION] to the folder; without a version, the highest one.

    Without CONFIG the set must have been prepared in one config only.
    """
    name, _, version = name.partition(":")
    base = os.path.join(data_dir, *name.split("/"))
    if "/" not in name and os.path.isdir(base) and not _versions(base):
        configs = [each for each in sorted(os.listdir(base)) if _versions(os.path.join(base, each))]
        if len(configs) > 1:
            options = ", ".join(f"{name}/{each}" for each in configs)
            raise ValueError(f"{base}: was prepared in several configs: choose one of {options}.")
        base = os.path.join(base, *configs)
    found = [pair for pair in _versions(base) if not version or pair[1] == version]
    if not found:
        wanted = f"version {version}" if version else "version folder such as 1.0.0"
        raise ValueError(f"{base}: no {wanted} found: run experiments.prepare_data first.")
    return os.path.join(base, found[-1][1])


def decode_image(data: bytes) -> np.ndarray | None:
    """Any picture to [H, W, 3] RGB uint8, as stored (no EXIF turn, which masks lack); else None."""
    if not data:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or hasattr(cv2, "IMREAD_COLOR_RGB"):
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_map(data: bytes) -> np.ndarray | None:
    """A PNG to [H, W] of its stored values (indices of a palette); None if it is no such PNG."""
    if data[:8] != _PNG or len(data) < 26:
        return None
    depth, colour = data[24], data[25]
    if colour == _PALETTE:
        with PIL.Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    if colour != _GREY or depth < 8:  # OpenCV would stretch 1, 2 and 4 bits to 0..255
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@dataclasses.dataclass
class DecodeCount:
    """How many pictures have been decoded so far; what the tests of laziness read."""

    images: int = 0
    maps: int = 0


class PreparedSet:
    """One prepared data set. Safe to share between threads, and picklable for worker processes.

    folder: the version folder, with `dataset_info.json`, the shards and `clips.json`.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = os.fspath(folder)
        self.index: SetIndex = set_index.read(self.folder)
        self._paths, self._starts, self._features = _layout(self.folder, self.index)
        self.name = self.index.name
        self._prepare()

    def _prepare(self) -> None:
        self.decoded = DecodeCount()
        self._readers: collections.OrderedDict[str, Any] = collections.OrderedDict()
        self._parsers: dict[tuple[str, ...], tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def __getstate__(self):
        return {k: getattr(self, k) for k in ("folder", "index", "name")} | {
            "_paths": self._paths,
            "_starts": self._starts,
            "_features": self._features,
        }

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._prepare()

    def _reader(self, path: str):
        """The open shard; the one that was used longest ago is let go (its users keep it)."""
        with self._lock:
            if path in self._readers:
                self._readers.move_to_end(path)
                return self._readers[path]
            from array_record.python import array_record_module  # type: ignore[attr-defined]

            if not os.path.exists(path):
                raise ValueError(f"{path} does not exist, though dataset_info.json lists it.")
            reader = array_record_module.ArrayRecordReader(
                path, options="readahead_buffer_size:0", file_reader_buffer_size=1 << 15
            )
            self._readers[path] = reader
            if len(self._readers) > _OPEN_SHARDS:
                self._readers.popitem(last=False)
            return reader

    def raw(self, split: str, record: int) -> bytes:
        """The serialised example of one record of a split on disk."""
        starts = self._starts[split]
        if not 0 <= record < starts[-1]:
            raise ValueError(
                f"{self.name}/{split} has records 0..{starts[-1] - 1}, asked {record}."
            )
        shard = bisect.bisect_right(starts, record) - 1
        return self._reader(self._paths[split][shard]).read([record - starts[shard]])[0]

    def encoded(self, split: str, record: int, keys: Sequence[str] = _KEYS) -> dict[str, Any]:
        """Features `keys` of a record, pictures as the bytes they are stored as."""
        parser, skip = self._parsers.get(tuple(keys)) or self._add_parser(tuple(keys))
        return dict(parser.deserialize_example_np(self.raw(split, record), decoders=skip))

    def _add_parser(self, keys: tuple[str, ...]):
        """The features reduced to `keys`, with pictures left undecoded."""
        import tensorflow_datasets as tfds

        features = self._features
        missing = [key for key in keys if key not in features]
        if missing:
            raise ValueError(f"{self.folder}: records have no {missing}, only {sorted(features)}.")
        part = tfds.features.FeaturesDict({key: features[key] for key in keys})
        pictures = [key for key in keys if isinstance(features[key], tfds.features.Image)]
        self._parsers[keys] = part, {key: tfds.decode.SkipDecoding() for key in pictures}
        return self._parsers[keys]

    def read_frames(
        self, split: str, video: VideoEntry, positions: Sequence[int], with_map: Sequence[bool]
    ) -> tuple[list[np.ndarray], list[np.ndarray | None], np.ndarray]:
        """Images, instance maps (None where not asked) and times [T] of frames of a video.

        Times are seconds of the source video, 0 for images. A position that comes twice is
        decoded once, and both places hold the same array.
        """
        wanted: dict[int, bool] = {}
        for position, is_wanted in zip(positions, with_map, strict=True):
            wanted[int(position)] = wanted.get(int(position), False) or bool(is_wanted)
        found = {t: self._frame(split, video, t, is_wanted) for t, is_wanted in wanted.items()}
        images = [found[int(t)][0] for t in positions]
        maps = [found[int(t)][1] if w else None for t, w in zip(positions, with_map, strict=True)]
        return images, maps, np.array([found[int(t)][2] for t in positions], np.float64)

    def _frame(
        self, split: str, video: VideoEntry, position: int, with_map: bool
    ) -> tuple[np.ndarray, np.ndarray | None, float]:
        if not 0 <= position < video.length:
            raise ValueError(
                f"{self.name}/{split}/{video.video_id} has frames 0..{video.length - 1}, "
                f"asked {position}."
            )
        record = video.first + position
        keys = _KEYS if with_map else _KEYS[:1]
        keys += ("time_s",) if "time_s" in self._features else ()
        data = self.encoded(split, record, keys)
        where = f"{self.name}/{split} record {record} ({video.video_id}, frame {position})"
        image = _checked(decode_image(data["image"]), video, f"{where}: image", "picture")
        instances = None
        if with_map:
            kind = "PNG of grey values or palette indices"
            instances = decode_map(data["instances"])
            instances = _checked(instances, video, f"{where}: instances", kind)
        with self._lock:
            self.decoded.images += 1
            self.decoded.maps += with_map
        return image, instances, float(data.get("time_s", 0.0))


def _checked(array: np.ndarray | None, video: VideoEntry, what: str, kind: str) -> np.ndarray:
    if array is None:
        raise ValueError(f"{what} is no {kind}.")
    if array.shape[:2] != (video.height, video.width):
        raise ValueError(
            f"{what} is {array.shape[0]}x{array.shape[1]}, "
            f"the index says {video.height}x{video.width}."
        )
    return array


def _layout(folder: str, index: SetIndex) -> tuple[dict[str, list[str]], dict[str, list[int]], Any]:
    """Per split the shards' paths and first records (with the total as last), and the features."""
    import tensorflow_datasets as tfds

    if not os.path.exists(os.path.join(folder, "dataset_info.json")):
        raise ValueError(f"{folder} has no dataset_info.json: expected a TFDS version folder.")
    info = tfds.builder_from_directory(folder).info
    paths, starts = {}, {}
    for split, videos in index.splits.items():
        if split not in info.splits:
            known = ", ".join(sorted(info.splits))
            raise ValueError(f"{folder}: the index has split {split!r}, the shards have {known}.")
        lengths = info.splits[split].shard_lengths
        paths[split] = [os.fspath(path) for path in info.splits[split].filepaths]
        starts[split] = [0, *itertools.accumulate(lengths)]
        first = 0
        for video in videos:
            if video.first != first:
                raise ValueError(
                    f"{folder}: {split}/{video.video_id} begins at record {video.first} in the "
                    f"index, expected {first}: build the set again."
                )
            first += video.length
        if first != starts[split][-1]:
            raise ValueError(
                f"{folder}: split {split!r} has {starts[split][-1]} records, its index {first}: "
                "build the set again."
            )
    return paths, starts, info.features
