"""Options of automatic masks: defaults, and what is refused."""

import dataclasses

import numpy as np
import pytest

from surgjax.inference import AutomaticMaskGenerator
from surgjax.inference.automatic_mask_options import AutomaticMaskOptions


def test_defaults_are_the_originals():
    """tests/parity compares with its signature, where it is at hand."""
    assert dataclasses.asdict(AutomaticMaskOptions()) == {
        "points_per_side": 32,
        "points_per_batch": 64,
        "pred_iou_thresh": 0.8,
        "stability_score_thresh": 0.95,
        "stability_score_offset": 1.0,
        "mask_threshold": 0.0,
        "box_nms_thresh": 0.7,
        "crop_n_layers": 0,
        "crop_nms_thresh": 0.7,
        "crop_overlap_ratio": 512 / 1500,
        "crop_n_points_downscale_factor": 1,
        "point_grids": None,
        "min_mask_region_area": 0,
        "output_mode": "binary_mask",
        "use_m2m": False,
        "multimask_output": True,
    }


GRID = np.full((3, 2), 0.5)


@pytest.mark.parametrize(
    "given,message",
    [
        (dict(points_per_side=None), "exactly one of points_per_side and point_grids"),
        (dict(point_grids=[GRID]), "exactly one of points_per_side and point_grids"),
        (dict(points_per_side=0), "points_per_side=0: 1 or more"),
        (dict(points_per_batch=0), "points_per_batch=0: 1 or more"),
        (dict(crop_n_layers=-1), "crop_n_layers=-1: 0 or more"),
        (dict(box_nms_thresh=1.5), "box_nms_thresh=1.5: a number from 0 to 1"),
        (dict(pred_iou_thresh=float("nan")), "pred_iou_thresh=nan: a finite number"),
        (dict(output_mode="png"), "output_mode='png': one of binary_mask, uncompressed_rle"),
        (dict(points_per_side=None, point_grids=[GRID], crop_n_layers=1), "point_grids: 2 expect"),
        (dict(points_per_side=None, point_grids=[GRID * 4]), r"from 0 to 1 expected, found \(3, 2"),
        (dict(points_per_side=None, point_grids=[GRID[:, :1]]), r"found \(3, 1\)"),
    ],
)
def test_bad_options_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        AutomaticMaskOptions(**given)


def test_images_that_are_none(image_predictor):
    generator = AutomaticMaskGenerator(image_predictor, points_per_side=1, points_per_batch=1)
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))):
        with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\) RGB"):
            generator.generate(image)


def test_no_mask_is_no_record_and_the_predictors_image_stays(image_predictor):
    image = np.zeros((48, 80, 3), np.uint8)
    image_predictor.set_image(image)
    kept = image_predictor._images
    options = dict(points_per_side=2, points_per_batch=4, pred_iou_thresh=2.0, crop_n_layers=1)
    assert AutomaticMaskGenerator(image_predictor, **options).generate(image) == []
    assert image_predictor._images is kept
