"""Shutter, fields and thin colour, by hand."""

import numpy as np
import pytest

from surgjax.synthetic import recorder


def test_a_still_camera_does_not_smear():
    image = np.random.default_rng(0).random((16, 16, 3), np.float32)
    assert recorder.shutter_blur(image, (0.0, 0.0)) is image
    assert recorder.shutter_blur(image, (1.2, -1.2)) is image


def test_a_smear_runs_along_the_movement_and_keeps_the_light():
    dot = np.zeros((41, 41, 3), np.float32)
    dot[20, 20] = 1
    smeared = recorder.shutter_blur(dot, (16.0, 0.0), 0.5)
    assert smeared.sum() == pytest.approx(3.0, abs=1e-4)
    rows, columns = np.nonzero(smeared[..., 0] > 0.02)
    assert set(rows) == {20}
    assert columns.max() - columns.min() == pytest.approx(8, abs=1)
    assert np.mean(columns) == 20


def test_odd_rows_are_of_the_frame_before():
    now, before = np.full((6, 4, 3), 9, np.uint8), np.full((6, 4, 3), 5, np.uint8)
    woven = recorder.interlace(now, before)
    assert woven[:, 0, 0].tolist() == [9, 5, 9, 5, 9, 5]
    assert recorder.interlace(now, None) is now


@pytest.mark.parametrize("factor", (2, 3, 4))
def test_thin_colour_keeps_brightness(factor):
    picture = np.random.default_rng(0).integers(60, 190, (24, 24, 3), np.uint8)
    thin = recorder.subsample_chroma(picture, factor)
    weights = np.array((0.299, 0.587, 0.114))
    grey, before = thin @ weights, picture @ weights
    assert np.abs(grey - before).mean() < 3
    assert np.std(thin[..., 0] - grey) < 0.8 * np.std(picture[..., 0] - before)
    assert recorder.subsample_chroma(picture, 1) is picture


def test_a_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="factor"):
        recorder.subsample_chroma(np.zeros((4, 4, 3), np.uint8), 0)
