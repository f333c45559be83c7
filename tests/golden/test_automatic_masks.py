"""Automatic masks against stored records of the original.

Path:    automatic_masks.json -> [test_automatic_masks] <- AutomaticMaskGenerator
Source:  automatic_masks.json, written by make_automatic_masks.py from sam2 1.1.0.
Differs: tests/parity/test_automatic_masks.py runs the original itself, where torch is at hand.
"""

import functools
import json

import numpy as np
import pytest

from surgjax.inference import AutomaticMaskGenerator
from tests.golden import automatic_masks_case as case

pytestmark = pytest.mark.golden


@functools.cache
def golden():
    return json.loads(case.FILE.read_text())


@pytest.mark.parametrize("name", case.CASES)
def test_same_records_in_the_same_order(name):
    case.compare(case.ours(name), golden()[name])


def test_the_cases_tell_options_apart():
    """Control: what an option changes is in the records, so that ignoring it would be seen."""
    for name in case.CASES.keys() - {"plain"}:
        with pytest.raises(AssertionError):
            case.compare(golden()["plain"], golden()[name])


def test_one_program_serves_all_batches_crops_and_refinements():
    for name in case.CASES:
        case.ours(name)
    decoders = [key for key in case.predictor().programs.compiled if key[0] == "mask decoder"]
    assert decoders == [("mask decoder", case.BASE["points_per_batch"], 1, 1)]


def test_the_batch_size_does_not_matter():
    options = case.options("refined")
    few = AutomaticMaskGenerator(case.predictor(), **options | {"points_per_batch": 5})
    case.compare([dict(record) for record in few.generate(case.image())], golden()["refined"])


@pytest.mark.parametrize("mode", ["binary_mask", "coco_rle"])
def test_output_modes_hold_the_same_masks(mode):
    from pycocotools import mask as coco_mask

    options = case.options("plain") | {"output_mode": mode}
    found = AutomaticMaskGenerator(case.predictor(), **options).generate(case.image())
    for record, want in zip(found, case.ours("plain"), strict=True):
        mask = record["segmentation"]
        if mode == "coco_rle":
            assert isinstance(mask["counts"], str)
            mask = coco_mask.decode(mask).astype(bool)
        assert mask.dtype == bool and mask.shape == (case.HEIGHT, case.WIDTH)
        np.testing.assert_array_equal(mask, case.unpacked(want["segmentation"]))
