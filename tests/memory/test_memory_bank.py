"""The bank of one object: two rings and conditioning slots, values by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.memory import memory_bank

SIZES = dict(cond_slots=3, recent_slots=6, pointer_slots=15, tokens=4, memory_dim=2, pointer_dim=4)


def entry(frame, conditioning=False, tokens=4):
    return memory_bank.MemoryEntry(
        features=jnp.full((tokens, 2), float(frame)),
        pointer=jnp.full((4,), float(frame)),
        frame_index=jnp.int32(frame),
        is_conditioning=jnp.bool_(conditioning),
        object_score=jnp.float32(1),
        iou=jnp.float32(1),
    )


def filled(frames, conditioning=()):
    bank = memory_bank.init_bank(**SIZES)
    for frame in frames:
        bank = memory_bank.write(bank, entry(frame, frame in conditioning))
    return bank


def held(index):
    return sorted(i for i in np.asarray(index).tolist() if i != memory_bank.EMPTY)


def test_two_horizons():
    bank = filled(range(40), conditioning=(0,))
    assert held(bank.cond_index) == [0]
    assert held(bank.recent_index) == list(range(34, 40))
    assert held(bank.pointer_index) == list(range(25, 40))


def test_a_slot_holds_what_its_index_says():
    bank = filled(range(20), conditioning=(0, 7))
    for frame, features in zip(bank.recent_index, bank.recent_features, strict=True):
        np.testing.assert_array_equal(features.astype(jnp.float32), float(frame))
    for frame, pointer in zip(bank.pointer_index, bank.pointers, strict=True):
        if frame != memory_bank.EMPTY:  # frame 7's pointer slot was emptied, not overwritten
            np.testing.assert_array_equal(pointer, float(frame))
    assert held(bank.cond_index) == [0, 7]
    assert 7 not in held(bank.recent_index) + held(bank.pointer_index)


def test_farthest_conditioning_frame_goes_when_slots_run_out():
    bank = filled([0, 10, 20, 30], conditioning=(0, 10, 20, 30))
    assert held(bank.cond_index) == [10, 20, 30]


def test_prompting_a_tracked_frame_moves_it():
    bank = filled(range(5), conditioning=(0,))
    bank = memory_bank.write(bank, entry(3, conditioning=True))
    assert held(bank.cond_index) == [0, 3]
    assert 3 not in held(bank.recent_index) + held(bank.pointer_index)
    bank = memory_bank.write(bank, entry(3, conditioning=True))
    assert held(bank.cond_index) == [0, 3]


def test_backward_in_time_works_alike():
    bank = filled(range(40, 20, -1), conditioning=(40,))
    assert held(bank.recent_index) == list(range(21, 27))


def test_full_size_shapes_without_compute():
    sizes = dict(SIZES, cond_slots=16, tokens=4096, memory_dim=64, pointer_dim=256)
    bank = jax.eval_shape(lambda: memory_bank.init_bank(**sizes))
    chex.assert_shape(bank.recent_features, (6, 4096, 64))
    chex.assert_shape(bank.cond_features, (16, 4096, 64))
    assert bank.recent_features.dtype == jnp.bfloat16


def test_one_trace_for_a_whole_video():
    step = jax.jit(chex.assert_max_traces(memory_bank.write, n=1))
    bank = memory_bank.init_bank(**SIZES)
    for frame in range(4):
        bank = step(bank, entry(frame, frame == 2))


def test_wrong_token_count_is_refused():
    with pytest.raises(ValueError, match="do not fit a bank of"):
        memory_bank.write(memory_bank.init_bank(**SIZES), entry(0, tokens=1))
