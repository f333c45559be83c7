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
