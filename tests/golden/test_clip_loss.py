"""The whole clip loss, its gradients and one optimizer step against stored results of the original.

Path:    clip_loss_debug.npz -> [test_clip_loss] <- the loop's update on the case
Units:   errors relative to the norm of each gradient or change.
Errors:  AssertionError naming the parameter.
Source:  clip_loss_debug.npz, written by make_clip_loss.py from sam2 1.1.0.
Differs: tests/parity/test_clip_loss.py compares every element, where torch is at hand.
"""

import numpy as np
import pytest

from surgjax.prompts import clicks
from surgjax.train.steps import promptable
from tests.golden import clip_loss_case as case

LIMIT = 1e-4
# Of the norm of the whole gradient: a twentieth of float32's own step. The gradient of a bias of
# the mask's downsampling is a sum that cancels to 2e-5 of it, and depends on the number of threads.
ROUNDING = 3e-9


def _errors(ours, want, rounding=0.0):
    """Of every parameter, norm and product, relative to its norm; below `rounding` it is none.

    The product with a direction of unit variance has the size of an error's norm, up to fourfold.
    """
    assert set(ours) == set(want)
    found = {}
    for key, (norm, product) in want.items():
        if norm == 0:  # nothing of the case reaches it
            assert not ours[key].any(), key
        elif not case.is_without_effect(key):
            error = max(abs(ours[key][0] - norm), abs(ours[key][1] - product) / 4)
            found[key] = max(0.0, error - rounding) / norm
    assert len(found) > 300
    return found


@pytest.mark.golden
def test_loss_gradients_and_step(monkeypatch):
    monkeypatch.setattr(promptable, "draw_schedule", case.schedule)
    monkeypatch.setattr(clicks, "first_click", case.deepest_click)
    loss, gradients, changes = case.load()
    moments = case.moments({key: norm for key, (norm, _) in gradients.items()})
    step = case.our_update()
    ours = step(case.clip_batch(), moments)
    assert ours.loss == pytest.approx(loss, rel=LIMIT)
    whole = np.sqrt(sum(norm**2 for norm, _ in gradients.values()))
    errors = _errors(case.summary(ours.gradients), gradients, ROUNDING * whole)
    assert max(errors.values()) <= LIMIT, max(errors, key=lambda key: errors[key])
    largest = max(norm for norm, _ in gradients.values())
    assert all(gradients[key][0] < 1e-7 * largest for key in set(gradients) - set(errors))
    errors = _errors(case.summary(ours.change), changes)
    assert max(errors.values()) <= LIMIT, max(errors, key=lambda key: errors[key])
    # Control: frames that lie further apart give another step.
    apart = step(case.clip_batch(spread=2), moments)
    errors = _errors(case.summary(apart.change), changes)
    assert np.median(list(errors.values())) > 10 * LIMIT
