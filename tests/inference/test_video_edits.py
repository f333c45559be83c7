"""Prompts and objects that change between propagations and during one."""

import numpy as np
import pytest

from surgjax.inference.device_tracks import DeviceTracks, nearest_frames
from surgjax.inference.frames import FrameReadError
from surgjax.models.sam2 import NO_OBJECT_LOGIT
from surgjax.testing import moving_squares
from tests.inference.prompted import BOX, CLICK, OTHER, start


def collect(frames):
    return {t: dict(zip(ids, masks, strict=True)) for t, ids, masks in frames}


def tracked(predictor, video, prompts, **options):
    return collect(predictor.propagate_in_video(start(predictor, video, prompts), **options))


def same(a, b, obj_id, frames):
    return all(np.array_equal(a[t][obj_id], b[t][obj_id]) for t in frames)


@pytest.mark.parametrize("kind", ["click", "mask"])
def test_a_tracked_frame_without_any_prompt_left_starts_afresh(predictor, video, kind):
    state = start(predictor, video, {(1, 0): CLICK})
    collect(predictor.propagate_in_video(state))
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    fresh = predictor.init_state(video)
    mask = np.zeros((48, 80), bool)
    mask[10:30, 10:40] = True
    for each in (state, fresh):
        if kind == "mask":
            _, _, answer = predictor.add_new_mask(each, 5, 1, mask)
        else:
            _, _, answer = predictor.add_new_points_or_box(each, 5, 1, **OTHER)
    assert (answer > NO_OBJECT_LOGIT).all()
    if kind == "mask":  # a click also sees the mask that was tracked there
        assert ((answer[0, 0] > 0) == mask).mean() > 0.95
        assert np.array_equal(predictor._frame_masks(state, 5), answer)


def test_an_id_given_again_is_another_object(predictor, video):
    """Frames after the change are those of a video in which only the second object was prompted."""
    state = start(predictor, video, {(1, 0): CLICK, (2, 0): BOX})
    got = {}
    for t, ids, masks in predictor.propagate_in_video(state):
        got[t] = dict(zip(ids, masks, strict=True))
        if t == 5:
            predictor.remove_object(state, 1)
            predictor.add_new_points_or_box(state, 12, 1, **OTHER)
    assert all((got[t][1] == NO_OBJECT_LOGIT).all() for t in range(6, 12))
    alone = tracked(predictor, video, {(1, 12): OTHER})
    assert same(got, alone, 1, range(12, 20))


def test_a_live_stream_forgets_an_object_whose_id_is_given_again(predictor, video):
    def run(first):
        state = start(predictor, iter(list(video)), {(1, 0): first})
        got = {}
        for t, ids, masks in predictor.propagate_in_video(state):
            got[t] = dict(zip(ids, masks, strict=True))
            if t == 5:
                predictor.reset_state(state)
                predictor.add_new_points_or_box(state, 6, 1, **OTHER)
        return got

    assert same(run(CLICK), run(BOX), 1, range(6, 20))


def test_an_earlier_prompt_given_on_the_way_counts_from_its_frame(predictor, video):
    state = start(predictor, video, {(1, 0): CLICK, (2, 15): BOX})
    got = {}
    for t, ids, masks in predictor.propagate_in_video(state):
        got[t] = dict(zip(ids, masks, strict=True))
        if t == 5:
            predictor.add_new_points_or_box(state, 8, 2, **BOX)
    assert all((got[t][2] == NO_OBJECT_LOGIT).all() for t in range(8))
    both = tracked(predictor, video, {(2, 8): BOX, (2, 15): BOX})
    assert same(got, both, 2, range(8, 20))


def test_a_live_stream_goes_on_where_the_last_call_stopped(predictor, video):
    whole = tracked(predictor, iter(list(video)), {(1, 0): CLICK})
    state = start(predictor, iter(list(video)), {(1, 0): CLICK})
    parts = collect(predictor.propagate_in_video(state, max_frame_num_to_track=7))
    assert list(parts) == list(range(8))
    parts |= collect(predictor.propagate_in_video(state))
    assert list(parts) == list(range(20)) and same(parts, whole, 1, range(20))


