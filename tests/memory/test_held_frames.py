"""Which frames a bank holds, of SAM 2's and of a policy with long memories."""

import jax
import pytest

from surgjax.memory.held_frames import HeldFrames, held_frames
from tests.memory.scripted import Frame, policy, run

SCRIPT = [Frame(0, prompted=True), *(Frame(k, angle=10.0 * k) for k in range(1, 10))]


def _stacked(*banks):
    return jax.tree.map(lambda *rows: jax.numpy.stack(rows), *banks)


def test_recent_bank_holds_the_prompt_and_six_frames():
    memory = policy("recent")
    banks = _stacked(memory.init(), run(memory, SCRIPT))
    assert held_frames(banks, 0) == HeldFrames((), ())
    assert held_frames(banks, 1) == HeldFrames((0,), (4, 5, 6, 7, 8, 9))


def test_long_memories_stand_beside_them():
    memory = policy("divemem", "delta=3,long=2,gamma=0.75")
    banks = _stacked(run(memory, SCRIPT), memory.init())
    # Least like the prompt (frame 3), then like what was kept last, of three candidates each.
    assert held_frames(banks, 0) == HeldFrames((0,), (4, 5, 6, 7, 8, 9), (6, 9))
    assert held_frames(banks, 1) == HeldFrames((), (), ())


def test_another_bank_is_refused():
    with pytest.raises(TypeError, match="dict"):
        held_frames({}, 0)
