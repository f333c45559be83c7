"""Colour changes against Pillow's, which the reference uses, and by hand."""

import collections

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest

from surgjax.data.colour_jitter import BRIGHTNESS, CONTRAST, SATURATION, ColourChain, Jitter
from surgjax.synthetic import generate_image

_PILLOW = {
    BRIGHTNESS: PIL.ImageEnhance.Brightness,
    CONTRAST: PIL.ImageEnhance.Contrast,
    SATURATION: PIL.ImageEnhance.Color,
}


def changed(frame, changes, is_grey=False):
    chain = ColourChain(frame)
    for what, factor in changes:
        chain.change(what, factor)
    if is_grey:
        chain.make_grey()
    out = np.empty_like(frame)
    chain.result(out)
    return out


def pillow(frame, changes):
    image = PIL.Image.fromarray(frame)
    for what, factor in changes:
        image = _PILLOW[what](image).enhance(factor)
    return np.asarray(image)


@pytest.fixture(scope="module")
def frame():
    """A generated frame with a white highlight, which clips."""
    image = generate_image(5, 96).frames_u8[0].copy()
    image[10:40, 20:60] = (255, 250, 240)
    image[60:70] = (230, 20, 40)
    return image


def test_each_change_by_hand():
    pixels = np.array([[[100, 50, 200], [0, 255, 10]]], np.uint8)
    assert changed(pixels, [(BRIGHTNESS, 1.1)]).tolist() == [[[110, 55, 220], [0, 255, 11]]]
    # grey levels 82.05 and 150.825, mean 116.44; 0.5 of it is added to half of the value
    assert changed(pixels, [(CONTRAST, 0.5)]).tolist() == [[[108, 83, 158], [58, 186, 63]]]
    assert changed(pixels, [(SATURATION, 0.0)]).tolist() == [[[82] * 3, [151] * 3]]
    assert changed(pixels, [], is_grey=True).tolist() == [[[82] * 3, [151] * 3]]
    assert changed(pixels, []).tolist() == pixels.tolist()


def exact(frame, changes):
    """The formulas in float, clipped after every change but never rounded."""
    x = frame.astype(np.float64)
    for what, factor in changes:
        grey = x @ [0.299, 0.587, 0.114]
        other = {BRIGHTNESS: 0.0, CONTRAST: grey.mean(), SATURATION: grey[..., None]}[what]
        x = np.clip(factor * x + (1 - factor) * other, 0, 255)
    return x


@pytest.mark.parametrize("what", [BRIGHTNESS, CONTRAST, SATURATION])
@pytest.mark.parametrize("factor", [0.6, 0.97, 1.03, 1.4])
def test_one_change_equals_pillows(frame, what, factor):
    difference = changed(frame, [(what, factor)]) - pillow(frame, [(what, factor)]).astype(int)
    assert np.abs(difference).max() <= 1  # Pillow truncates, and rounds its greys


@pytest.mark.parametrize("seed", range(20))
def test_chains_follow_the_formulas(frame, seed):
    rng = np.random.default_rng(seed)
    changes = Jitter(0.3, 0.3, 0.3).draw(rng) + Jitter(0.1, 0.05, 0.05).draw(rng)
    got = changed(frame, changes)
    # Up to four roundings, and OpenCV multiplies bytes by whole 1024ths.
    np.testing.assert_allclose(got, exact(frame, changes), atol=3)
    recipe = Jitter(0.1, 0.03, 0.03).draw(rng) + Jitter(0.1, 0.05, 0.05).draw(rng)
    difference = changed(frame, recipe) - pillow(frame, recipe).astype(int)
    assert np.abs(difference).max() <= 6 and np.abs(difference).mean() < 3.5  # six truncations


def test_what_clips_is_clipped_before_the_next_change():
    white = np.full((2, 2, 3), 250, np.uint8)
    white[0, 0] = 0
    got = changed(white, [(BRIGHTNESS, 1.2), (BRIGHTNESS, 0.5)])
    assert got[1, 1].tolist() == [128] * 3 or got[1, 1].tolist() == [127] * 3  # not 150


def test_order_is_random_and_factors_cover_their_range():
    drawn = [Jitter(0.1, 0.03, 0.05).draw(np.random.default_rng(seed)) for seed in range(600)]
    orders = collections.Counter(tuple(what for what, _ in changes) for changes in drawn)
    assert len(orders) == 6 and min(orders.values()) > 60
    for what, strength in ((BRIGHTNESS, 0.1), (CONTRAST, 0.03), (SATURATION, 0.05)):
        factors = np.array([dict(changes)[what] for changes in drawn])
        assert 1 - strength <= factors.min() < 1 - 0.95 * strength
        assert 1 + 0.95 * strength < factors.max() <= 1 + strength
    assert [what for what, _ in Jitter(0.1).draw(np.random.default_rng(0))] == [BRIGHTNESS]
    with pytest.raises(ValueError, match="Jitter.contrast: expected 0..1, found 2"):
        Jitter(contrast=2)
