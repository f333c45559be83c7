"""Records of tracked frames: exact, reused, and honest about a full disk."""

import ml_dtypes
import numpy as np
import pytest

from surgjax.inference.records import Record, RecordStore


def record(value):
    return Record(
        memory=np.full((4, 2), value, ml_dtypes.bfloat16),
        pointer=np.full(3, value, np.float32),
        low_res=np.full((2, 2), -value, np.float32),
        object_score=value / 2,
        iou=0.5,
    )


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_what_goes_in_comes_out():
    store = RecordStore(10)
    for frame in (3, 0, 9):
        store.put(1, frame, record(frame))
        store.put(2, frame, record(100 + frame))
    store.put(1, 3, record(42))  # overwritten
    assert same(store.get(1, 3), record(42))
    assert same(store.get(2, 9), record(109))
    assert store.get(1, 3).memory.dtype == ml_dtypes.bfloat16
    assert store.get(1, 4) is None and store.get(7, 0) is None
    assert store.get(1, -1) is None and store.get(1, 10) is None


def test_freed_slots_are_used_again():
    store = RecordStore(100)
    for frame in range(10):
        store.put(1, frame, record(frame))
    size = store._file.seek(0, 2)
    store.remove_object(1)
    store.remove(1, 3)  # nothing there any more
    for frame in range(10):
        store.put(2, frame, record(frame))
    assert store._file.seek(0, 2) == size
    assert store.get(1, 3) is None


def test_other_shapes_are_refused():
    store = RecordStore(10)
    store.put(1, 0, record(0))
    with pytest.raises(ValueError, match="does not fit"):
        store.put(1, 1, record(0)._replace(pointer=np.zeros(4, np.float32)))


def test_a_full_disk_says_so(monkeypatch):
    store = RecordStore(10)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OSError, match="records of tracked frames in .*: No space left"):
        store.put(1, 0, record(0))
    monkeypatch.undo()
    assert store.get(1, 0) is None  # no record that holds nothing
    store.put(1, 0, record(1))
    assert same(store.get(1, 0), record(1))
