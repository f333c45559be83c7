"""Automatic masks beside the original itself, where a checkout of it is found.

Path:    tests.golden.automatic_masks_case -> [test_automatic_masks] <- official_automatic
Errors:  skips without torch, or without a checkout: `make parity-official` brings one, or
         SURGJAX_OFFICIAL_SAM2 names its folder.
Source:  sam2 1.1.0; torchvision's suppression of boxes where torchvision is installed.
"""

import importlib

import numpy as np
import pytest

from surgjax.ops.box_nms import box_nms
from tests.golden import automatic_masks_case as case

pytestmark = pytest.mark.parity
TORCH = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def checkout():
    found = importlib.import_module("tests.parity.official_training").folder()
    if found is None:
        pytest.skip("no checkout of sam2 1.1.0")
    return found


@pytest.mark.parametrize("name", case.CASES)
def test_records_are_those_of_the_original(checkout, name):
    official = importlib.import_module("tests.parity.official_automatic")
    generator = official.build(checkout, case.CONFIG, case.params(), **case.options(name))
    flipped, error = case.compare(case.ours(name), generator.generate(case.image()))
    print(f"{name}: {flipped} pixels flipped, largest error of a predicted IoU {error:.1e}")


def test_defaults_are_those_of_the_original(checkout):
    import inspect

    from surgjax.inference.automatic_mask_options import AutomaticMaskOptions

    importlib.import_module("tests.parity.official_automatic").prepare(checkout)
    module = importlib.import_module("sam2.automatic_mask_generator")
    signature = inspect.signature(module.SAM2AutomaticMaskGenerator.__init__).parameters
    want = {k: p.default for k, p in signature.items() if k not in ("self", "model", "kwargs")}
    assert vars(AutomaticMaskOptions()) == want


def test_suppression_is_torchvisions():
    nms = pytest.importorskip("torchvision.ops.boxes").batched_nms
    rng = np.random.default_rng(0)
    kept = 0
    for count in (1, 2, 50, 400, 1200):  # above 1000 torchvision goes another way
        for threshold in (0.3, 0.5, 0.7):
            low = rng.integers(0, 60, (count, 2))
            boxes = np.concatenate([low, low + rng.integers(0, 40, (count, 2))], 1)
            scores = rng.integers(0, 20, count).astype(np.float32) / 20  # many are equal
            args = (TORCH.tensor(boxes).float(), TORCH.tensor(scores), TORCH.zeros(count))
            want = nms(*args, threshold).numpy()
            np.testing.assert_array_equal(box_nms(boxes, scores, threshold), want)
            kept += len(want)
    assert kept > 100
