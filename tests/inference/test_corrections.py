"""Corrections that a propagation answers when it comes by."""

import numpy as np
import pytest

from surgjax.inference import VideoPredictor
from surgjax.testing import debug_config, lively_params
from tests.inference.prompted import BOX, CLICK, OTHER, start

FIX = dict(points=[[26, 22], [40, 10]], labels=[1, 0])
MASK = np.zeros((48, 80), bool)
MASK[12:30, 20:44] = True


def collect(frames):
    """Masks by frame and object; of a frame that comes twice the later objects are added."""
    out = {}
    for t, ids, masks in frames:
        out.setdefault(t, {}).update(zip(ids, masks, strict=True))
    return out


def same(a, b, frames, obj_id=1):
    return [t for t in frames if not np.array_equal(a[t][obj_id], b[t][obj_id])]


@pytest.fixture(params=[True, False], ids=["records", "no records"])
def either(request, predictor):
    predictor.keep_records = request.param
    return predictor


def test_it_is_what_seeing_correcting_and_tracking_on_gives(either, video):
    """SAM 2's own way, in steps: track, click on a tracked frame, track on from there."""
    either.keep_records, keep = True, either.keep_records
    state = start(either, video, {(1, 0): CLICK})
    before = collect(either.propagate_in_video(state))
    _, _, at_eight = either.add_new_points_or_box(state, 8, 1, **FIX)
    after = collect(either.propagate_in_video(state, start_frame_idx=8))
    assert np.array_equal(after[8][1], at_eight[0])
    assert same(before, after, range(8, 20)) == list(range(8, 20))  # it corrects something

    either.keep_records = keep
    state = start(either, video, {(1, 0): CLICK})
    either.add_correction(state, 8, 1, **FIX)
    for _ in range(2):  # a second pass finds the same
        found = collect(either.propagate_in_video(state))
        assert same(found, before, range(8)) == []
        assert same(found, after, range(8, 20)) == []


def test_an_ordinary_prompt_is_known_before_its_frame_a_correction_is_not(either, video):
    plain = collect(either.propagate_in_video(start(either, video, {(1, 0): CLICK})))
    both = start(either, video, {(1, 0): CLICK, (1, 8): FIX})
    known = collect(either.propagate_in_video(both))
    assert same(known, plain, range(1, 8)) == list(range(1, 8))
    state = start(either, video, {(1, 0): CLICK})
    either.add_correction(state, 8, 1, **FIX)
    assert same(collect(either.propagate_in_video(state)), plain, range(8)) == []


def test_both_ways_each_side_has_its_own(either, video):
    plain = collect(either.propagate_both(start(either, video, {(1, 10): CLICK, (2, 3): BOX})))
    state = start(either, video, {(1, 10): CLICK, (2, 3): BOX})
    either.add_correction(state, 14, 1, **FIX)
    either.add_correction(state, 5, 1, mask=MASK)
    found = collect(either.propagate_both(state))
    assert same(found, plain, range(20), obj_id=2) == []
    assert same(found, plain, range(20)) == [*range(6), *range(14, 20)]
    assert ((found[5][1][0] > 0) == MASK).mean() > 0.95
    # The side towards the end is that of a forward pass alone.
    alone = start(either, video, {(1, 10): CLICK})
    either.add_correction(alone, 14, 1, **FIX)
    assert same(found, collect(either.propagate_in_video(alone)), range(10, 20)) == []


def test_later_corrections_see_the_answers_of_earlier_ones(either, video):
    def run(*frames):
        state = start(either, video, {(1, 0): CLICK})
        for frame in frames:
            either.add_correction(state, frame, 1, **(FIX if frame % 2 else BOX))
        return collect(either.propagate_in_video(state))

    one, two, other = run(5), run(5, 12), run(12)
    assert same(one, two, range(20)) == list(range(12, 20))
    assert same(two, other, range(20)) == list(range(5, 20))


