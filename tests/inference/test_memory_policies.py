"""Policies with long memory in the predictor: replay, corrections, removal, saved states."""

import io
import pickle
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from surgjax.checkpoints import add_long_memory_embedding
from surgjax.inference import VideoPredictor
from surgjax.inference.device_tracks import DeviceTracks, nearest_frames
from surgjax.inference.stream import Stream
from surgjax.memory.memory_bank import MemoryEntry
from surgjax.testing import debug_config, lively_params, moving_squares
from tests.inference.prompted import BOX, CLICK, OTHER, start

CONFIG = debug_config()
PARAMS = lively_params(CONFIG)
# Any frame is a candidate: random weights do not know how good their masks are.
OPTIONS = "delta=5,long=3,gamma=-1000,presence=false"
TWO = {(1, 0): CLICK, (2, 0): BOX}
LENGTH = 32  # twice SAM 2's horizons


def collect(frames):
    return {t: masks for t, _, masks in frames}


def equal(a, b, objects=slice(None)):
    return all(np.array_equal(a[t][objects], b[t][objects]) for t in a.keys() & b.keys())


@pytest.fixture(scope="module")
def clip():
    return moving_squares(LENGTH)


@pytest.fixture(scope="module")
def shared_divemem():
    return VideoPredictor(PARAMS, CONFIG, memory="divemem", memory_options=OPTIONS)


@pytest.fixture
def divemem(shared_divemem):
    shared_divemem.causal = False
    return shared_divemem


@pytest.fixture(scope="module")
def offline(shared_divemem, clip):
    return collect(shared_divemem.propagate_in_video(start(shared_divemem, clip, TWO)))


def test_long_memories_are_read(offline, clip, shared_predictor):
    plain = collect(shared_predictor.propagate_in_video(start(shared_predictor, clip, TWO)))
    # One of frames 1 to 5 is kept, and leaves the short window seven frames later.
    first = min(t for t in range(LENGTH) if not np.array_equal(plain[t], offline[t]))
    assert 8 <= first <= 12


def test_live_equals_offline_bit_for_bit(divemem, clip, offline):
    live = collect(divemem.propagate_in_video(start(divemem, iter(list(clip)), TWO)))
    assert live.keys() == offline.keys() and equal(live, offline)


def test_going_on_from_the_middle_repeats_the_pass_bit_for_bit(divemem, clip, offline):
    state = start(divemem, clip, TWO)
    collect(divemem.propagate_in_video(state))
    again = collect(divemem.propagate_in_video(state, start_frame_idx=25))
    assert sorted(again) == list(range(25, LENGTH)) and equal(again, offline)


def test_replay_is_bounded_and_what_lies_before_is_not_there(clip, offline):
    options = f"{OPTIONS},replay=1"  # then as many as SAM 2's rule needs, 15
    predictor = VideoPredictor(PARAMS, CONFIG, memory="divemem", memory_options=options)
    assert predictor.programs.stream.policy.replay == 15
    state = start(predictor, clip, TWO)
    assert equal(collect(predictor.propagate_in_video(state)), offline)
    again = collect(predictor.propagate_in_video(state, start_frame_idx=29))
    # Frames 14 to 28 come again, in other groups of five: from 14 on, not from 11.
    assert not equal(again, offline)


def test_a_correction_in_the_middle_is_as_if_it_had_been_known(divemem, clip):
    """From the correction on: rebuilt from records, or met on the way by a whole new pass."""
    divemem.causal = True
    state = start(divemem, clip, TWO)
    before = collect(divemem.propagate_in_video(state))
    divemem.add_new_points_or_box(state, 20, 1, points=[[60, 10]], labels=[0])
    rebuilt = collect(divemem.propagate_in_video(state, start_frame_idx=20))
    assert not np.array_equal(rebuilt[25][0], before[25][0])
    assert equal(rebuilt, before, 1)  # the other object
    met = collect(divemem.propagate_in_video(state))
    assert equal(met, rebuilt) and all(np.array_equal(met[t], before[t]) for t in range(20))


