"""The next frame is encoded while this one's masks are fetched; writing runs behind the tracker."""

import threading

import numpy as np
import pytest

from surgjax.inference.background import Background
from surgjax.inference.frame_source import FrameReadError
from surgjax.inference.frames import SequenceSource
from tests.inference.prompted import BOX, CLICK, start


class Watched(SequenceSource):
    """Which frames were read, in order; one of them cannot be."""

    def __init__(self, frames, broken=None):
        super().__init__(frames)
        self.read, self.broken = [], broken

    def __getitem__(self, index):
        self.read.append(index)
        if index == self.broken:
            raise FrameReadError(index, self.path, "broken")
        return super().__getitem__(index)


def track(predictor, source, prompts, ahead, **way):
    predictor.encode_ahead = ahead
    try:
        state = start(predictor, source, prompts)
        return [
            (t, ids, masks, len(source.read))
            for t, ids, masks in predictor.propagate_in_video(state, **way)
        ]
    finally:
        predictor.encode_ahead = True


@pytest.mark.parametrize("way", [{}, {"start_frame_idx": 9, "reverse": True}])
def test_masks_are_the_same_bytes_and_frames_are_read_before_their_turn(predictor, video, way):
    prompts = {(1, 9 if way else 0): CLICK, (2, 5): BOX}
    want = track(predictor, Watched(video[:10]), prompts, False, **way)
    found = track(predictor, Watched(video[:10]), prompts, True, **way)
    for (t, ids, a, late), (u, same, b, early) in zip(want, found, strict=True):
        assert (t, ids) == (u, same)
        np.testing.assert_array_equal(a, b)
        assert late <= early <= late + 1  # never more than one frame in hand
    assert sum(early > late for (*_, late), (*_, early) in zip(want, found, strict=True)) >= 6
    assert found[-1][3] == want[-1][3]  # no frame was read twice, nor one too many


def test_a_click_in_between_keeps_what_is_under_way(predictor, video):
    """The frame that was encoded ahead is used, though another was looked at in between."""
    source = Watched(video[:8])
    state = start(predictor, source, {(1, 0): CLICK})
    frames = predictor.propagate_in_video(state)
    assert [next(frames)[0] for _ in range(4)] == [0, 1, 2, 3]
    assert state.upcoming is not None and state.upcoming[0] == 4
    predictor.add_new_points_or_box(state, 6, 2, **BOX)
    source.read.clear()
    assert [t for t, *_ in frames] == [4, 5, 6, 7]
    assert source.read.count(4) == 0 and source.read.count(5) == 1


def test_a_broken_frame_is_reported_in_its_turn(predictor, video):
    source = Watched(video[:8], broken=5)
    frames = predictor.propagate_in_video(start(predictor, source, {(1, 0): CLICK}))
    assert [next(frames)[0] for _ in range(5)] == list(range(5))
    with pytest.raises(FrameReadError, match="frame 5"):
        next(frames)


def test_calls_run_in_order_behind_the_caller_and_no_more_than_allowed():
    gate, done = threading.Event(), []

    def call(k):
        gate.wait(10)
        done.append((k, threading.current_thread() is threading.main_thread()))

    with Background(pending=2) as writing:
        writing.put(call, 0)
        writing.put(call, 1)
        assert done == []
        opened = threading.Timer(0.05, gate.set)
        opened.start()
        writing.put(call, 2)  # has to wait for the first
        assert done and done[0] == (0, False)
        writing.wait()
        assert [k for k, _ in done] == [0, 1, 2]


def test_what_a_call_raises_reaches_the_caller_and_nothing_behind_it_runs():
    done = []

    def call(k):
        if k == 1:
            raise OSError("disk full")
        done.append(k)

    with pytest.raises(OSError, match="disk full"), Background(pending=8) as writing:
        for k in range(4):
            writing.put(call, k)
        writing.wait()
    assert done == [0]
    # Another error on the way out is the one that is seen.
    with pytest.raises(KeyError), Background() as writing:
        writing.put(call, 1)
        raise KeyError
