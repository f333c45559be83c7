"""Compact records of tracked frames, kept in a temporary file so that memory stays flat.

Path:    stream -> [records] -> a bank rebuilt where a propagation starts or a frame is corrected
Axes:    one record is one object on one frame: memory [N, D], pointer [d], low_res [S/4, S/4].
Units:   frame indices count decoded frames from 0.
Errors:  OSError, naming the folder, where the temporary file cannot grow.
Source:  ours; SAM 2 keeps the same things in `output_dict_per_obj`, in memory and for ever.
"""

import os
import tempfile
from typing import NamedTuple, Protocol

import numpy as np


class Record(NamedTuple):
    """What a frame left for an object: enough to read its memory and to correct its mask."""

    memory: np.ndarray  # [N, D], the bank's dtype
    pointer: np.ndarray  # [d] float32
    low_res: np.ndarray  # [S/4, S/4] float32 logits
    object_score: float
    iou: float
    semantic: np.ndarray | None = None  # [512]; of prompted frames alone, a store leaves it out


class Records(Protocol):
    """Where a video's records are kept, by object and frame."""

    def put(self, obj_id: int, frame_idx: int, record: Record) -> None: ...
    def get(self, obj_id: int, frame_idx: int) -> Record | None: ...
    def remove(self, obj_id: int, frame_idx: int) -> None: ...
    def remove_object(self, obj_id: int) -> None: ...
    def close(self) -> None: ...


class RecordStore:
    """Fixed-size records by object and frame in an unnamed temporary file; slots are reused."""

    def __init__(self, num_frames: int, folder: str | None = None):
        self._num_frames = num_frames
        self._file = tempfile.TemporaryFile(prefix="surgjax-records-", dir=folder)
        self._folder = folder or tempfile.gettempdir()
        self._slots: dict[int, np.ndarray] = {}  # object id -> slot of every frame, -1 = none
        self._free: list[int] = []
        self._used = 0
        self._layout: list[tuple[tuple[int, ...], np.dtype]] = []

    def put(self, obj_id: int, frame_idx: int, record: Record) -> None:
        parts = [np.ascontiguousarray(x) for x in _arrays(record)]
        layout = [(p.shape, p.dtype) for p in parts]
        if not self._layout:
            self._layout = layout
        if layout != self._layout:
            raise ValueError(f"record {layout} does not fit a store of {self._layout}")
        if obj_id not in self._slots:
            self._slots[obj_id] = np.full(self._num_frames, -1, np.int64)
        slot = int(self._slots[obj_id][frame_idx])
        is_new = slot < 0
        if is_new:
            slot = self._free[-1] if self._free else self._used
        data = b"".join(p.tobytes() for p in parts)
        try:
            written = os.pwrite(self._file.fileno(), data, slot * len(data))
        except OSError as error:
            what = f"records of tracked frames in {self._folder}: {error.strerror}"
            raise OSError(error.errno, what) from error
        if written != len(data):
            raise OSError(f"records of tracked frames in {self._folder}: the disk is full")
        if not is_new:
            return
        if self._free:
            self._free.pop()
        else:
            self._used += 1
        self._slots[obj_id][frame_idx] = slot  # only now: a failed write leaves no record behind

    def get(self, obj_id: int, frame_idx: int) -> Record | None:
        slot = self._slot(obj_id, frame_idx)
        if slot < 0:
            return None
        size = sum(int(np.prod(s)) * d.itemsize for s, d in self._layout)
        data = os.pread(self._file.fileno(), size, slot * size)
        parts, at = [], 0
        for shape, dtype in self._layout:
            count = int(np.prod(shape))
            parts.append(np.frombuffer(data, dtype, count, at).reshape(shape))
            at += count * dtype.itemsize
        memory, pointer, low_res, scores = parts
        return Record(memory, pointer, low_res, float(scores[0]), float(scores[1]))

    def _slot(self, obj_id: int, frame_idx: int) -> int:
        """Where the record lies, -1 where there is none (also for a frame outside the video)."""
        if obj_id not in self._slots or not 0 <= frame_idx < self._num_frames:
            return -1
        return int(self._slots[obj_id][frame_idx])

    def remove(self, obj_id: int, frame_idx: int) -> None:
        if self._slot(obj_id, frame_idx) >= 0:
            self._free.append(self._slot(obj_id, frame_idx))
            self._slots[obj_id][frame_idx] = -1

    def remove_object(self, obj_id: int) -> None:
        slots = self._slots.pop(obj_id, np.empty(0, np.int64))
        self._free.extend(slots[slots >= 0].tolist())

    def close(self) -> None:
        self._file.close()


def _arrays(record: Record) -> tuple[np.ndarray, ...]:
    scores = np.array([record.object_score, record.iou], np.float32)
    return record.memory, record.pointer, record.low_res, scores