def test_a_live_stream_without_objects_takes_no_frame(predictor, video):
    state = start(predictor, iter(list(video)), {(1, 0): CLICK})
    for t, _, _ in predictor.propagate_in_video(state):
        if t == 2:
            predictor.remove_object(state, 1)
    assert state.next_live_frame == 3
    predictor.add_new_points_or_box(state, 3, 1, **CLICK)
    assert list(collect(predictor.propagate_in_video(state))) == list(range(3, 20))


class Broken:
    """Frames of which one cannot be read."""

    def __init__(self, frames, bad):
        self._frames, self._bad = frames, bad

    def __len__(self):
        return len(self._frames)

    def __getitem__(self, t):
        if t == self._bad:
            raise FrameReadError(t, "test", "it is broken")
        return self._frames[t]


def test_a_refused_prompt_leaves_no_object_behind(predictor, video):
    from surgjax.inference.frame_source import FrameSource

    class Source(Broken, FrameSource):
        name, height, width, num_frames, seekable = "test", 48, 80, 20, True

        def close(self):
            pass

    state = start(predictor, Source(video, bad=7), {(1, 0): CLICK})
    with pytest.raises(ValueError, match="257 points on one frame: at most 256"):
        predictor.add_new_points_or_box(
            state, 0, 2, points=np.full((257, 2), 9.0), labels=np.ones(257)
        )
    for add, given in (
        (predictor.add_new_points_or_box, CLICK),
        (predictor.add_new_mask, dict(mask=np.ones((48, 80)))),
    ):
        with pytest.raises(FrameReadError, match="frame 7"):
            add(state, 7, 2, **given)
    assert state.obj_ids == [1]
    live = start(predictor, iter(list(video[:2])), {(1, 0): CLICK})
    collect(predictor.propagate_in_video(live))
    with pytest.raises(ValueError, match="object 2, frame 2: the live stream ended"):
        predictor.add_new_points_or_box(live, 2, 2, **CLICK)
    assert live.obj_ids == [1]


def test_clearing_one_object_on_the_way_does_not_stop_the_others(predictor, video):
    state = start(predictor, video, {(1, 0): CLICK, (2, 0): BOX})
    got = {}
    for t, ids, masks in predictor.propagate_in_video(state):
        got[t] = dict(zip(ids, masks, strict=True))
        if t == 5:
            predictor.clear_all_prompts_in_frame(state, 0, 1)
            predictor.add_new_points_or_box(state, 12, 2, **OTHER)
    assert list(got) == list(range(20))
    assert all((got[t][1] == NO_OBJECT_LOGIT).all() for t in range(6, 20))


def test_a_causal_correction_does_not_see_a_prompt_ahead(predictor, video):
    predictor.causal = True

    def corrected(prompts):
        state = start(predictor, video, {(1, 0): CLICK} | prompts)
        collect(predictor.propagate_in_video(state, start_frame_idx=0, max_frame_num_to_track=8))
        return predictor.add_new_points_or_box(state, 5, 1, **OTHER)[2]

    assert np.array_equal(corrected({}), corrected({(1, 10): BOX}))
    predictor.causal = False
    assert not np.array_equal(corrected({}), corrected({(1, 10): BOX}))


def test_nearest_prompts_on_both_sides_are_always_known():
    known = [0, *range(30, 50)]
    assert nearest_frames(known, 25, 16) == [0, *range(30, 45)]
    assert nearest_frames(known, 60, 4) == [49, 48, 47, 46]
    assert nearest_frames([3, 9], 9, 1) == [3]


