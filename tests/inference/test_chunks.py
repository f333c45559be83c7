"""Chunks of frames and streams side by side give the masks of one frame after the other."""

import jax
import numpy as np
import pytest

from surgjax.inference import VideoPredictor, chunks
from surgjax.inference.frame_source import FrameReadError
from surgjax.inference.frames import SequenceSource
from surgjax.inference.stream import Stream, no_prompts
from surgjax.testing import debug_config, lively_params, moving_squares
from tests.inference.prompted import BOX, CLICK, start

CONFIG = debug_config()
TOLERANCE = {"rtol": 2e-4, "atol": 2e-4}  # a batch is summed in another order


def close(found, want):
    assert [t for t, _, _ in found] == [t for t, _, _ in want]
    assert [ids for _, ids, _ in found] == [ids for _, ids, _ in want]
    scale = max(np.abs(m).max() for _, _, m in want if np.isfinite(m).all())
    for (t, _, a), (_, _, b) in zip(found, want, strict=True):
        seen = b > -1000
        np.testing.assert_array_equal(seen, a > -1000, err_msg=f"frame {t}")
        assert np.abs(a - b)[seen].max(initial=0) <= 1e-3 * min(scale, 50), t


@pytest.fixture(scope="module")
def chunked():
    """Of chunks of four; programs of one frame are needed for prompts alone."""
    return VideoPredictor(lively_params(CONFIG), CONFIG, chunk=4, keep_records=False)


@pytest.fixture
def stepwise(predictor):
    predictor.keep_records = False
    return predictor


def test_masks_are_those_of_one_frame_after_the_other(chunked, stepwise, video):
    prompts = {(1, 0): CLICK, (2, 6): BOX, (1, 13): BOX}  # in the middle of what would be a chunk
    want = list(stepwise.propagate_in_video(start(stepwise, video, prompts)))
    state = start(chunked, video, prompts)
    found, ahead = [], []
    for frame in chunked.propagate_in_video(state):
        found.append(frame)
        ahead.append(state.running.ahead)
    close(found, want)
    # 0 prompt; 1-4; 5 alone; 6 prompt of 2; 7-10; 11, 12; 13 prompt of 1; 14-17; 18, 19
    assert ahead == [0, 3, 2, 1, 0, 0, 0, 3, 2, 1, 0, 1, 0, 0, 3, 2, 1, 0, 1, 0]
    assert sum(key[0] == "chunk" for key in chunked.programs.compiled) == 1


def test_backward_and_both_ways(chunked, stepwise, video):
    prompts = {(1, 9): CLICK, (2, 14): BOX}
    back = {"start_frame_idx": 14, "reverse": True}
    want = list(stepwise.propagate_in_video(start(stepwise, video, prompts), **back))
    close(list(chunked.propagate_in_video(start(chunked, video, prompts), **back)), want)
    want = list(stepwise.propagate_both(start(stepwise, video, prompts)))
    close(list(chunked.propagate_both(start(chunked, video, prompts))), want)


def test_an_object_that_goes_and_one_that_comes_while_a_chunk_is_handed_out(chunked, video):
    state = start(chunked, video, {(1, 0): CLICK, (2, 0): BOX})
    frames = chunked.propagate_in_video(state)
    assert [next(frames)[1] for _ in range(3)] == [[1, 2]] * 3  # frames 0, 1, 2 of 1 to 4
    chunked.remove_object(state, 2)
    chunked.add_new_points_or_box(state, 7, 2, **CLICK)  # another object of the same id
    with pytest.raises(ValueError, match="frame 4: this frame has been tracked already"):
        chunked.add_new_points_or_box(state, 4, 1, **CLICK)
    for t, _, masks in frames:
        assert (masks[1] > -1000).any() == (t >= 7)
        assert (masks[0] > -1000).any()
    with pytest.raises(ValueError, match="snapshot: 2 frames of the chunk"):
        state = start(chunked, video, {(1, 0): CLICK})
        frames = chunked.propagate_in_video(state)
        next(frames), next(frames), next(frames)
        chunked.snapshot(state)


