"""What is kept and read of a clip, by hand: order, eviction, time rows, distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.models.variants import get_config
from surgjax.train.steps import clip_memory

CONFIG = get_config("debug")
ROWS, TOKENS = 2, 4


def filled(places, conditioning, keep=2):
    """A memory after visits at `places` [V] of two rows, each visit marked by its number."""
    memory = clip_memory.init_clip_memory(CONFIG, ROWS, TOKENS, len(places), keep)
    for visit, (place, kept) in enumerate(zip(places, conditioning, strict=True)):
        features = jnp.full((ROWS, TOKENS, CONFIG.memory_dim), float(visit))
        pointer = jnp.full((ROWS, CONFIG.hidden_dim), float(visit))
        now, kept = jnp.full(ROWS, place), jnp.broadcast_to(jnp.asarray(kept), (ROWS,))
        memory = clip_memory.write(memory, features, pointer, now, kept, CONFIG)
    return memory


def read(memory, now):
    return clip_memory.read(memory, jnp.full(ROWS, now), CONFIG)


def test_an_empty_memory_reads_nothing():
    got = read(clip_memory.init_clip_memory(CONFIG, ROWS, TOKENS, 3, 1), 0)
    assert got.count.tolist() == [0, 0] and not np.array(got.pointer_valid).any()


def test_true_distances_and_time_rows_with_a_gap():
    got = read(filled([0, 9, 10], [True, False, False]), 11)
    np.testing.assert_array_equal(got.time_index, [[6, 1, 0]] * 2)
    np.testing.assert_array_equal(got.pointer_distance, [[11, 2, 1]] * 2)
    np.testing.assert_array_equal(got.count, [3, 3])
    assert float(got.pointer_span) == 15 and np.array(got.pointer_valid).all()
    far = read(filled([0, 1], [True, False]), 40)
    np.testing.assert_array_equal(far.time_index, [[6, 5]] * 2)  # no row beyond the sixth


def test_pointers_of_tracked_frames_seem_fifteen_away_at_most():
    # A hybrid clip: conditioning frame, two from far back, then a run; and the same backwards.
    got = read(filled([0, 40, 90], [True, False, False]), 120)
    np.testing.assert_array_equal(got.pointer_distance, [[120, 15, 15]] * 2)
    ahead = read(filled([200, 140, 121], [True, False, False]), 120)
    np.testing.assert_array_equal(ahead.pointer_distance, [[-80, -15, -1]] * 2)
    either = filled([0, 40], [True, jnp.array([True, False])])  # corrected in one row alone
    np.testing.assert_array_equal(read(either, 120).pointer_distance, [[120, 80], [120, 15]])


def test_conditioning_frames_ahead_have_negative_distances():
    got = read(filled([0, 40, 9], [True, True, False]), 11)
    np.testing.assert_array_equal(got.pointer_distance, [[11, -29, 2]] * 2)
    np.testing.assert_array_equal(got.time_index, [[6, 6, 1]] * 2)


def test_six_tracked_frames_are_kept_and_conditioning_ones_stay():
    kept = [True, *[False] * 4, jnp.array([True, False]), *[False] * 4]
    memory = filled(list(range(10)), kept)
    got = read(memory, 10)
    assert memory.features.shape[1] == 8  # two to keep, six others
    assert got.count.tolist() == [8, 7]
    seen = [sorted(memory.visit[row, : got.count[row]].tolist()) for row in range(2)]
    assert seen == [[0, 3, 4, 5, 6, 7, 8, 9], [0, 4, 5, 6, 7, 8, 9]]
    marks = np.array(got.features[:, :, 0, 0])
    np.testing.assert_array_equal(marks[0], memory.visit[0])
    rows = dict(zip(memory.visit[0].tolist(), got.time_index[0].tolist(), strict=True))
    assert rows == {0: 6, 5: 6, 3: 5, 4: 5, 6: 3, 7: 2, 8: 1, 9: 0}
    assert np.array(got.pointer_valid).all()  # pointers reach back fifteen frames


def test_pointers_reach_back_fifteen_visits_but_conditioning_ones_for_ever():
    memory = filled(list(range(18)), [True, *[False] * 17], keep=1)
    valid = np.array(read(memory, 18).pointer_valid[0])
    assert valid.tolist() == [True, False, False, *[True] * 15]


def test_one_compiled_write_serves_every_visit():
    traces = []

    @jax.jit
    def write(memory, now):
        traces.append(now)
        features = jnp.ones((ROWS, TOKENS, CONFIG.memory_dim))
        pointer = jnp.ones((ROWS, CONFIG.hidden_dim))
        return clip_memory.write(memory, features, pointer, now, jnp.zeros(ROWS, bool), CONFIG)

    memory = clip_memory.init_clip_memory(CONFIG, ROWS, TOKENS, 3, 1)
    for place in range(3):
        memory = write(memory, jnp.full(ROWS, place))
    assert len(traces) == 1 and int(memory.visits) == 3


def test_features_of_another_shape_are_refused():
    memory = clip_memory.init_clip_memory(CONFIG, ROWS, TOKENS, 3, 1)
    pointer = jnp.ones((ROWS, CONFIG.hidden_dim))
    with pytest.raises(ValueError, match="do not fit a memory of"):
        clip_memory.write(
            memory, jnp.ones((ROWS, 1, CONFIG.memory_dim)), pointer, jnp.zeros(ROWS, jnp.int32),
            jnp.zeros(ROWS, bool), CONFIG,
        )  # fmt: skip


def hybrid(config, places, long, conditioning=(0,), keep=3):
    """One conditioning frame, long-range frames, a run; marked by the number of the visit."""
    memory = clip_memory.init_clip_memory(config, ROWS, TOKENS, len(places), keep)
    for visit, place in enumerate(places):
        features = jnp.full((ROWS, TOKENS, config.memory_dim), float(visit))
        pointer = jnp.full((ROWS, config.hidden_dim), float(visit))
        kept = jnp.full(ROWS, visit in conditioning)
        now, is_long = jnp.full(ROWS, place), jnp.full(ROWS, visit in long)
        memory = clip_memory.write(memory, features, pointer, now, kept, config, is_long)
    return memory


@pytest.mark.parametrize(("own", "row"), [(False, 6), (True, 7)])
def test_long_range_frames_have_a_row_of_their_own_outside_the_short_window(own, row):
    config = CONFIG.replace(long_memory_embedding=own)
    memory = hybrid(config, [0, 20, 40, 100, 101], long=(1, 2))
    got = clip_memory.read(memory, jnp.full(ROWS, 102), config)
    np.testing.assert_array_equal(got.time_index, [[6, row, row, 1, 0]] * 2)
    # Six frames back it is a recent one, as where a policy reads it at inference.
    near = clip_memory.read(hybrid(config, [0, 20, 40], (1, 2)), jnp.full(ROWS, 46), config)
    np.testing.assert_array_equal(near.time_index, [[6, row, 5]] * 2)
    past = clip_memory.read(hybrid(config, [0, 20, 40], (1, 2)), jnp.full(ROWS, 47), config)
    np.testing.assert_array_equal(past.time_index, [[6, row, row]] * 2)


def test_long_range_frames_stay_when_the_short_window_moves_on():
    memory = hybrid(CONFIG, [0, 20, 40, *range(100, 110)], long=(1, 2))
    assert memory.features.shape[1] == 3 + 6
    assert sorted(memory.visit[0].tolist()) == [0, 1, 2, *range(7, 13)]


def test_a_corrected_long_range_frame_is_a_conditioning_one():
    memory = hybrid(CONFIG, [0, 20, 40], long=(1, 2), conditioning=(0, 1))
    assert memory.long[0].tolist()[:3] == [False, False, True]
    assert memory.conditioning[0].tolist()[:3] == [True, True, False]


def test_pointers_of_far_long_range_frames_are_not_read_as_at_inference():
    memory = hybrid(CONFIG, [0, 20, 40, 50, 51], long=(1, 2))
    at = lambda now: clip_memory.read(memory, jnp.full(ROWS, now), CONFIG)  # noqa: E731
    assert at(52).pointer_valid[0].tolist() == [True, False, True, True, True]  # 12 back is near
    assert at(56).pointer_valid[0].tolist() == [True, False, False, True, True]
    kept = hybrid(CONFIG, [0, 20, 40, 50, 51], long=(1, 2), conditioning=(0, 1))  # corrected
    valid = clip_memory.read(kept, jnp.full(ROWS, 56), CONFIG).pointer_valid[0]
    assert valid.tolist() == [True, True, False, True, True]
    plain = filled([0, 20, 40, 50, 51], [True, *[False] * 4])  # a clip with strides has them all
    assert np.array(read(plain, 56).pointer_valid).all()
