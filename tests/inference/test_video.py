"""VideoPredictor: SAM 2's vocabulary and its semantics, one difference at a time."""

import numpy as np
import pytest

from surgjax.models.sam2 import NO_OBJECT_LOGIT
from tests.inference.prompted import BOX, CLICK, start


def collect(frames):
    return {t: masks for t, _, masks in frames}


TWO = {(1, 0): CLICK, (2, 0): BOX}


@pytest.fixture(scope="module")
def offline(shared_predictor, video):
    state = start(shared_predictor, video, TWO)
    return collect(shared_predictor.propagate_in_video(state))


def test_every_frame_once_in_order_at_video_size(predictor, video):
    state = start(predictor, video, TWO)
    seen = list(predictor.propagate_in_video(state))
    assert [t for t, _, _ in seen] == list(range(20))
    assert all(ids == [1, 2] for _, ids, _ in seen)
    assert all(m.shape == (2, 1, 48, 80) and m.dtype == np.float32 for _, _, m in seen)


def test_live_equals_offline_bit_for_bit(predictor, video, offline):
    """A camera (any iterator), 20 frames: longer than every horizon, so no length is needed."""
    state = start(predictor, iter(list(video)), TWO)
    live = collect(predictor.propagate_in_video(state))
    assert live.keys() == offline.keys()
    assert all(np.array_equal(live[t], offline[t]) for t in live)


@pytest.mark.parametrize("told", [True, False])
def test_a_short_live_stream_needs_its_length(predictor, video, told):
    """Below 16 frames SAM 2's pointer horizon depends on the length of the video."""
    state = start(predictor, video[:8], TWO)
    want = collect(predictor.propagate_in_video(state))
    state = start(predictor, iter(list(video[:8])), TWO, num_frames=8 if told else None)
    got = collect(predictor.propagate_in_video(state))
    same = all(np.array_equal(got[t], want[t]) for t in want)
    assert same is told


def test_a_prompt_ahead_is_known_offline_unless_causal(predictor, video):
    prompts = {(1, 0): CLICK, (1, 12): dict(points=[[60, 30]], labels=[1])}
    seeing = collect(predictor.propagate_in_video(start(predictor, video, prompts)))
    predictor.causal = True
    causal = collect(predictor.propagate_in_video(start(predictor, video, prompts)))
    alone = collect(predictor.propagate_in_video(start(predictor, video, {(1, 0): CLICK})))
    assert not np.array_equal(seeing[5], alone[5])
    assert all(np.array_equal(causal[t], alone[t]) for t in range(12))
    assert not np.array_equal(causal[13], alone[13])


def test_causal_equals_live_with_prompts_on_the_way(predictor, video):
    later = dict(points=[[60, 30]], labels=[1])
    predictor.causal = True
    offline = collect(
        predictor.propagate_in_video(
            start(predictor, video, {(1, 0): CLICK, (1, 12): later, (2, 12): BOX})
        )
    )
    live = start(predictor, iter(list(video)), {(1, 0): CLICK})
    for t, ids, masks in predictor.propagate_in_video(live):
        want = offline[t] if t > 11 else offline[t][:1]
        assert ids == ([1, 2] if t > 11 else [1])
        assert np.array_equal(masks, want), t
        if t == 11:
            predictor.add_new_points_or_box(live, 12, 1, **later)
            predictor.add_new_points_or_box(live, 12, 2, **BOX)


def test_no_mask_before_the_first_prompt_in_the_direction_of_travel(predictor, video):
    prompts = {(1, 0): CLICK, (2, 9): BOX}
    forward = collect(predictor.propagate_in_video(start(predictor, video, prompts)))
    assert all((forward[t][1] == NO_OBJECT_LOGIT).all() == (t < 9) for t in forward)
    state = start(predictor, video, prompts)
    backward = collect(predictor.propagate_in_video(state, start_frame_idx=9, reverse=True))
    assert list(backward) == list(range(9, -1, -1))
    assert all((backward[t][0] == NO_OBJECT_LOGIT).all() == (t > 0) for t in backward)
    predictor.track_before_first_prompt = True
    reference = collect(predictor.propagate_in_video(start(predictor, video, prompts)))
    assert not any((m == NO_OBJECT_LOGIT).all() for masks in reference.values() for m in masks)


