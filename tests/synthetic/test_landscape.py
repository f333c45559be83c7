"""Landscapes: every layout paints, the lamp obeys its law, organs sit where they were placed."""

import numpy as np
import pytest

from surgjax.synthetic import ground as ground_module
from surgjax.synthetic import landscape, organs, shading, surfaces
from surgjax.synthetic.config import PRESETS

SIDE = 96
SURGERY = PRESETS["surgery"]


@pytest.mark.parametrize("layout", landscape.LAYOUTS)
def test_every_layout_paints_a_whole_view(layout):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        ground = landscape.draw(rng, SIDE, SURGERY.replace(layout=layout))
        assert ground.canvas.shape == (SIDE, SIDE, 3) and ground.canvas.dtype == np.float32
        assert np.isfinite(ground.canvas).all() and ground.canvas.min() >= 0
        tissue = ground.canvas[ground.canvas.max(-1) < 0.9]
        assert tissue[:, 0].mean() > tissue[:, 1].mean() > 0  # flesh is red
        assert ground.seats


def test_the_same_generator_gives_the_same_view():
    first, again = (landscape.draw(np.random.default_rng(3), SIDE, SURGERY) for _ in range(2))
    np.testing.assert_array_equal(first.canvas, again.canvas)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="cholecystectomy.*'hand'"):
        landscape.draw(np.random.default_rng(0), SIDE, SURGERY.replace(layout="hand"))


@pytest.mark.parametrize("kind", surfaces.SKINS)
def test_every_surface_is_a_colour_a_relief_and_a_gloss(kind):
    skin = surfaces.SKINS[kind](np.random.default_rng(0), 40, 56)
    assert skin.colour.shape == (40, 56, 3)
    assert skin.relief.shape == skin.gloss.shape == (40, 56)
    for field in (skin.colour, skin.relief, skin.gloss):
        assert field.dtype == np.float32 and np.isfinite(field).all()
    assert skin.gloss.min() >= 0
    assert skin.relief.std() > 0.01


def _lamp(**changes):
    plain = dict(x=40.0, y=20.0, reach=80.0, lean=(0.0, 0.0), sharp=80.0, fall=2.0)
    return shading.Lamp(**{**plain, "tint": (1.0, 1.0, 1.0), "span": 80.0, **changes})


def test_light_falls_with_the_square_of_the_distance():
    x, y, z, bright = _lamp().rays(41, 121)
    assert bright[20, 40] == pytest.approx(1.0)
    assert bright[20, 120] == pytest.approx(0.5, rel=1e-3)  # as far aside as above: twice r squared
    np.testing.assert_allclose(x * x + y * y + z * z, 1, rtol=1e-4)
    assert x[20, 100] < 0 < x[20, 0]  # towards the lamp


def test_what_lies_deeper_is_darker():
    colour = np.full((40, 80, 3), 0.5, np.float32)
    flat = np.zeros((40, 80), np.float32)
    near, far = (
        shading.moist(np.random.default_rng(0), colour, flat, flat, flat + depth, _lamp())
        for depth in (0.0, 1.0)
    )
    ratio = far[..., 0] / near[..., 0]  # an inverse square, dimmed a little more where it is red
    assert 0.23 < ratio.min() and ratio.max() < 0.27


def test_dry_tissue_has_no_highlights_and_wet_tissue_has():
    rng = np.random.default_rng(1)
    colour = np.full((80, 80, 3), 0.3, np.float32)
    relief = 2 * rng.random((80, 80), np.float32)
    zero = np.zeros((80, 80), np.float32)
    dry, wet = (
        shading.moist(np.random.default_rng(0), colour, relief, zero + gloss, zero, _lamp())
        for gloss in (0.0, 2.0)
    )
    assert dry.max() < 0.35 < wet.max()


@pytest.mark.parametrize("name", organs.SKIN)
def test_an_organ_sits_on_its_seat(name):
    rng = np.random.default_rng(2)
    ground = landscape.draw(rng, SIDE, SURGERY)
    place = np.repeat(np.eye(3)[None], 2, 0)
    centres = []
    for seed in range(6):
        ground.seats = [ground_module.Seat(name, 50.0, 40.0, 0.4, 36.0)]
        while ground.seats:  # an organ may also lie anywhere else
            made = organs.organ(np.random.default_rng(seed), ground, 2, place, SIDE)
            seed += 100
        assert made.name == name and made.kind == "anatomy"
        rows, columns = np.nonzero(made.pieces[0].sprite.alpha > 127)
        points = np.stack([columns, rows, np.ones_like(rows)], -1) @ made.pieces[0].matrices[0].T
        centres.append(points[:, :2].mean(0))
        assert len(rows) > 40
    assert np.abs(np.mean(centres, 0) - (50, 40)).max() < 9


def test_seats_turn_with_the_view():
    """A point of the unturned view and the field coordinates agree on where it is."""
    for seed in range(6):
        ground = ground_module.Ground(np.random.default_rng(seed), 64, 64)
        ground.seat("kidney", (0.6, 0.45), 0.0, 0.3)
        seat = ground.seats[0]
        row, column = round(seat.y), round(seat.x)
        assert ground.x[row, column] == pytest.approx(0.6, abs=0.02)
        assert ground.y[row, column] == pytest.approx(0.45, abs=0.02)
