"""The scanned step gives what the unrolled one gave: loss, metrics and every gradient."""

import functools

import numpy as np
import pytest

from tests.train import step_goldens


@functools.cache
def stored():
    return step_goldens.load()


@pytest.mark.golden
@pytest.mark.parametrize(
    "name",
    [
        "one_prompted",
        "several_prompted",
        pytest.param("corrected", marks=pytest.mark.slow),
        pytest.param("centre_clicks", marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_of_the_unrolled_step(name):
    ours = step_goldens.run(name)
    want = {key: value for key, value in stored().items() if key.startswith(f"{name}/")}
    assert set(ours) == set(want)
    largest = max(value[0] for key, value in want.items() if "/grad/" in key)
    moved = 0
    for key, value in want.items():
        if "/grad/" in key:
            # The product with a direction of unit variance is of the order of the norm.
            limit = 1e-4 * value[0] + 1e-6 * largest
            moved += value[0] > 1e-4 * largest
            assert np.abs(ours[key] - value).max() <= limit, (key, ours[key], value)
        else:
            assert ours[key].item() == pytest.approx(value.item(), rel=2e-5, abs=1e-6), key
    assert moved > 100  # most parameters have a gradient that could be wrong
