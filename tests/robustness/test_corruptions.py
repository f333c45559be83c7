"""The 18: golden sums, worse with severity, any size, values by hand, refusals."""

import functools

import cv2
import numpy as np
import pytest

from surgjax.robustness import CORRUPTIONS, SEVERITIES, blurs, corrupt, digital, fields, noises
from surgjax.robustness.corruptions import generator
from surgjax.synthetic import PRESETS, generate_image
from tests.golden import make_corruption_hashes as golden


def test_there_are_eighteen_with_five_levels_each():
    assert len(CORRUPTIONS) == 18
    groups = [c.group for c in CORRUPTIONS.values()]
    assert {g: groups.count(g) for g in groups} == dict(noise=4, blur=5, weather=5, digital=4)
    assert all(len(c.levels) == len(SEVERITIES) for c in CORRUPTIONS.values())


_summary = functools.cache(golden.summary)
GOLDEN = golden.json.loads(golden.FILE.read_text())


@pytest.mark.golden
@pytest.mark.parametrize("size", golden.SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_golden_means(name, size):
    """With any versions: means are what rounding leaves."""
    want = GOLDEN["corruptions"][name]["{}x{}".format(*size)]
    found = _summary(name, *size)
    np.testing.assert_allclose(found["mean"], want["mean"], rtol=0, atol=0.2)


@pytest.mark.golden
@pytest.mark.parametrize("size", golden.SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_golden_sums(name, size):
    """To the byte, with the versions of the golden."""
    if golden.versions() != GOLDEN["made_by"]:
        pytest.skip(f"made by {GOLDEN['made_by']}, here are {golden.versions()}")
    want = GOLDEN["corruptions"][name]["{}x{}".format(*size)]
    assert _summary(name, *size)["sha256"] == want["sha256"]


def test_the_golden_covers_everything_and_nothing_twice():
    assert list(GOLDEN["corruptions"]) == list(CORRUPTIONS)
    groups = [group for sizes in GOLDEN["corruptions"].values() for group in sizes.values()]
    sums = [single for group in groups for single in group["sha256"]]
    assert len(sums) == len(set(sums)) == 18 * 2 * 5


def _difference(a, b):
    return np.abs(a.astype(float) - b).mean()


def _lost_structure(a, b):
    """1 - mean SSIM with the usual window and constants."""
    a, b = a.astype(float), b.astype(float)

    def mean(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    both = mean(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 6.5) / (mean_a**2 + mean_b**2 + 6.5)
    return 1 - (light * (2 * both + 58.5) / (var_a + var_b + 58.5)).mean()


@pytest.fixture(scope="module")
def frames():
    return [generate_image(10_000_300 + i, 224, PRESETS["surgery"]).frames_u8[0] for i in (0, 2)]


# The constants of ImageNet-C trade light for veil in frost and fog, and saturation turns from too
# little to too much: there the structure that is left falls, not the mean difference.
STRUCTURE = {"frost", "fog", "saturate"}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_picture_is_further_from_the_clean_one_with_every_severity(name, frames):
    measure = _lost_structure if name in STRUCTURE else _difference
    for seed, frame in enumerate(frames):
        away = [measure(corrupt(frame, name, s, seed), frame) for s in SEVERITIES]
        assert away[0] > 0
        if name == "spatter":  # water up to 3, from 4 on mud: two scales, each rising
            assert np.diff(away[:3]).min() > 0 and np.diff(away[3:]).min() > 0, away
        else:
            assert np.diff(away).min() > 0, away


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_same_seed_same_bytes_and_the_frame_is_left_alone(name, frames):
    frame = frames[0][:200].copy()
    before = frame.copy()
    once, again, other = (corrupt(frame, name, 4, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(once, again)
    assert once.dtype == np.uint8 and once.shape == frame.shape
    fixed = {"defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "pixelate",
             "jpeg_compression", "saturate"}  # fmt: skip
    assert (once == other).all() == (name in fixed)
    film = [corrupt(frame, name, 4, (3, t)) for t in (0, 1)]
    assert (film[0] == film[1]).all() == (name in fixed)


@pytest.mark.parametrize("shape", [(1, 1), (2, 12), (37, 5)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_any_size(name, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for severity in (1, 5):
        assert corrupt(image, name, severity).shape == image.shape


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_flat_picture_divides_by_nothing(name, value):
    with np.errstate(all="raise", under="ignore"):
        for severity in SEVERITIES:
            corrupt(np.full((48, 64, 3), value, np.uint8), name, severity)


# Noise is per pixel at every size, and blocks of JPEG are 8 pixels at every size.
SCALED = [n for n, c in CORRUPTIONS.items() if c.group != "noise" and n != "jpeg_compression"]


@pytest.mark.parametrize("name", SCALED)
def test_a_picture_of_twice_the_size_looks_as_damaged(name, frames):
    small = frames[0]
    large = cv2.resize(small, (448, 448), interpolation=cv2.INTER_LINEAR)
    damaged = cv2.resize(corrupt(large, name, 5), (224, 224), interpolation=cv2.INTER_AREA)
    same = _difference(damaged, corrupt(small, name, 5))
    assert same < 0.4 * _difference(corrupt(small, name, 5), small)


def test_constants_can_be_taken_as_pixels():
    image = golden.picture(448, 500)
    as_they_stand = corrupt(image, "defocus_blur", 5, reference_side=None)
    assert (as_they_stand == corrupt(image, "defocus_blur", 5, reference_side=448)).all()
    assert _difference(as_they_stand, image) < _difference(corrupt(image, "defocus_blur", 5), image)


def test_noise_by_its_definition():
    grey = np.full((300, 300, 3), 128 / 255)
    for level in noises.GAUSSIAN:
        found = noises.gaussian_noise(grey, level, np.random.default_rng(0), 1.0)
        assert found.std() == pytest.approx(level, rel=0.02)
    for level in noises.SPECKLE:
        found = noises.speckle_noise(grey, level, np.random.default_rng(0), 1.0)
        assert found.std() == pytest.approx(level * 128 / 255, rel=0.02)
    for level in noises.SHOT:
        found = noises.shot_noise(grey, level, np.random.default_rng(0), 1.0)
        assert found.mean() == pytest.approx(128 / 255, rel=0.02)
        assert found.var() == pytest.approx(128 / 255 / level, rel=0.03)
    for level in noises.IMPULSE:
        found = noises.impulse_noise(grey, level, np.random.default_rng(0), 1.0)
        assert (found == 0).mean() == pytest.approx(level / 2, rel=0.1)
        assert (found == 1).mean() == pytest.approx(level / 2, rel=0.1)


def test_contrast_brightness_and_saturation_by_hand():
    image = np.zeros((1, 2, 3), np.uint8)
    image[0] = (200, 100, 50), (100, 100, 50)
    # Means 150, 100, 50: red keeps 0.4 of its distance of 50.
    assert corrupt(image, "contrast", 1).tolist() == [[[170, 100, 50], [130, 100, 50]]]
    # The brightest channel rises by 0.1 * 255 = 25.5, the others in proportion.
    assert corrupt(image, "brightness", 1).tolist() == [[[226, 113, 56], [126, 126, 63]]]
    # Saturation 0.75 and 0.5, times 0.3: 0.225 and 0.15.
    assert corrupt(image, "saturate", 1).tolist() == [[[200, 170, 155], [100, 100, 85]]]
    assert corrupt(image, "saturate", 5).tolist() == [[[200, 67, 0], [100, 100, 0]]]
    grey = np.full((1, 1, 3), 100, np.uint8)  # without a hue, which counts as red
    assert corrupt(grey, "saturate", 4).tolist() == [[[100, 90, 90]]]
    assert corrupt(np.zeros((1, 1, 3), np.uint8), "brightness", 2).tolist() == [[[51] * 3]]


def test_pixels_of_the_pixelated_picture_have_the_size_of_the_constants():
    image = golden.picture(448, 448)
    found = corrupt(image, "pixelate", 5).reshape(56, 8, 56, 8, 3)  # 4 pixels of 224
    assert (found == found[:, :1, :, :1]).all()


def test_blurs_keep_the_light():
    point = np.zeros((65, 65))
    point[32, 32] = 1
    for blurred in (
        fields.disc_blur(point, 3.3),
        fields.gaussian_blur(point, 2.5),
        fields.motion_blur(point, 10, 5, 0.7),
    ):
        assert blurred.sum() == pytest.approx(1, abs=1e-9)
    disc = fields.disc_blur(point, 3)
    assert disc[32, 32] == pytest.approx(1 / (np.pi * 9), rel=0.05) and disc[32, 37] == 0
    trail = fields.motion_blur(point, 10, 5, 0.0)  # to one side only, along the row
    assert np.flatnonzero(trail.sum(1) > 1e-12).tolist() == [32]
    assert np.ptp(np.flatnonzero(trail[32] > 1e-12)) == 20


def test_glass_moves_no_mask():
    """Pixels change places: as much goes one way as the other, and none is lost."""
    for _, reach, times in blurs.GLASS:
        moved = blurs._shuffled(np.random.default_rng(0), 80, 80, reach, times)
        places = np.mgrid[:80, :80] + moved
        assert len(np.unique(places[0] * 80 + places[1])) == 80 * 80
        assert np.abs(moved.mean((1, 2))).max() < 0.1 < np.abs(moved).mean()


def test_plasma_is_a_field_from_zero_to_one_and_rougher_when_asked():
    smooth = fields.plasma(np.random.default_rng(0), 100, 150, 3)
    rough = fields.plasma(np.random.default_rng(0), 100, 150, 1.3)
    assert smooth.shape == (100, 150) and smooth.min() >= 0 and smooth.max() <= 1
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(smooth)).mean()
    assert fields.plasma(np.random.default_rng(0), 1, 900, 2).shape == (1, 900)


def test_jpeg_is_pillows_own(frames, tmp_path):
    from PIL import Image

    Image.fromarray(frames[0]).save(tmp_path / "a.jpg", quality=digital.JPEG[2])
    np.testing.assert_array_equal(
        corrupt(frames[0], "jpeg_compression", 3), np.asarray(Image.open(tmp_path / "a.jpg"))
    )


def test_refusals():
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="corruption 'smoke' is unknown; there are gaussian_noise"):
        corrupt(image, "smoke", 1)
    for severity in (0, 6, 2.5):
        with pytest.raises(ValueError, match="severity: expected 1 to 5"):
            corrupt(image, "fog", severity)
    for wrong in (image[..., 0], image.astype(float), image[:0], np.zeros((8, 8, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"image_u8: expected uint8\[H, W, 3\], found"):
            corrupt(wrong, "fog", 1)
    for seed in (-1, (), (1, -2), 0.5, "7"):
        with pytest.raises(ValueError, match="seed: expected whole numbers from 0"):
            corrupt(image, "fog", 1, seed)
    with pytest.raises(ValueError, match="reference_side: expected pixels or None, found 0"):
        corrupt(image, "fog", 1, reference_side=0)


def test_every_name_has_a_stream_of_its_own():
    first = {generator(name, 0).random() for name in CORRUPTIONS}
    assert len(first) == 18
    assert generator("fog", 5).random() == generator("fog", (5,)).random()