def test_causal_equals_live_with_prompts_on_the_way(divemem, clip):
    divemem.causal = True
    state = start(divemem, clip, {(1, 0): CLICK, (1, 12): OTHER})
    causal = collect(divemem.propagate_in_video(state))
    live = start(divemem, iter(list(clip)), {(1, 0): CLICK})
    seen = collect(divemem.propagate_in_video(live, max_frame_num_to_track=11))
    divemem.add_new_points_or_box(live, 12, 1, **OTHER)
    seen |= collect(divemem.propagate_in_video(live))
    # On frame 12 the live stream is prompted alike; nothing was tracked there in either.
    assert seen.keys() == causal.keys() and equal(seen, causal)


MANY = {(1, t): CLICK for t in (0, *range(30, 50))}  # 21 prompts, 16 slots


@pytest.mark.parametrize("change", ["crowded", "taken back"])
def test_memories_outlive_a_change_of_prompts_without_records(divemem, change):
    """Only the slots of prompts that are not wanted are emptied."""
    prompts = MANY if change == "crowded" else {(1, 0): CLICK, (1, 1): CLICK}
    state = start(divemem, moving_squares(50), prompts)
    divemem._prepare(state)
    state.store, track = None, state.objects[1]
    tracks = DeviceTracks(divemem.programs, state, direction=1)
    tracks.remember_prompts(1, 2, track.conditioning)
    slot = tracks.slot_of[1]
    for t in range(2, 12):
        tracks.track = divemem.programs.write(tracks.track, slot, _tracked(divemem, t))
    before = jax.tree.map(lambda x: np.array(x[slot]), tracks.track.bank)
    if change == "taken back":
        del track.conditioning[0]
    t = 35 if change == "crowded" else 12
    tracks.remember_prompts(1, t, track.conditioning)
    after = jax.tree.map(lambda x: np.array(x[slot]), tracks.track.bank)
    held = sorted(f for f in after.short.cond_index if f >= 0)
    assert held == sorted(nearest_frames(track.conditioning, t, 16)) and 0 not in held
    assert (before.short.recent_index >= 0).any() and (before.index >= 0).any()
    for name in ("recent_index", "recent_features", "pointer_index"):
        assert np.array_equal(getattr(after.short, name), getattr(before.short, name))
    assert np.array_equal(after.index, before.index)


def test_without_any_prompt_left_nothing_is_remembered(divemem):
    state = start(divemem, moving_squares(20), {(1, 0): CLICK})
    divemem._prepare(state)
    state.store, track = None, state.objects[1]
    tracks = DeviceTracks(divemem.programs, state, direction=1)
    tracks.remember_prompts(1, 1, track.conditioning)
    slot = tracks.slot_of[1]
    tracks.track = divemem.programs.write(tracks.track, slot, _tracked(divemem, 1))
    track.conditioning.clear()
    tracks.remember_prompts(1, 2, [])
    bank = tracks.track.bank.short
    assert not tracks.has_prompts(1)
    assert (np.array(bank.recent_index[slot]) < 0).all()
    assert (np.array(bank.cond_index[slot]) < 0).all()


def test_replay_begins_at_the_first_of_all_prompts(divemem):
    """Frame 0 is not among the 16 prompts in the bank; what followed it counts all the same."""
    state = start(divemem, moving_squares(60), MANY)
    divemem._prepare(state)
    asked = []
    state.store = SimpleNamespace(get=lambda obj_id, t: asked.append(t))
    tracks = DeviceTracks(divemem.programs, state, direction=1)
    tracks.replay(1, 55)
    tracks.remember_prompts(1, 55, state.objects[1].conditioning)
    assert 0 not in tracks._written[1] and asked == list(range(55))


def _tracked(predictor, t):
    """What a tracked frame leaves behind, any numbers."""
    policy, rng = predictor.programs.stream.policy, np.random.default_rng(t)
    shape, width = policy.memory.shape, predictor.config.hidden_dim
    return MemoryEntry(
        features=rng.standard_normal(shape).astype(policy.memory.dtype),
        pointer=rng.standard_normal(width).astype(np.float32),
        frame_index=np.int32(t),
        is_conditioning=np.bool_(False),
        object_score=np.float32(1),
        iou=np.float32(0.9),
    )


