"""Pooled memories: which are whole, what an average is, and that it counts as its cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.layers.position_encoding import axial_rope_table, sine_2d
from surgjax.memory.memory_attention import SpatialMemory
from surgjax.memory.pooled_memory import averaged
from surgjax.structs import FarMemory
from tests.memory.scripted import CONFIG, TOKENS, Frame, clock, policy, run
from tests.memory.test_memory_attention import CONFIG as BIG
from tests.memory.test_memory_attention import dense, make_read, tiled

PROMPT = Frame(0, prompted=True)
TRACKED = [Frame(k, 10.0 * k) for k in range(1, 7)]
LAYERS = BIG.memory_layers


def read(frames, options="", reverse=False):
    memory = policy("pooled", options)
    at = frames[-1].index + (-1 if reverse else 1)
    return jax.jit(memory.read)(run(memory, frames), clock(at, reverse))


def steps(part, count=None):
    """Rows of the temporal embedding that are read, as steps back; 7 is a prompt."""
    count = int(part.count[0]) if count is None else count
    return sorted((np.asarray(part.time_index[0, :count]) + 1).tolist())


@pytest.mark.parametrize(
    ("near", "whole", "far"),
    [(0, [7], [1, 2, 3, 4, 5, 6]), (1, [1, 7], [2, 3, 4, 5, 6]), (6, [1, 2, 3, 4, 5, 6, 7], [])],
)
def test_prompts_and_the_latest_are_whole(near, whole, far):
    found = read([PROMPT, *TRACKED], f"near={near}")
    assert (steps(found), steps(found.far)) == (whole, far)
    assert found.far.features.shape[2] == TOKENS // 4 and found.far.layers == CONFIG.memory_layers


def test_fewer_frames_than_slots_and_backward():
    found = read([PROMPT, *TRACKED[:3]])
    assert (steps(found), steps(found.far)) == ([1, 7], [2, 3])
    back = [Frame(20, prompted=True), *(Frame(19 - k, 10.0 * k) for k in range(4))]
    found = read(back, reverse=True)
    assert (steps(found), steps(found.far)) == ([1, 7], [2, 3, 4])


def test_features_and_rows_belong_together():
    far = read([PROMPT, *TRACKED]).far
    for k in range(int(far.count[0])):
        frame = TRACKED[6 - (int(far.time_index[0, k]) + 1)]
        np.testing.assert_allclose(far.features[0, k], frame.memory[: TOKENS // 4], rtol=1e-6)


def test_means_of_squares():
    grid = np.arange(16, dtype=np.float32).reshape(16, 1)  # 4 x 4 cells, row by row
    assert averaged(jnp.asarray(grid), 2).ravel().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert averaged(jnp.asarray(grid), 4).ravel().tolist() == [7.5]
    np.testing.assert_array_equal(averaged(jnp.asarray(grid), 1), grid)


def test_a_square_sits_in_the_middle_of_its_cells():
    cos, sin = axial_rope_table(2, 8, pool=2)
    frequency = 10000.0 ** (-4.0 * np.arange(2) / 8)
    angles = [[0.5, 0.5], [2.5, 0.5], [0.5, 2.5], [2.5, 2.5]]  # x, y
    for n, (x, y) in enumerate(angles):
        want = np.concatenate([x * frequency, y * frequency])
        np.testing.assert_allclose(cos[n], np.cos(want), atol=1e-6)
        np.testing.assert_allclose(sin[n], np.sin(want), atol=1e-6)
    far = FarMemory(jnp.zeros((1, 1, 4, 16)), jnp.zeros((1, 1), int), jnp.ones(1, int), 1)
    part = SpatialMemory(far, jnp.zeros((7, 16)), 4, 8)
    assert part.cells == 4
    np.testing.assert_allclose(part.grid_position[0], sine_2d(4, 4, 16)[:2, :2].mean((0, 1)))


@pytest.fixture(scope="module")
def s16():
    shape = (1, BIG.grid, BIG.grid, BIG.hidden_dim)
    return jnp.asarray(np.random.default_rng(3).standard_normal(shape), jnp.float32)


def split(full, first, far_layers, pool=1):
    """The same memories, those from `first` on as far ones."""
    count = int(full.count[0])
    return full.replace(
        count=jnp.array([first]),
        far=FarMemory(
            averaged(full.features[:, first:], pool),
            full.time_index[:, first:],
            jnp.array([count - first]),
            far_layers,
        ),
    )


def test_whole_far_memories_in_all_layers_are_plain_memories(s16):
    full = make_read(np.random.default_rng(0), 5, 4, 4, 3)
    for attend in (dense, tiled):
        np.testing.assert_allclose(
            attend(s16, split(full, 2, LAYERS)), attend(s16, full), atol=2e-5
        )


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("far_layers", range(1, LAYERS + 1))
def test_tiled_equals_dense(s16, pool, far_layers):
    found = split(make_read(np.random.default_rng(0), 5, 4, 4, 3), 2, far_layers, pool)
    np.testing.assert_allclose(tiled(s16, found), dense(s16, found), atol=2e-5)
    noisy = found.replace(far=found.far.replace(features=found.far.features.at[:, 2:].set(1e3)))
    np.testing.assert_array_equal(tiled(s16, found), tiled(s16, noisy))


def test_layers_before_the_last_do_not_read_them(s16):
    """No layer: as if they were not there. More layers: another answer each time."""
    full = make_read(np.random.default_rng(0), 5, 4, 4, 3)
    answers = [tiled(s16, split(full, 2, layers)) for layers in range(LAYERS + 1)]
    near = full.replace(count=jnp.array([2]))
    np.testing.assert_array_equal(answers[0], tiled(s16, near))
    for one, other in zip(answers, answers[1:], strict=False):
        assert jnp.abs(one - other).max() > 1e-3


def test_an_average_counts_as_often_as_it_has_cells(s16):
    """Where the cells of a square are alike but for their place, the average stands for them: far
    closer with its weight than a memory of a fourth as many keys would be."""
    full = make_read(np.random.default_rng(0), 5, 4, 4, 3)
    side, width = BIG.grid, BIG.memory_dim
    coarse = averaged(full.features, 2).reshape(1, 5, side // 2, side // 2, width)
    even = jnp.repeat(jnp.repeat(coarse, 2, 2), 2, 3).reshape(full.features.shape)
    full = full.replace(features=even)
    want = tiled(s16, full)
    one_each = jnp.abs(tiled(s16, full.replace(count=jnp.array([2]))) - want).mean()
    weighted = jnp.abs(tiled(s16, split(full, 2, LAYERS, 2)) - want).mean()
    assert weighted < 0.25 * one_each


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("pool=3", "pool=3: a divisor of 2 expected, .* at 32 px"),
        ("pool=0", "pool=0: a number from 1 expected"),
        ("near=-1", "near=-1: a number from 0"),
        (f"far_layers={CONFIG.memory_layers + 1}", "at most .* layers of memory attention"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        policy("pooled", options)