def test_records_of_a_chunk_allow_corrections(predictor, video):
    kept = VideoPredictor(lively_params(CONFIG), CONFIG, chunk=4)
    kept.programs.compiled |= predictor.programs.compiled
    answers = []
    for one in (predictor, kept):
        state = start(one, video[:9], {(1, 0): CLICK})
        list(one.propagate_in_video(state))
        answers.append([(7, *one.add_new_points_or_box(state, 7, 1, **BOX)[1:])])
    close(*answers)


class Broken(SequenceSource):
    """Frame 6 cannot be read."""

    def __getitem__(self, index):
        if index == 6:
            raise FrameReadError(6, self.path, "broken")
        return super().__getitem__(index)


def test_a_frame_that_cannot_be_read_ends_the_chunk_before_it(chunked, video):
    frames = chunked.propagate_in_video(start(chunked, Broken(video), {(1, 0): CLICK}))
    assert [next(frames)[0] for _ in range(6)] == list(range(6))
    with pytest.raises(FrameReadError, match="frame 6"):
        next(frames)


def test_streams_side_by_side_are_streams_alone():
    """Three cameras with one, two and no objects, the second of which ends early."""
    stream, params = Stream.create(CONFIG), lively_params(CONFIG)
    side, length = CONFIG.image_size, 5
    videos = [moving_squares(length, side, side)[:, ::turn] for turn in (1, -1, 1)]
    frames = np.stack(videos).astype(np.float32) / 255
    blank = no_prompts(CONFIG, 2, 4)
    counts, lengths = [1, 2, 0], [5, 3, 5]
    first = [_boxes(blank, count) for count in counts]
    chunk = jax.jit(chunks.track_chunk, static_argnums=(0, 1))
    together = jax.jit(chunks.track_streams, static_argnums=(0, 1))
    real = np.arange(length)[None] < np.array(lengths)[:, None]

    def run(track, states, frames, real, first, blank, at):
        states, begun = track(
            stream, False, params, states, frames[at(0, 1)], real[at(0, 1)], first
        )
        later = (frames[at(1, None)], real[at(1, None)], blank)
        states, rest = track(stream, False, params, states, *later)
        return states, begun, rest

    state = stream.init_state(2)
    states = chunks.stack_states([state] * 3)
    stack = lambda *items: jax.tree.map(lambda *x: np.stack(x), *items)  # noqa: E731
    out = run(
        together, states, frames, real, stack(*first), stack(*[blank] * 3),
        lambda a, b: (slice(None), slice(a, b)),
    )  # fmt: skip
    for k in range(3):
        alone = run(chunk, state, frames[k], real[k], first[k], blank, lambda a, b: slice(a, b))
        mine = jax.tree.map(lambda x, k=k: x[k], out)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(
                np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=2e-2, atol=2e-2
            )
        low, ran = np.asarray(mine[2].low_res), np.asarray(mine[2].ran)
        np.testing.assert_allclose(low, np.asarray(alone[2].low_res), **TOLERANCE)
        assert ran.sum(1).tolist() == [counts[k] if t < lengths[k] else 0 for t in range(1, 5)]
    last = np.asarray(out[2].low_res)
    assert np.abs(last[0, :, 0] - last[1, :, 0]).max() > 0.01  # two cameras, two answers


def _boxes(blank, count):
    points = blank.points
    xy, labels, valid = points.points_xy.copy(), points.labels.copy(), points.valid.copy()
    for k in range(count):
        xy[k, :2], labels[k, :2], valid[k, :2] = [[8, 8 + 4 * k], [40, 48]], [2, 3], True
    return blank.replace(points=points.replace(points_xy=xy, labels=labels, valid=valid))


def test_a_chunk_has_a_frame():
    with pytest.raises(ValueError, match="chunk 0: one frame or more"):
        VideoPredictor({}, CONFIG, chunk=0)
