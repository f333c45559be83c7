"""Which rows remember another object's answer, by hand, and what a step makes of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.train.steps import clip_drift
from surgjax.train.steps.clip_visits import Stepper, Visit
from surgjax.train.steps.prompt_options import PromptOptions
from surgjax.train.steps.training_clips import FrameTruth


@pytest.mark.parametrize(
    ("now", "counts", "want"),
    [
        ([1, 1, 1], [1, 1, 1], [1, 2, 0]),
        ([0, 1, 0], [1, 1, 1], [0, 2, 2]),
        ([1, 1, 1], [1, 1, 0], [1, 0, 0]),  # the third slot is empty
        ([1, 0, 1], [1, 0, 1], [2, 1, 0]),
        ([1, 1, 1], [1, 0, 0], [0, 0, 0]),  # nothing else to take the first for
    ],
)
def test_rows_remember_the_next_object_of_their_clip(now, counts, want):
    now, counts = (jnp.array(2 * x, bool) for x in (now, counts))  # two clips alike
    output: Any = {"low_res": jnp.arange(6.0), "pointer": 10 * jnp.arange(6)}
    found: Any = clip_drift.drifted(output, now, counts, 3)
    np.testing.assert_array_equal(found["low_res"], [*want, *(3 + np.array(want))])
    np.testing.assert_array_equal(found["pointer"], 10 * found["low_res"].astype(int))


def test_one_object_keeps_its_own():
    own: Any = jnp.arange(4)
    found: Any = clip_drift.drifted(own, jnp.ones(4, bool), jnp.ones(4, bool), 1)
    np.testing.assert_array_equal(found, np.arange(4))


def test_how_many_rows_drift_and_for_how_long():
    last = np.array(clip_drift.last_drifting_visit(jax.random.key(0), 8000, 8, 0.4))
    assert abs((last >= 0).mean() - 0.4) < 4 * np.sqrt(0.24 / 8000)
    counts = np.bincount(last[last >= 0], minlength=8)
    assert len(counts) == 8 and abs(counts - 400).max() < 5 * np.sqrt(400)
    assert (np.array(clip_drift.last_drifting_visit(jax.random.key(1), 50, 8, 0.0)) == -1).all()


def _visit(number, is_long=False):
    rows, nothing = 200, jnp.zeros(200, bool)
    unread: Any = None
    truth = FrameTruth(jnp.zeros((rows, 4, 4), bool), None, jnp.ones(rows))
    return Visit(
        number=jnp.int32(number), features=unread, truth=truth, place=nothing,
        is_long=nothing | is_long, is_conditioning=jnp.array(False), is_box=nothing,
        corrected=nothing, by_mask=nothing, is_last=jnp.array(False),
    )  # fmt: skip


def test_a_step_spares_prompts_and_what_is_kept_for_long_and_ends_the_drift():
    options = PromptOptions(drift_probability=0.5)
    step = Stepper(None, None, jax.random.key(3), 2, options)
    own: Any = jnp.arange(200)
    keeps = jnp.arange(200) < 50

    def share(visit, keeps):
        return (np.array(step._drifted(visit, own, keeps, 8)) != np.arange(200)).mean()

    none = jnp.zeros(200, bool)
    shares = [share(_visit(number), none) for number in range(8)]
    assert 0.4 < shares[0] < 0.6 and 0 < shares[7] < 0.15
    assert shares == sorted(shares, reverse=True)  # who is back stays back
    assert share(_visit(0, is_long=True), none) == 0
    changed = np.array(step._drifted(_visit(0), own, keeps, 8)) != np.arange(200)
    assert not changed[:50].any() and changed[50:].any()
    plain = Stepper(None, None, jax.random.key(3), 2, PromptOptions())
    assert plain._drifted(_visit(0), own, none, 8) is own


def test_a_probability_is_refused():
    with pytest.raises(ValueError, match=r"drift_probability from 0 to 1 expected, found 1\.5"):
        PromptOptions(drift_probability=1.5)