@pytest.mark.parametrize(
    "options,frames",
    [
        (dict(start_frame_idx=5, max_frame_num_to_track=3), [5, 6, 7, 8]),
        (dict(start_frame_idx=5, max_frame_num_to_track=3, reverse=True), [5, 4, 3, 2]),
        (dict(start_frame_idx=18, max_frame_num_to_track=9), [18, 19]),
        (dict(start_frame_idx=0, reverse=True), []),
        (dict(reverse=True), []),  # the earliest prompted frame is frame 0
        (dict(max_frame_num_to_track=0), [0]),
    ],
)
def test_range_of_a_propagation(predictor, video, options, frames):
    state = start(predictor, video, {(1, 0): CLICK})
    assert [t for t, _, _ in predictor.propagate_in_video(state, **options)] == frames


def test_both_directions_from_the_first_prompt(predictor, video):
    state = start(predictor, video, {(1, 4): CLICK, (2, 9): BOX})
    seen = list(predictor.propagate_both(state))
    assert [t for t, _, _ in seen] == [*range(4, 20), *range(8, -1, -1)]
    ids = {t: ids for t, ids, _ in seen[16:]}
    assert ids == {t: [2] if t > 3 else [1, 2] for t in range(9)}
    # The way back starts from the prompts alone: what lies ahead of the prompt changes nothing.
    other = video.copy()
    other[10:] = 0
    state = start(predictor, other, {(1, 4): CLICK, (2, 9): BOX})
    back = {t: (ids, m) for t, ids, m in list(predictor.propagate_both(state))[16:]}
    assert all(np.array_equal(back[t][1], m) for t, _, m in seen[16:])


def test_a_correction_lasts_and_leaves_the_past_alone(predictor, video, offline):
    state = start(predictor, video, TWO)
    collect(predictor.propagate_in_video(state))
    _, ids, now = predictor.add_new_points_or_box(state, 10, 1, points=[[60, 10]], labels=[0])
    assert ids == [1, 2]
    assert not np.array_equal(now[0], offline[10][0])
    assert np.array_equal(now[1], offline[10][1])
    again = collect(predictor.propagate_in_video(state, start_frame_idx=8))
    assert np.array_equal(again[10][0], now[0])  # shown again, not tracked over
    assert not np.array_equal(again[14][0], offline[14][0])
    assert all(np.array_equal(again[t][1], offline[t][1]) for t in again)


def test_from_a_correction_on_memories_are_as_the_last_pass_left_them(predictor, video, offline):
    """Going on from the middle without a new prompt repeats the pass before, bit for bit."""
    state = start(predictor, video, TWO)
    collect(predictor.propagate_in_video(state))
    again = collect(predictor.propagate_in_video(state, start_frame_idx=11))
    assert all(np.array_equal(again[t], offline[t]) for t in range(11, 20))


def test_the_references_way_forgets_a_correction(predictor, video, offline):
    predictor.corrections_as_conditioning = False
    state = start(predictor, video, TWO)
    collect(predictor.propagate_in_video(state))
    _, _, now = predictor.add_new_points_or_box(state, 10, 1, points=[[60, 10]], labels=[0])
    again = collect(predictor.propagate_in_video(state, start_frame_idx=10))
    assert not np.array_equal(again[10][0], now[0])
    assert np.array_equal(again[10], offline[10])


def test_a_second_click_refines_the_first(predictor, video):
    state = start(predictor, video, {(1, 0): CLICK})
    more = dict(points=[[50, 30]], labels=[0], clear_old_points=False)
    _, _, refined = predictor.add_new_points_or_box(state, 0, 1, **more)
    assert len(state.objects[1].points[0].labels) == 2
    fresh = start(predictor, video, {})
    both = dict(points=[[20, 20], [50, 30]], labels=[1, 0])
    _, _, at_once = predictor.add_new_points_or_box(fresh, 0, 1, **both)
    assert not np.array_equal(refined, at_once)  # the first mask was an input of the refinement


