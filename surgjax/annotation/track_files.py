"""Results of tracking on disk, frame by frame: they outlive the process that made them.

Path:    tracker -> [track_files] -> tracker of a later process, masks, timeline
Axes:    one record is one object on one frame, see `surgjax.inference.records.Record`.
Units:   frame indices count decoded frames from 0; `fresh` is an inclusive interval of frames.
Errors:  OSError naming the file where the disk is full.
Source:  ours.
Differs: `RecordStore` packs records into an unnamed file that dies with the process. Here a record
         lies at its frame's own place in a file with holes, beside an index that is mapped into
         memory: nothing has to be written at the end, so there is no moment at which a kill loses
         more than the frame under way.
"""

import os
import shutil
from pathlib import Path

import numpy as np

from surgjax.inference.records import Record

_INDEX = np.dtype([("key", "<u4"), ("iou", "<f4"), ("score", "<f4")])  # key 0: no record
PARTS = ("tracked", "answers", "found")  # without prompts, of prompts, under corrections


def _bytes_of(shapes: dict[str, tuple[tuple, np.dtype]]) -> dict[str, int]:
    return {n: int(np.prod(shape)) * dtype.itemsize for n, (shape, dtype) in shapes.items()}


class RecordFile:
    """Records of one object, at most one a frame."""

    def __init__(self, path: Path, num_frames: int, shapes: dict[str, tuple[tuple, np.dtype]]):
        """`shapes`: of low_res, pointer and memory, in this order."""
        self.path, self._shapes = path, shapes
        self._sizes = _bytes_of(shapes)
        self._size = sum(self._sizes.values())
        index = path.with_suffix(".index")
        if not index.exists() or index.stat().st_size != num_frames * _INDEX.itemsize:
            # Zeros, not a hole: where a mapped file has to grow on a full disk the process dies.
            index.write_bytes(bytes(num_frames * _INDEX.itemsize))
        self.index = np.memmap(index, _INDEX, "r+", shape=(num_frames,))
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def put(self, frame: int, record: Record, key: int = 1) -> None:
        parts = [np.ascontiguousarray(getattr(record, name)) for name in self._shapes]
        for (name, (shape, dtype)), part in zip(self._shapes.items(), parts, strict=True):
            if (part.shape, part.dtype) != (shape, dtype):
                found = f"{part.dtype} {part.shape} found"
                raise ValueError(f"{self.path}: {name}: {dtype} {shape} expected, {found}")
        data = b"".join(part.tobytes() for part in parts)
        self.index["key"][frame] = 0  # a kill in the middle leaves no record, not half of one
        try:
            written = os.pwrite(self._file, data, frame * self._size)
        except OSError as error:
            raise OSError(error.errno, f"{self.path}: {error.strerror}") from error
        if written != len(data):
            raise OSError(f"{self.path}: the disk is full")
        self.index[frame] = (key, record.iou, record.object_score)

    def get(self, frame: int) -> Record | None:
        if not self.key(frame):
            return None
        data, at, parts = os.pread(self._file, self._size, frame * self._size), 0, {}
        for name, (shape, dtype) in self._shapes.items():
            parts[name] = np.frombuffer(data, dtype, int(np.prod(shape)), at).reshape(shape)
            at += self._sizes[name]
        entry = self.index[frame]
        return Record(**parts, object_score=float(entry["score"]), iou=float(entry["iou"]))

    def low_res(self, frame: int) -> np.ndarray | None:
        """The mask logits alone."""
        if not self.key(frame):
            return None
        shape, dtype = self._shapes["low_res"]
        data = os.pread(self._file, self._sizes["low_res"], frame * self._size)
        return np.frombuffer(data, dtype).reshape(shape)

    def key(self, frame: int) -> int:
        """What the record was put under; 0 where there is none, also outside the video."""
        return int(self.index["key"][frame]) if 0 <= frame < len(self.index) else 0

    def remove(self, frame: int) -> None:
        self.index["key"][frame] = 0

    def frames(self) -> np.ndarray:
        """Frames that have a record, sorted."""
        return np.flatnonzero(self.index["key"])

    def close(self) -> None:
        os.close(self._file)


class ObjectFiles:
    """All that is kept of one object: three files of records, and what is up to date."""

    def __init__(self, folder: Path, num_frames: int, shapes: dict[str, tuple[tuple, np.dtype]]):
        folder.mkdir(parents=True, exist_ok=True)
        self.tracked, self.answers, self.found = (
            RecordFile(folder / f"{part}.bin", num_frames, shapes) for part in PARTS
        )
        path = folder / "fresh.index"
        if not path.exists() or path.stat().st_size != 24:
            path.write_bytes(np.array([-1, -1, 0], "<i8").tobytes())
        self._fresh = np.memmap(path, "<i8", "r+", shape=(3,))

    @property
    def fresh(self) -> tuple[int, int] | None:
        """The first and last frame whose masks are up to date, None where there is none."""
        low, high = (int(v) for v in self._fresh[:2])
        return None if low < 0 else (low, high)

    @fresh.setter
    def fresh(self, value: tuple[int, int] | None) -> None:
        # Shrinking first: a kill between the two writes must not leave a frame in it by mistake.
        low, high = (-1, -1) if value is None else value
        if low < 0:
            self._fresh[:2] = low, high
            return
        old = self.fresh
        if old is None or low > old[1] or high < old[0]:
            self._fresh[0] = -1
            self._fresh[1] = high
            self._fresh[0] = low
            return
        self._fresh[1] = high
        self._fresh[0] = low

    @property
    def writes(self) -> int:
        """How often masks were written over that an undo could have brought back."""
        return int(self._fresh[2])

    @writes.setter
    def writes(self, value: int) -> None:
        self._fresh[2] = value

    def close(self) -> None:
        for part in (self.tracked, self.answers, self.found):
            part.close()


class TrackFiles:
    """The records of all objects in one folder; what a `VideoState` takes for its store."""

    def __init__(self, folder: Path, num_frames: int, shapes: dict[str, tuple[tuple, np.dtype]]):
        self.folder, self.num_frames, self._shapes = folder, num_frames, shapes
        self.objects: dict[int, ObjectFiles] = {}

    def object(self, obj_id: int) -> ObjectFiles:
        """The files of an object, opened or made."""
        if obj_id not in self.objects:
            folder = self.folder / str(obj_id)
            self.objects[obj_id] = ObjectFiles(folder, self.num_frames, self._shapes)
        return self.objects[obj_id]

    @property
    def record_bytes(self) -> int:
        """What one object takes on disk for each of its frames."""
        return sum(_bytes_of(self._shapes).values())

    def put(self, obj_id: int, frame_idx: int, record: Record) -> None:
        self.object(obj_id).tracked.put(frame_idx, record)

    def get(self, obj_id: int, frame_idx: int) -> Record | None:
        return self.object(obj_id).tracked.get(frame_idx)

    def remove(self, obj_id: int, frame_idx: int) -> None:
        self.object(obj_id).tracked.remove(frame_idx)

    def remove_object(self, obj_id: int) -> None:
        """Deletes the files of an object."""
        if obj_id in self.objects:
            self.objects.pop(obj_id).close()
        shutil.rmtree(self.folder / str(obj_id), ignore_errors=True)

    def keep_only(self, ids: set[int]) -> None:
        """Deletes the files of all other objects, which earlier processes have left."""
        for path in self.folder.iterdir() if self.folder.exists() else ():
            if path.name.isdigit() and int(path.name) not in ids:
                self.remove_object(int(path.name))

    def close(self) -> None:
        for files in self.objects.values():
            files.close()
        self.objects.clear()