def test_backward_alone(either, video):
    plain = start(either, video, {(1, 15): CLICK})
    back = {"start_frame_idx": 15, "reverse": True}
    want = collect(either.propagate_in_video(plain, **back))
    state = start(either, video, {(1, 15): CLICK})
    either.add_correction(state, 9, 1, **FIX)
    found = collect(either.propagate_in_video(state, **back))
    assert same(found, want, range(16)) == list(range(10))


def test_a_chunk_ends_before_a_correction(predictor, video):
    predictor.keep_records = False
    config = debug_config()
    chunked = VideoPredictor(lively_params(config), config, chunk=4, keep_records=False)
    frames = []
    for each in (predictor, chunked):
        state = start(each, video, {(1, 0): CLICK})
        each.add_correction(state, 7, 1, **FIX)
        frames.append(collect(each.propagate_in_video(state)))
    for t in range(20):
        np.testing.assert_allclose(frames[1][t][1], frames[0][t][1], rtol=2e-3, atol=5e-2)


@pytest.mark.parametrize("stop", [3, 8, 12])
def test_a_snapshot_goes_on_with_them(predictor, video, stop):
    predictor.keep_records = False

    def begin():
        state = start(predictor, video, {(1, 0): CLICK, (2, 2): BOX})
        predictor.add_correction(state, 8, 1, **FIX)
        predictor.add_correction(state, 9, 2, mask=MASK)
        return state

    whole = collect(predictor.propagate_both(begin()))
    state = begin()
    for t, _, _ in predictor.propagate_both(state):
        if t == stop:
            snapshot = predictor.snapshot(state)
            break
    later = predictor.init_state(video)
    predictor.restore(later, snapshot)
    rest = collect(predictor.continue_propagation(later))
    assert sorted(rest) == sorted({*range(stop + 1, 20), 0, 1})
    for obj_id in (1, 2):
        assert same(rest, whole, range(stop + 1, 20), obj_id) == []
    assert same(rest, whole, (0, 1), 2) == []


def test_given_again_and_taken_back(predictor, video):
    plain = collect(predictor.propagate_in_video(start(predictor, video, {(1, 0): CLICK})))
    state = start(predictor, video, {(1, 0): CLICK})
    predictor.add_correction(state, 8, 1, **FIX)
    predictor.add_correction(state, 8, 1, **BOX)
    other = start(predictor, video, {(1, 0): CLICK})
    predictor.add_correction(other, 8, 1, **BOX)
    found = collect(predictor.propagate_in_video(state))
    assert same(found, collect(predictor.propagate_in_video(other)), range(20)) == []
    predictor.clear_all_prompts_in_frame(state, 8, 1)
    assert same(collect(predictor.propagate_in_video(state)), plain, range(20)) == []


def test_what_cannot_be_corrected_is_refused(predictor, video):
    state = start(predictor, video, {(1, 0): CLICK})
    with pytest.raises(ValueError, match="object 3: unknown object id"):
        predictor.add_correction(state, 4, 3, **CLICK)
    with pytest.raises(ValueError, match="object 1, frame 0: .* prompted on this frame already"):
        predictor.add_correction(state, 0, 1, **OTHER)
    with pytest.raises(ValueError, match="frame 20: the video has 20 frames"):
        predictor.add_correction(state, 20, 1, **OTHER)
    with pytest.raises(ValueError, match="a mask stands alone"):
        predictor.add_correction(state, 4, 1, mask=MASK, **OTHER)
    with pytest.raises(ValueError, match=r"object 1, frame 4: \(90, 2\) lies outside the frame"):
        predictor.add_correction(state, 4, 1, points=[[90, 2]])
    with pytest.raises(ValueError, match="at least one of points and box"):
        predictor.add_correction(state, 4, 1)
    live = predictor.init_state(iter(list(video)))
    predictor.add_new_points_or_box(live, 0, 1, **CLICK)
    with pytest.raises(ValueError, match="live stream is corrected by prompting its next frame"):
        predictor.add_correction(live, 0, 1, **OTHER)
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    predictor.add_correction(state, 4, 1, **OTHER)
    with pytest.raises(ValueError, match="object 1: no prompt is left"):
        predictor.propagate_in_video(state)