def test_objects_may_come_and_go_in_a_running_propagation(predictor, video, offline):
    state = start(predictor, video, TWO)
    for t, ids, masks in predictor.propagate_in_video(state):
        assert np.array_equal(masks[ids.index(1)], offline[t][0])
        if t == 6:
            predictor.add_new_mask(state, 7, 5, np.ones((48, 80), bool))
        if t == 12:
            predictor.remove_object(state, 5)
            predictor.remove_object(state, 2)
        assert ids == ([1, 2] if t < 7 else [1, 2, 5] if t <= 12 else [1])


def test_more_objects_than_slots_grow_the_bucket(predictor, video):
    state = predictor.init_state(video[:3], max_objects=1)
    assert state.capacity == 1
    for i in range(5):
        predictor.add_new_points_or_box(state, 0, 10 + i, points=[[8 + 9 * i, 20]], labels=[1])
    assert state.capacity == 8
    _, ids, masks = list(predictor.propagate_in_video(state))[-1]
    assert ids == [10, 11, 12, 13, 14] and masks.shape[0] == 5


def test_one_compilation_per_bucket(predictor, offline):
    keys = list(predictor.programs.compiled)
    assert len(keys) == len(set(keys))
    assert sum(k == ("tracker", 4, 4) for k in keys) == 1


def test_clearing_prompts_makes_a_tracked_frame_of_it(predictor, video):
    state = start(predictor, video, {(1, 0): CLICK, (1, 6): CLICK})
    collect(predictor.propagate_in_video(state))
    predictor.clear_all_prompts_in_frame(state, 6, 1)
    assert list(state.objects[1].conditioning) == [0]
    cleared = collect(predictor.propagate_in_video(state))
    alone = collect(predictor.propagate_in_video(start(predictor, video, {(1, 0): CLICK})))
    assert all(np.array_equal(cleared[t], alone[t]) for t in alone)


def test_removal_and_reset(predictor, video):
    state = start(predictor, video, TWO)
    ids, frames = predictor.remove_object(state, 1)
    assert ids == [2]
    assert [(t, m.shape) for t, m in frames] == [(0, (1, 1, 48, 80))]
    assert predictor.remove_object(state, 77) == ([2], [])
    predictor.reset_state(state)
    assert state.obj_ids == []
    with pytest.raises(ValueError, match="add a prompt before propagating"):
        predictor.propagate_in_video(state)


def test_more_prompted_frames_than_slots(predictor, video):
    """20 prompted frames, 16 slots: the nearest are kept, and nothing is compiled again."""
    earlier = set(predictor.programs.compiled)  # by the tests that ran before on this worker
    prompts = {(1, t): dict(points=[[20 + t, 20]], labels=[1]) for t in range(0, 20, 1)}
    state = start(predictor, video, prompts)
    predictor.add_new_points_or_box(state, 19, 2, **BOX)
    assert len(collect(predictor.propagate_in_video(state))) == 20
    before = set(predictor.programs.compiled)  # with what only a crowded bank needs
    added = before - earlier
    assert len({name for name, *_ in added}) == len(added)  # each once, not for every frame
    masks = collect(predictor.propagate_in_video(state))
    assert len(masks) == 20 and set(predictor.programs.compiled) == before


def test_a_live_stream_keeps_sixteen_prompted_frames_and_says_so(predictor, video, caplog):
    from absl import logging

    logging.get_absl_logger().propagate = True
    state = start(predictor, iter(list(video)), {(1, 0): CLICK})
    for t, _, masks in predictor.propagate_in_video(state):
        assert np.isfinite(masks).all()
        if t < 18:
            click = dict(points=[[20 + t, 20]], labels=[1])
            predictor.add_new_points_or_box(state, t + 1, 1, **click)
    assert list(state.objects[1].conditioning) == list(range(3, 19))
    assert "object 1: a live stream keeps the 16 prompted frames" in caplog.text


def test_options_on_the_way_out(predictor, video):
    predictor.non_overlap_masks = True
    state = start(predictor, video[:3], TWO)
    for _, _, masks in predictor.propagate_in_video(state):
        assert ((masks > 0).sum(0) <= 1).all()
    predictor.non_overlap_masks, predictor.fill_hole_area = False, 10_000
    state = start(predictor, video[:1], {(1, 0): CLICK})
    _, _, filled = next(predictor.propagate_in_video(state))
    assert (filled > 0).all()  # at that area even the outside is a hole


