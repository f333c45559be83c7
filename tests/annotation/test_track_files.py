"""Records on disk, by frame."""

import errno
import os

import ml_dtypes
import numpy as np
import pytest

from surgjax.annotation.track_files import ObjectFiles, TrackFiles
from surgjax.inference.records import Record

SHAPES = {
    "low_res": ((4, 4), np.dtype(np.float32)),
    "pointer": ((3,), np.dtype(np.float32)),
    "memory": ((2, 5), np.dtype(ml_dtypes.bfloat16)),
}


def record(seed):
    draw = np.random.default_rng(seed)
    parts = {n: draw.normal(size=shape).astype(dtype) for n, (shape, dtype) in SHAPES.items()}
    return Record(**parts, object_score=0.5 * seed, iou=0.25 * seed)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a[:5], b[:5], strict=True))


def test_what_was_put_comes_back_also_in_another_process(tmp_path):
    files = TrackFiles(tmp_path, 1000, SHAPES)
    for frame in (0, 7, 999):
        files.put(3, frame, record(frame % 5))
    files.object(3).answers.put(8, record(4), key=77)
    files.object(3).fresh = (2, 9)
    # Not closed: a process that is killed closes nothing.
    again = TrackFiles(tmp_path, 1000, SHAPES)
    for frame in (0, 7, 999):
        assert same(again.get(3, frame), record(frame % 5))
    assert again.object(3).tracked.frames().tolist() == [0, 7, 999]
    assert again.object(3).answers.key(8) == 77 and same(again.object(3).answers.get(8), record(4))
    assert np.array_equal(again.object(3).tracked.low_res(7), record(2).low_res)
    assert again.object(3).fresh == (2, 9)
    assert again.get(3, 1) is None and again.get(3, -1) is None and again.get(3, 1000) is None
    assert again.get(4, 0) is None


def test_a_long_video_takes_room_for_what_is_tracked_alone(tmp_path):
    files = TrackFiles(tmp_path, 200_000, SHAPES)
    files.put(1, 199_999, record(1))
    path = tmp_path / "1" / "tracked.bin"
    assert path.stat().st_size > 10**7 and path.stat().st_blocks * 512 < 10**6


def test_the_mapped_index_has_its_room_from_the_start(tmp_path):
    """A hole in it would kill the process on a full disk, where a sentence is due."""
    TrackFiles(tmp_path, 200_000, SHAPES).object(1)
    path = tmp_path / "1" / "tracked.index"
    assert path.stat().st_blocks * 512 >= path.stat().st_size == 200_000 * 12


def test_a_record_that_is_half_written_is_none(tmp_path, monkeypatch):
    files = TrackFiles(tmp_path, 10, SHAPES)
    files.put(1, 3, record(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=r"tracked\.bin: No space left on device"):
        files.put(1, 3, record(2))
    assert files.get(1, 3) is None
    monkeypatch.setattr(os, "pwrite", lambda handle, data, at: len(data) - 1)
    with pytest.raises(OSError, match="the disk is full"):
        files.put(1, 4, record(2))
    assert files.get(1, 4) is None


def test_records_of_another_model_are_refused(tmp_path):
    files = TrackFiles(tmp_path, 10, SHAPES)
    wrong = record(1)._replace(pointer=np.zeros(4, np.float32))
    with pytest.raises(ValueError, match=r"pointer: float32 \(3,\) expected, float32 \(4,\) found"):
        files.put(1, 3, wrong)


def test_objects_that_are_gone_leave_nothing(tmp_path):
    files = TrackFiles(tmp_path, 10, SHAPES)
    for obj_id in (1, 2, 3):
        files.put(obj_id, 0, record(1))
    files.remove_object(2)
    files.close()
    again = TrackFiles(tmp_path, 10, SHAPES)
    again.keep_only({3})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3"]
    assert again.get(1, 0) is None and again.get(3, 0) is not None


@pytest.mark.parametrize("new", [None, (0, 0), (3, 9), (5, 6), (0, 9), (8, 9)])
@pytest.mark.parametrize("old", [None, (4, 7)])
def test_no_moment_of_a_change_claims_more_than_old_or_new(tmp_path, monkeypatch, old, new):
    """A kill may come between any two writes to the interval."""
    files = ObjectFiles(tmp_path / "1", 10, SHAPES)
    files.fresh = old
    allowed = {f for i in (old, new) if i is not None for f in range(i[0], i[1] + 1)}
    seen = []

    class Watched:
        def __init__(self, inner):
            self.inner = inner

        def __getitem__(self, key):
            return self.inner[key]

        def __setitem__(self, key, value):
            self.inner[key] = value
            low, high = (int(v) for v in self.inner[:2])
            seen.append(set() if low < 0 else set(range(low, high + 1)))

    files._fresh = Watched(files._fresh)
    files.fresh = new
    assert files.fresh == new and seen and all(moment <= allowed for moment in seen)