def test_a_far_prompt_stays_in_the_bank_among_many_near_ones(predictor):
    """21 prompts, 16 slots: frame 0 is the only one before frames 23 to 29, and far from them."""
    prompts = {(1, t): CLICK for t in (0, *range(30, 50))}
    state = start(predictor, moving_squares(50), prompts)
    predictor._prepare(state)
    tracks = DeviceTracks(predictor.programs, state, direction=1)
    for t in (*range(23, 30), 35, 41):
        tracks.remember_prompts(1, t, state.objects[1].conditioning)
        held = np.array(tracks.track.bank.cond_index[tracks.slot_of[1]])
        assert sorted(held) == sorted(nearest_frames((0, *range(30, 50)), t, 16))
        assert (0 in held) == (t < 30)


def test_memories_near_a_prompt_may_be_cleared(predictor, video):
    """SAM 2's switch: frame 7 then reads the prompts alone, as if tracking had begun at frame 6."""
    prompts = {(1, 0): CLICK, (1, 6): OTHER}
    usual = tracked(predictor, video, prompts)
    predictor.clear_non_cond_mem_around_input = True
    cleared = tracked(predictor, video, prompts)
    begun_there = tracked(predictor, video, prompts, start_frame_idx=6)
    assert same(cleared, usual, 1, range(6)) and not same(cleared, usual, 1, [7])
    assert same(cleared, begun_there, 1, range(6, 20))


def test_memories_near_a_prompt_given_on_the_way_are_cleared_too(predictor, video):
    """The running pass goes on as a new one from the next frame would."""

    def on_the_way():
        state = start(predictor, video, {(1, 0): CLICK})
        got = {}
        for t, ids, masks in predictor.propagate_in_video(state):
            got[t] = dict(zip(ids, masks, strict=True))
            if t == 6:
                predictor.add_new_points_or_box(state, 5, 1, **OTHER)
        return got

    usual = on_the_way()
    predictor.clear_non_cond_mem_around_input = True
    state = start(predictor, video, {(1, 0): CLICK})
    collect(predictor.propagate_in_video(state, max_frame_num_to_track=6))
    predictor.add_new_points_or_box(state, 5, 1, **OTHER)
    anew = collect(predictor.propagate_in_video(state, start_frame_idx=7))
    cleared = on_the_way()
    assert same(cleared, anew, 1, range(7, 20)) and not same(cleared, usual, 1, [7])


def test_another_object_that_starts_earlier_changes_nothing(predictor, video):
    """Memories are as the last pass left them, whether or not the pass starts at this object."""

    def backward_then_forward(prompts):
        state = start(predictor, video, prompts)
        collect(predictor.propagate_in_video(state, start_frame_idx=10, reverse=True))
        return collect(predictor.propagate_in_video(state))

    alone = backward_then_forward({(2, 10): BOX})
    together = backward_then_forward({(1, 0): CLICK, (2, 10): BOX})
    assert same(alone, together, 2, range(10, 20))
    first = tracked(predictor, video, {(2, 10): BOX})
    assert not same(alone, first, 2, range(11, 20))  # the backward pass does leave memories


def test_the_kept_mask_is_the_filled_one(predictor, video):
    predictor.fill_hole_area = 10_000
    state = start(predictor, video, {(1, 0): CLICK})
    got = collect(predictor.propagate_in_video(state))
    assert all(np.array_equal(predictor._frame_masks(state, t)[0], got[t][1]) for t in got)


def test_the_way_back_yields_only_what_was_not_tracked(predictor, video):
    predictor.track_before_first_prompt = True
    state = start(predictor, video, {(1, 0): CLICK, (2, 5): BOX})
    back = [(t, ids) for t, ids, _ in predictor.propagate_both(state)][20:]
    assert back == [(t, [2]) for t in range(4, -1, -1)]


def test_a_length_that_is_not_the_video_s_is_refused(predictor, video):
    with pytest.raises(ValueError, match="num_frames 25: the video has 20 frames"):
        predictor.init_state(video, num_frames=25)
    assert predictor.init_state(video, num_frames=20).num_frames == 20
