"""ImagePredictor: shapes, batches, refinement, refusals."""

import copy

import numpy as np
import pytest

from surgjax.inference import ImagePredictor
from surgjax.testing import debug_config, lively_params, moving_squares

POINT = dict(point_coords=[[20, 20]], point_labels=[1])


@pytest.fixture
def predictor(image_predictor):
    image_predictor.set_image(moving_squares(1)[0])
    return image_predictor


def test_three_candidates_or_one(predictor):
    masks, ious, low_res = predictor.predict(**POINT)
    assert masks.shape == (3, 48, 80) and masks.dtype == bool
    assert ious.shape == (3,) and low_res.shape == (3, 16, 16)
    assert np.abs(low_res).max() <= 32
    single, iou, _ = predictor.predict(**POINT, multimask_output=False)
    assert single.shape == (1, 48, 80) and iou.shape == (1,)


def test_logits_are_the_masks_before_the_threshold(predictor):
    masks, _, _ = predictor.predict(**POINT)
    logits, _, _ = predictor.predict(**POINT, return_logits=True)
    np.testing.assert_array_equal(masks, logits > 0)
    assert masks.any() and not masks.all()


def test_many_boxes_at_once_equal_one_by_one(predictor):
    boxes = np.array([[1, 2, 30, 40], [5, 5, 20, 20], [30, 8, 70, 40]])
    masks, ious, low_res = predictor.predict(box=boxes, multimask_output=False)
    assert masks.shape == (3, 1, 48, 80)
    for i, box in enumerate(boxes):
        _, iou, low = predictor.predict(box=box, multimask_output=False)
        np.testing.assert_allclose(low_res[i], low, atol=1e-3)
        np.testing.assert_allclose(ious[i], iou, atol=1e-5)


def test_a_mask_refines(predictor):
    _, _, low_res = predictor.predict(**POINT)
    again, _, _ = predictor.predict(**POINT, mask_input=low_res[:1], return_logits=True)
    before, _, _ = predictor.predict(**POINT, return_logits=True)
    assert np.abs(again - before).max() > 1e-3
    alone, _, _ = predictor.predict(mask_input=low_res[:1])
    assert alone.shape == (3, 48, 80)


def test_a_mask_alone_has_no_point_tokens():
    """As SAM 2's image predictor has it: the "not a point" embedding then plays no part."""
    config = debug_config()
    params = lively_params(config)
    changed = copy.deepcopy(params)
    table = changed["sam_prompt_encoder"]["not_a_point_embed"]
    table["embedding"] = table["embedding"] + 1.0
    answers = []
    for each in (params, changed):
        predictor = ImagePredictor(each, config)
        predictor.set_image(moving_squares(1)[0])
        mask = np.linspace(-8, 8, 256, dtype=np.float32).reshape(1, 16, 16)
        answers.append((predictor.predict(mask_input=mask), predictor.predict(**POINT)))
    (alone, point), (alone_changed, point_changed) = answers
    np.testing.assert_array_equal(alone[2], alone_changed[2])
    assert not np.array_equal(point[2], point_changed[2])


def test_relative_coordinates(predictor):
    a, _, _ = predictor.predict(**POINT, return_logits=True)
    relative = dict(point_coords=[[20 / 80, 20 / 48]], point_labels=[1])
    b, _, _ = predictor.predict(**relative, return_logits=True, normalize_coords=False)
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_images_of_different_sizes(predictor):
    images = [moving_squares(1)[0], moving_squares(1, 64, 40, seed=1)[0]]
    predictor.set_image_batch(images)
    boxes = [np.array([1, 2, 30, 40]), np.array([[1, 2, 30, 40], [4, 4, 20, 60]])]
    masks, ious, _ = predictor.predict_batch(box_batch=boxes)
    assert masks[0].shape == (3, 48, 80) and masks[1].shape == (2, 3, 64, 40)
    predictor.set_image(images[0])
    np.testing.assert_array_equal(predictor.predict(box=boxes[0])[1], ious[0])


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({}, "at least one of point_coords, box and mask_input"),
        (dict(point_labels=[1]), "point_labels without point_coords"),
        (dict(point_coords=[[1, 2]], point_labels=[1, 0]), "a label for each"),
        (dict(box=[1, 2, 3]), r"box: expected \(4,\)"),
        (dict(box=np.zeros((0, 4))), r"box: expected \(4,\) or \(n, 4\), found \(0, 4\)"),
        (dict(box=[1, 2, np.inf, 4]), "expected finite numbers"),
        (dict(point_coords=np.zeros((0, 2))), r"expected \(p, 2\) or \(n, p, 2\)"),
        (dict(point_coords=[[np.nan, 2]], point_labels=[1]), "expected finite numbers"),
        (dict(point_coords=[[1, 2]], point_labels=[7]), r"point_labels \[\[?7\]?\]: expected 1"),
        (dict(point_coords=[[1, 2]], point_labels=[0.7]), "point_labels .*0.7.*: expected 1"),
        (dict(mask_input=np.zeros((1, 9, 9))), r"expected logits \(1, 16, 16\)"),
        (dict(box=np.ones((2, 4)), point_coords=[[[1, 1]]], point_labels=[[1]]), "2 boxes for 1"),
    ],
)
def test_bad_prompts_are_refused(predictor, arguments, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(**arguments)


def test_bad_images_are_refused(image_predictor):
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\) RGB, found float64 \(4, 4\)"):
        image_predictor.set_image(np.zeros((4, 4)))
    image_predictor._images = []
    with pytest.raises(RuntimeError, match="call set_image"):
        image_predictor.predict(**POINT)
