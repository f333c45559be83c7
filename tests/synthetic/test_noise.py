"""Random fields and light: known statistics, known values on simple solids."""

import numpy as np
import pytest

from surgjax.synthetic import noise, shading
from surgjax.synthetic.sheet import COLOURS, contact_sheet, outline


@pytest.mark.parametrize("cells", [2, 6, 40])
def test_smooth_noise_is_centred_and_has_the_asked_scale(cells):
    rng = np.random.default_rng(0)
    fields = np.stack([noise.smooth_noise(rng, 120, 160, cells) for _ in range(40)])
    assert fields.shape == (40, 120, 160) and fields.dtype == np.float32
    assert abs(fields.mean()) < 0.15
    assert 0.5 < fields.std() < 1.1
    # Neighbours half a blob apart are alike, those three blobs apart are not.
    near, far = max(1, 160 // cells // 4), min(150, 3 * 160 // cells)
    near_match = np.corrcoef(fields[:, :, near:].ravel(), fields[:, :, :-near].ravel())[0, 1]
    far_match = np.corrcoef(fields[:, :, far:].ravel(), fields[:, :, :-far].ravel())[0, 1]
    assert near_match > 0.6
    assert abs(far_match) < 0.3


def test_smoothstep_by_hand():
    want = [0, 0, 0.5, 1, 1]
    np.testing.assert_allclose(noise.smoothstep(np.array([-1, 0, 1, 2, 3.0]), 0, 2), want)


def test_log_uniform_has_as_many_draws_per_octave():
    rng = np.random.default_rng(1)
    draws = np.array([noise.log_uniform(rng, (1, 16)) for _ in range(4000)])
    assert draws.min() >= 1 and draws.max() <= 16
    np.testing.assert_allclose(np.histogram(draws, (1, 2, 4, 8, 16))[0] / 4000, 0.25, atol=0.03)


def test_a_flat_field_faces_the_camera_and_a_slope_leans_away():
    nx, ny, nz = shading.normals(np.zeros((8, 8), np.float32), 1.0)
    assert (nx == 0).all() and (ny == 0).all() and (nz == 1).all()
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))  # rises by one per pixel in x
    nx, ny, nz = shading.normals(ramp, 1.0)
    assert nx[4, 4] == pytest.approx(-np.sqrt(0.5)) and nz[4, 4] == pytest.approx(np.sqrt(0.5))


def test_a_bar_is_round_across_and_level_along():
    mask = np.zeros((21, 60), np.uint8)
    mask[5:16] = 255
    height = shading.solid_height(mask)
    assert (height[:5] == 0).all() and (height[16:] == 0).all()
    column = height[5:16, 30]
    assert column.argmax() == 5 and column[0] < column[2] < column[5]
    assert np.ptp(height[10, 15:45]) < 1e-5


def test_outline_marks_the_border_and_leaves_the_inside():
    frame, labels = np.zeros((12, 12, 3), np.uint8), np.zeros((12, 12), np.uint8)
    labels[3:9, 3:9] = 2
    drawn = outline(frame, labels)
    np.testing.assert_array_equal(drawn[3, 5], COLOURS[2])
    assert (drawn[5, 5] == 0).all() and (drawn[0, 0] == 0).all()


def test_contact_sheet_has_a_tile_for_everything():
    assert contact_sheet(0, columns=2, rows=1, clips=1, tile=40).shape == (80, 80, 3)
