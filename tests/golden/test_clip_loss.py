"""The whole clip loss and its gradients against stored torch results, without torch.

Units:   errors relative to the norm of each gradient, with a floor of 1e-6 of the largest.
Errors:  AssertionError naming the parameter.
Source:  clip_loss_debug.npz, written by make_clip_loss.py.
Differs: tests/parity/test_clip_loss.py compares every element, where torch is at hand.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from surgjax.prompts import clicks
from surgjax.train.steps import promptable
from tests.golden import clip_loss_case as case

LIMIT = 1e-4


@pytest.mark.golden
def test_loss_and_gradients(monkeypatch):
    monkeypatch.setattr(promptable, "draw_schedule", case.schedule)
    monkeypatch.setattr(clicks, "first_click", case.deepest_click)
    with np.load(Path(__file__).with_name("clip_loss_debug.npz")) as file:
        want, loss = (
            dict(zip(json.loads(str(file["keys"])), file["grads"], strict=True)),
            file["loss"],
        )
    found, grads = case.our_step()(case.clip_batch())
    ours = case.summary(float(found), grads)
    assert float(found) == pytest.approx(float(loss), rel=LIMIT)
    assert set(ours) == {"loss", *want}
    largest = max(norm for norm, _ in want.values())
    for key, (norm, product) in want.items():
        limit = LIMIT * norm + 1e-6 * largest
        assert abs(ours[key][0] - norm) <= limit, key
        # A drawn direction of unit variance: the product has the size of the error's norm.
        assert abs(ours[key][1] - product) <= 4 * limit, key
    assert sum(norm > 1e-4 * largest for norm, _ in want.values()) > 100
