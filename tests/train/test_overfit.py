"""A model with random weights learns one generated clip, through the real update and predictor.

Path:    tests.train.overfit -> [test_overfit]
Units:   J&F in 0..1 by the DAVIS rule.
Source:  ours.
Differs: nothing to differ from.
"""

import pytest

from tests.train import overfit

GOAL, LOW = 0.95, 0.6


@pytest.mark.slow
def test_one_clip_is_learnt_and_its_controls_are_not():
    found = overfit.overfit(steps=400, every=50, goal=GOAL + 0.01)
    assert found.score > GOAL
    # Controls: fresh weights; the boxes of each other's objects; memories that hold nothing.
    assert overfit.score(found.fresh) < LOW
    assert overfit.score(found.params, swapped=True) < LOW
    assert overfit.score(overfit.without_memory(found.params)) < found.score - 0.1