def test_without_records_a_tracked_frame_cannot_be_corrected(predictor, video):
    predictor.keep_records = False
    state = start(predictor, video, {(1, 0): CLICK})
    collect(predictor.propagate_in_video(state))
    with pytest.raises(ValueError, match="object 1, frame 5: .*keep_records=True"):
        predictor.add_new_points_or_box(state, 5, 1, **CLICK)
    assert 5 not in state.objects[1].points  # what was refused is not kept either


BAD = [
    (dict(frame_idx=20, **CLICK), r"frame 20: the video has 20 frames \(0 to 19\)"),
    (dict(frame_idx=-1, **CLICK), "frame -1"),
    (dict(frame_idx=0.5, **CLICK), "expected an integer"),
    (dict(frame_idx=0), "at least one of points and box"),
    (dict(frame_idx=0, points=[[81, 20]], labels=[1]), r"\(81, 20\) lies outside .*\[0, 80\]"),
    (dict(frame_idx=0, points=[[8, 20]], labels=[2]), r"labels \[2\]: expected 1"),
    (dict(frame_idx=0, points=[[8, 20]], labels=[1, 1]), "one for each of 1 points"),
    (dict(frame_idx=0, points=[[8, 20], [8, 20]], labels=[1, 0]), "labelled both 0 and 1"),
    (dict(frame_idx=0, points=[8, 20], labels=[1]), r"expected \(n, 2\)"),
    (dict(frame_idx=0, labels=[1], **BOX), "labels without points"),
    (dict(frame_idx=0, box=[30, 5, 5, 40]), "expected x0 < x1"),
    (dict(frame_idx=0, box=[0, 5, 5, 49]), "lies outside the frame"),
    (dict(frame_idx=0, points=[[np.nan, 2]], labels=[1]), "finite"),
    (dict(frame_idx=0, clear_old_points=False, **BOX), "a box starts afresh"),
]


@pytest.mark.parametrize("arguments,message", BAD)
def test_bad_prompts_are_refused(predictor, video, arguments, message):
    state = predictor.init_state(video)
    with pytest.raises(ValueError, match=message):
        predictor.add_new_points_or_box(state, obj_id=1, **arguments)


def test_other_bad_calls(predictor, video):
    state = predictor.init_state(video)
    with pytest.raises(ValueError, match=r"mask: expected \(H, W\)"):
        predictor.add_new_mask(state, 0, 1, np.zeros((2, 48, 80)))
    state = start(predictor, video, TWO)
    with pytest.raises(ValueError, match="object 9: unknown object id; known ids: 1, 2"):
        predictor.clear_all_prompts_in_frame(state, 0, 9)
    with pytest.raises(ValueError, match="object 9: unknown"):
        predictor.remove_object(state, 9, strict=True)
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    with pytest.raises(ValueError, match="object 1: no prompt"):
        predictor.propagate_in_video(state)


def test_a_live_stream_does_not_go_back(predictor, video):
    state = start(predictor, iter(list(video)), {(1, 0): CLICK})
    frames = predictor.propagate_in_video(state)
    for _ in range(4):
        next(frames)
    with pytest.raises(ValueError, match="live stream takes prompts on its next frame only.* 4"):
        predictor.add_new_points_or_box(state, 2, 1, **CLICK)
    with pytest.raises(ValueError, match="cannot go back"):
        predictor.propagate_in_video(state, reverse=True)
    with pytest.raises(ValueError, match="cannot go back"):
        next(predictor.propagate_both(state))
    with pytest.raises(ValueError, match="goes on at frame 4"):
        predictor.propagate_in_video(state, start_frame_idx=0)


def test_bad_options_name_the_choices():
    from surgjax.inference import VideoPredictor

    with pytest.raises(ValueError, match="precision 'fp16': expected one of"):
        VideoPredictor.from_checkpoint("debug", random_weights=True, precision="fp16")
    with pytest.raises(ValueError, match="multiple of 32"):
        VideoPredictor.from_checkpoint("debug", random_weights=True, image_size=100)