def test_a_removed_object_leaves_nothing_to_others_or_to_its_slot(divemem, clip, offline):
    state = start(divemem, clip, TWO)
    seen = {}
    for t, ids, masks in divemem.propagate_in_video(state):
        seen[t] = masks[ids.index(2)]
        if t == 12:
            divemem.remove_object(state, 1)
            divemem.add_new_points_or_box(state, 13, 3, **OTHER)
        if t > 13:
            seen[t, 3] = masks[ids.index(3)]
    assert all(np.array_equal(seen[t], offline[t][1]) for t in range(LENGTH))
    alone = start(divemem, clip, {(3, 13): OTHER})
    want = collect(divemem.propagate_in_video(alone))
    assert all(np.array_equal(seen[t, 3], want[t][0]) for t in range(14, LENGTH))


def test_the_way_back_starts_from_prompts_alone(divemem, clip):
    state = start(divemem, clip, {(1, 20): CLICK})
    both = [(t, masks) for t, _, masks in divemem.propagate_both(state)]
    state = start(divemem, clip, {(1, 20): CLICK})
    back = collect(divemem.propagate_in_video(state, start_frame_idx=20, reverse=True))
    assert [t for t, _ in both] == [*range(20, LENGTH), *range(19, -1, -1)]
    assert all(np.array_equal(masks, back[t]) for t, masks in both[LENGTH - 20 :])


def test_a_saved_state_goes_on_as_if_it_had_not_been_saved(divemem):
    """Banks are plain pytrees of arrays: through bytes and back in the middle."""
    programs, config = divemem.programs, divemem.config
    stream, policy = programs.stream, programs.stream.policy
    rng = np.random.default_rng(0)
    state = stream.init_state(1)
    entries = []
    for t in range(30):
        entries.append(
            MemoryEntry(
                features=rng.normal(size=policy.memory.shape).astype(policy.memory.dtype),
                pointer=rng.normal(size=config.hidden_dim).astype(np.float32),
                frame_index=np.int32(t),
                is_conditioning=np.bool_(t == 0),
                object_score=np.float32(1),
                iou=np.float32(1),
            )
        )
    for t, entry in enumerate(entries):
        if t == 13:
            file = io.BytesIO(pickle.dumps(jax.device_get(state)))
            saved = jax.device_put(pickle.load(file))
        state = programs.write(state, 0, entry)
    for entry in entries[13:]:
        saved = programs.write(saved, 0, entry)
    for got, want in zip(jax.tree.leaves(saved), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(got, want)


def test_an_untrained_embedding_of_long_memories_changes_nothing(clip, offline):
    params, config = add_long_memory_embedding(PARAMS, CONFIG)
    options = dict(memory="divemem", memory_options=OPTIONS)
    predictor = VideoPredictor(params, config, **options)
    with_embedding = collect(predictor.propagate_in_video(start(predictor, clip, TWO)))
    assert equal(with_embedding, offline)
    trained = {**params, "long_tpos_enc": params["long_tpos_enc"] + 1.0}
    predictor.programs.params = jax.device_put(trained)
    other = collect(predictor.propagate_in_video(start(predictor, clip, TWO)))
    first = min(t for t in range(LENGTH) if not np.array_equal(other[t], offline[t]))
    assert 8 <= first <= 12  # where a long memory is read first


def test_a_policy_comes_by_name_or_in_a_stream():
    with pytest.raises(ValueError, match="expected one of recent, divemem"):
        VideoPredictor(PARAMS, CONFIG, memory="last")
    with pytest.raises(ValueError, match="memory_options delta: not known"):
        VideoPredictor(PARAMS, CONFIG, memory_options="delta=3")
    with pytest.raises(ValueError, match="stream and memory"):
        VideoPredictor(PARAMS, CONFIG, memory="dlm", stream=Stream.create(CONFIG))
