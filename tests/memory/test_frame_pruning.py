"""Surgical-SAM-2's frame pruning: which memories are left out, by hand."""

import jax
import numpy as np
import pytest

from surgjax.memory.memory_bank import EMPTY
from tests.memory.scripted import Frame, clock, policy, run

PROMPT = Frame(0, prompted=True)


def read(frames, options="", reverse=False):
    """Angles of the recent memories that are read on the next frame, by steps back."""
    memory = policy("frame_pruning", options)
    at = frames[-1].index + (-1 if reverse else 1)
    out = jax.jit(memory.read)(run(memory, frames), clock(at, reverse))
    count = int(out.count[0])
    rows = np.asarray(out.time_index[0, :count]).tolist()
    return out, {row + 1 for row in rows if row < 6}, rows.count(6)


def tracked(angles, start=1):
    return [Frame(start + k, angle) for k, angle in enumerate(angles)]


# Six recent memories, oldest first; the last is the newest. Which steps back remain.
CASES = {
    "two copies of the newest go": ([10, 50, 20, 50, 30, 50], {1, 2, 4, 6}),
    "the two most alike go": ([0, 10, 20, 30, 40, 50], {1, 4, 5, 6}),
    "the oldest of equals goes": ([50, 50, 50, 50, 50, 50], {1, 2, 3, 4}),
    "either side of the newest": ([90, 10, 60, 20, 30, 50], {1, 3, 5, 6}),
}


@pytest.mark.parametrize("case", CASES)
def test_hand_table(case):
    angles, want = CASES[case]
    _, steps, prompts = read([PROMPT, *tracked(angles)])
    assert (steps, prompts) == (want, 1)


@pytest.mark.parametrize(("recent", "kept"), [(1, 1), (4, 4), (5, 4), (6, 4), (9, 4)])
def test_five_memories_at_most_with_one_prompt(recent, kept):
    """As the reference: those beyond num_maskmem - num_prune = 5 go, the prompt's among them."""
    _, steps, prompts = read([PROMPT, *tracked(range(0, 10 * recent, 10))])
    assert len(steps) == kept and prompts == 1 and 1 in steps


def test_prompts_are_all_kept():
    more = [Frame(k, 50, prompted=True) for k in (10, 11, 12, 13)]
    _, steps, prompts = read([*more, *tracked([50] * 6, 14)])
    assert prompts == 4 and len(steps) == 4


def test_features_and_rows_belong_together():
    out, _, _ = read([PROMPT, *tracked([10, 50, 20, 50, 30, 50])])
    angle = {0: 50, 1: 30, 3: 20, 5: 10, 6: 0}
    for k in range(int(out.count[0])):
        want = Frame(0, angle[int(out.time_index[0, k])]).memory
        np.testing.assert_array_equal(out.features[0, k], want)


def test_pruned_frames_stay_in_the_bank_and_pointers_are_untouched():
    frames = [PROMPT, *tracked([50] * 6)]
    memory = policy("frame_pruning")
    bank = run(memory, frames)
    assert sorted(np.asarray(bank.recent_index).tolist()) == [1, 2, 3, 4, 5, 6]
    assert EMPTY not in np.asarray(bank.recent_index)
    plain = policy("recent").read(bank, clock(7))
    np.testing.assert_array_equal(memory.read(bank, clock(7)).pointer_valid, plain.pointer_valid)


def test_backward():
    frames = [Frame(20, prompted=True)]
    frames += [Frame(19 - k, a) for k, a in enumerate([10, 50, 20, 50, 30, 50])]
    assert read(frames, reverse=True)[1] == {1, 2, 4, 6}


def test_pruning_nothing_is_sam2_bit_for_bit():
    frames = [PROMPT, *tracked([10, 50, 20, 50, 30, 50])]
    out, _, _ = read(frames, "prune=0")
    plain = policy("recent")
    want = plain.read(run(plain, frames), clock(7))
    for got, expected in zip(jax.tree.leaves(out), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("prune", [6, 7])
def test_too_much_is_refused(prune):
    with pytest.raises(ValueError, match=f"prune={prune}: below 6 expected"):
        policy("frame_pruning", f"prune={prune}")
