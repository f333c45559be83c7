"""Exact distances to a mask's border: by hand, and equal to OpenCV's."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.ops.distance_transform import squared_depths
from tests.prompts.error_regions import random_masks


@pytest.fixture
def no_ipp():
    """OpenCV's own code: Intel IPP, in its wheels for x86, rounds by up to one unit more."""
    if not hasattr(cv2, "ipp"):
        yield
        return
    before = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    yield
    cv2.ipp.setUseIPP(before)


def opencv_depths(mask):
    """Float distances [H, W] of a mask with one pixel of background around the image."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1]


def test_depths_by_hand():
    mask = np.ones((3, 5), bool)
    ones = [1] * 5
    found = squared_depths(jnp.array(mask))
    np.testing.assert_array_equal(found, [ones, [1, 4, 4, 4, 1], ones])
    mask[1, 2] = False
    found = squared_depths(jnp.array(mask))
    np.testing.assert_array_equal(found, [ones, [1, 1, 0, 1, 1], ones])
    wide = np.ones((9, 9), bool)
    wide[3, 2] = False  # one row up and two columns left of the middle
    depths = np.array(squared_depths(jnp.array(wide)))
    assert depths[4, 4] == 5 and depths[4, 3] == 2 and depths[6, 4] == 9 and depths[0, 0] == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (17, 64), (64, 64), (90, 33)])
def test_equal_to_opencv_to_the_last_bit(shape, no_ipp):
    masks = random_masks(sum(shape), 20, *shape)
    masks[0], masks[1] = False, True
    found = np.array(jax.jit(squared_depths)(jnp.array(masks)))
    expected = np.stack([opencv_depths(mask) for mask in masks])
    np.testing.assert_array_equal(np.sqrt(found.astype(np.float32)), expected)
    flat = expected.reshape(len(masks), -1)
    np.testing.assert_array_equal(found.reshape(len(masks), -1).argmax(1), flat.argmax(1))


def test_equal_to_any_build_of_opencv_as_whole_squares():
    masks = random_masks(0, 60, 64, 64)
    expected = np.stack([opencv_depths(mask) for mask in masks]).astype(np.float64)
    np.testing.assert_array_equal(squared_depths(jnp.array(masks)), np.rint(expected**2))


def test_leading_axes_are_independent():
    masks = random_masks(3, 6, 24, 20)
    flat = np.array(squared_depths(jnp.array(masks)))
    np.testing.assert_array_equal(
        squared_depths(jnp.array(masks.reshape(2, 3, 24, 20))), flat.reshape(2, 3, 24, 20)
    )
    order = np.array([4, 0, 5, 2, 1, 3])
    np.testing.assert_array_equal(squared_depths(jnp.array(masks[order])), flat[order])
