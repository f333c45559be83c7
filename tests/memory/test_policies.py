"""SAM 2's reading rule: which memories, in which row of the temporal table, with which pointers."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgjax.memory import memory_bank, policies
from tests.memory.test_memory_bank import SIZES, entry


def reference_choice(frame, prompted, limit):
    """The selection written as loops: the closest before, the closest at or after, then nearest."""
    if len(prompted) <= limit:
        return set(prompted)
    chosen = set()
    before = [f for f in prompted if f < frame]
    after = [f for f in prompted if f >= frame]
    if before:
        chosen.add(max(before))
    if after:
        chosen.add(min(after))
    rest = sorted((f for f in prompted if f not in chosen), key=lambda f: abs(f - frame))
    return chosen | set(rest[: limit - len(chosen)])


def read(frames, prompted, at, *, reverse=False, num_frames=1000, limit=8, slots=16):
    """{(frame, temporal row)} of the spatial memories, {(frame, distance)} of the pointers."""
    bank = memory_bank.init_bank(**dict(SIZES, cond_slots=slots))
    for frame in frames:
        bank = memory_bank.write(bank, entry(frame, frame in prompted))
    direction = jnp.int32(-1 if reverse else 1)
    clock = policies.Clock(jnp.int32(at), direction, jnp.int32(num_frames))
    out = policies.read_recent(bank, clock, limit, 7, 16)
    count = int(out.count[0])
    frame_of = np.asarray(out.features[0, :count, 0, 0]).astype(int).tolist()
    rows = np.asarray(out.time_index[0, :count]).tolist()
    live = np.asarray(out.pointer_valid[0])
    pointers = np.asarray(out.pointers[0, :, 0])[live].astype(int).tolist()
    distance = np.asarray(out.pointer_distance[0])[live].astype(int).tolist()
    return (
        set(zip(frame_of, rows, strict=True)),
        set(zip(pointers, distance, strict=True)),
        float(out.pointer_span),
    )


def test_rows_and_distances_after_one_prompt():
    spatial, pointers, span = read(range(10), {0}, at=10)
    assert spatial == {(0, 6), (9, 0), (8, 1), (7, 2), (6, 3), (5, 4), (4, 5)}
    assert pointers == {(f, 10 - f) for f in range(10)}
    assert span == 15


def test_pointer_horizon_is_fifteen_frames_and_prompts_come_on_top():
    _, pointers, _ = read(range(40), {0}, at=40)
    assert pointers == {(0, 40)} | {(f, 40 - f) for f in range(25, 40)}


def test_a_short_video_shrinks_the_pointer_horizon():
    _, pointers, span = read(range(8), {0}, at=8, num_frames=6)
    assert span == 5
    assert pointers == {(0, 8), *((f, 8 - f) for f in range(3, 8))}


def test_one_frame_video_does_not_divide_by_zero():
    assert read([0], {0}, at=0, num_frames=1)[2] == 1


def test_future_prompts_are_seen_but_their_pointers_are_not():
    spatial, pointers, _ = read([0, 9], {0, 9}, at=5)
    assert spatial == {(0, 6), (9, 6)}
    assert pointers == {(0, 5)}
    assert read([0, 9], {0, 9}, at=5, reverse=True)[1] == {(9, 4)}


def test_backward_counts_the_other_way():
    spatial, pointers, _ = read(range(20, 9, -1), {20}, at=9, reverse=True)
    assert spatial == {(20, 6), *((9 + k, k - 1) for k in range(1, 7))}
    assert (20, 11) in pointers and (10, 1) in pointers


def test_unselected_prompts_count_as_recent_frames():
    spatial, pointers, _ = read(range(6), {0, 2, 3, 4, 5}, at=6, limit=2)
    # 5 and 4 are selected; 3 and 2 are within six frames, so they are read as recent ones.
    assert spatial == {(5, 6), (4, 6), (3, 2), (2, 3), (1, 4), (0, 5)}
    assert pointers == {(f, 6 - f) for f in range(6)}


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 60), st.integers(2, 8))
def test_selection_is_the_references(prompted, at, limit):
    index = np.full(16, memory_bank.EMPTY, np.int32)
    index[: len(prompted)] = sorted(prompted)
    chosen = policies.closest_conditioning(jnp.asarray(index), jnp.int32(at), limit)
    got = set(index[np.asarray(chosen)].tolist())
    want = reference_choice(at, sorted(prompted), limit)
    assert len(got) == len(want)
    # Among frames equally near, either may be taken.
    assert sorted(abs(f - at) for f in got) == sorted(abs(f - at) for f in want)


@pytest.mark.parametrize("count", [1, 8, 16])
def test_never_more_than_the_slots(count):
    spatial, _, _ = read(range(count + 6), set(range(count)), at=count + 6)
    assert len(spatial) == min(count, 8) + 6
