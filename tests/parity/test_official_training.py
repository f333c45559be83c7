"""The stored training goldens are what the original code gives, where a checkout of it is found.

Path:    tests.golden.make_training -> sam2_training.npz, which tests/losses and tests/train read.
Errors:  skips without torch, or without a checkout: `make parity-official` brings one, or
         SURGJAX_OFFICIAL_SAM2 names its folder.
Source:  sam2 1.1.0.
"""

import importlib

import numpy as np
import pytest

pytestmark = pytest.mark.parity
TORCH = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def checkout(request):
    found = importlib.import_module("tests.parity.official_training").folder()
    if found is None:
        pytest.skip("no checkout of sam2 1.1.0")
    return found


@pytest.mark.parametrize("part", ["losses", "tiny", "base_plus"])
def test_stored_goldens_are_those_of_the_checkout(checkout, part):
    make = importlib.import_module("tests.golden.make_training")
    found = make.losses(checkout) if part == "losses" else make.optimizer(checkout, part)
    with np.load(make.FILE) as file:
        stored = dict(file)
    assert set(found) <= set(stored)
    for key, value in found.items():
        if value.dtype.kind in "fb":
            np.testing.assert_allclose(value, stored[key], rtol=1e-6, atol=1e-9, err_msg=key)
        else:
            np.testing.assert_array_equal(value, stored[key], err_msg=key)
