"""Hole filling, clean-up and separation of masks, by hand."""

import numpy as np
import pytest

from surgjax.ops import masks


def ring(size=9):
    logits = np.full((size, size), -3.0, np.float32)
    logits[1:-1, 1:-1] = 2.0
    logits[4, 4] = -1.0  # a hole of one pixel
    return logits


def test_only_small_holes_are_filled():
    logits = ring()
    filled = masks.fill_holes(logits, 1)
    assert filled[4, 4] == np.float32(0.1)
    assert filled[0, 0] == -3.0  # the outside is a component too, but a large one
    logits[4, 5] = -1.0
    assert masks.fill_holes(logits, 1)[4, 4] == -1.0
    assert masks.fill_holes(logits, 2)[4, 5] == np.float32(0.1)


def test_components_touch_at_corners():
    logits = np.full((6, 6), 5.0, np.float32)
    logits[1, 1] = logits[2, 2] = -1.0
    assert (masks.fill_holes(logits, 1) < 0).sum() == 2  # one component of two pixels


def test_no_filling_returns_the_very_array():
    logits = ring()
    assert masks.fill_holes(logits, 0) is logits


def test_clean_mask_removes_specks_and_holes():
    logits = ring()
    logits[0, 0] = 4.0  # touches the square at a corner: not a speck
    speck = logits.copy()
    speck[1:, 1:] = -3.0
    assert masks.clean_mask(speck, 0, 1)[0, 0] == -10.0
    assert masks.clean_mask(logits, 1, 1)[4, 4] == 10.0
    assert masks.clean_mask(logits, 1, 1)[0, 0] == 4.0


def test_highest_logit_wins():
    a = np.array([[[1.0, 5.0]], [[2.0, -20.0]]], np.float32)
    np.testing.assert_array_equal(masks.separate_objects(a), [[[-10.0, 5.0]], [[2.0, -20.0]]])
    np.testing.assert_array_equal(masks.separate_objects(a[:1]), a[:1])


def test_mask_fit_keeps_a_fitting_mask_and_thresholds_the_rest():
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    assert masks.fit_mask(mask, 8).dtype == bool
    np.testing.assert_array_equal(masks.fit_mask(mask, 4)[:, :2], True)
    np.testing.assert_array_equal(masks.fit_mask(mask, 4)[:, 2:], False)


def test_stability_is_the_iou_of_two_thresholds():
    logits = np.array([[-3.0, 0.0, 0.5], [1.0, 1.5, 3.0]], np.float32)
    assert masks.stability_score(logits, 0.0, 1.0) == np.float32(2 / 5)  # above 1, above -1
    assert masks.stability_score(logits, 1.75, 0.75) == np.float32(1 / 2)
    assert np.isnan(masks.stability_score(logits, 9.0, 1.0))


def test_bounding_boxes_name_the_last_pixel_inside():
    mask = np.zeros((6, 8), bool)
    assert masks.bounding_box(mask) == (0, 0, 0, 0)
    mask[2:4, 3] = True
    assert masks.bounding_box(mask) == (3, 2, 3, 3)
    mask[5, 7] = True
    assert masks.bounding_box(mask) == (3, 2, 7, 5)


def test_label_map_takes_the_highest_logit():
    logits = np.full((2, 1, 2, 3), -1.0, np.float32)
    logits[0, 0, 0] = (2.0, 3.0, 0.0)  # 0 is background
    logits[1, 0, 0] = (1.0, 4.0, -5.0)
    labels = masks.label_map(logits, [7, 200])
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, [[7, 200, 0], [0, 0, 0]])
    assert not masks.label_map(logits[:0], []).any()


@pytest.mark.parametrize("ids", [[1], [0, 1], [1, 256]])
def test_label_map_refuses_what_does_not_fit(ids):
    with pytest.raises(ValueError, match="object"):
        masks.label_map(np.zeros((2, 1, 2, 3), np.float32), ids)
