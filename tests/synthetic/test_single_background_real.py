"""Single-background synthesis from real frames, where they are beside the checkout."""

from pathlib import Path

import numpy as np
import pytest

from surgjax.synthetic.single_background import (
    SingleBackground,
    SingleBackgroundConfig,
    read_background,
    read_cutouts,
)
from surgjax.synthetic.single_background.blending import BLENDINGS

FRAMES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "endovis18_frames"
CATEGORIES = {
    1: "bipolar forceps",
    2: "prograsp forceps",
    3: "large needle driver",
    4: "monopolar curved scissors",
    5: "ultrasound probe",
    6: "suction instrument",
    7: "clip applier",
}

pytestmark = pytest.mark.skipif(
    not FRAMES.is_dir(), reason="EndoVis 2018 frames are not at ../shared/data/endovis18_frames"
)


@pytest.fixture(scope="module")
def cutouts():
    return read_cutouts(FRAMES, CATEGORIES)


def test_every_category_is_cut_out(cutouts):
    assert {cutout.label for cutout in cutouts} == set(CATEGORIES)
    for cutout in cutouts:
        assert cutout.image.shape == (*cutout.mask.shape, 3) == (1024, 1280, 3)
        assert cutout.mask.mean() >= 0.005 and CATEGORIES[cutout.label] in cutout.name


@pytest.mark.parametrize("blending", sorted(BLENDINGS))
def test_images_of_real_frames(cutouts, blending):
    config = SingleBackgroundConfig(size=128, variants=6, p_two=0.5, blendings=(blending,))
    background = read_background(FRAMES / "background.jpg")
    generator = SingleBackground(background, cutouts, config)
    for index in range(12):
        made = generator.image(index)
        tracks = range(1, len(made.categories) + 1)
        assert made.frames_u8.shape == (1, 128, 128, 3) and made.blending == blending
        assert all((made.label_maps == k).mean() >= config.min_area for k in tracks)
        assert set(np.unique(made.label_maps)) == {0, *tracks}
    saturation = []  # metal is grey and tissue red, so truth and pixels must agree in this
    for index in range(40):
        made = generator.image(index)
        spread = np.ptp(made.frames_u8[0].astype(int), axis=-1)
        inside = made.label_maps[0] > 0
        saturation.append((spread[inside].mean(), spread[~inside].mean()))
    tool, tissue = np.mean(saturation, 0)
    assert tool < 0.75 * tissue


def test_a_pseudo_video_of_real_frames(cutouts):
    config = SingleBackgroundConfig(size=128, variants=6, p_two=1.0)
    generator = SingleBackground(read_background(FRAMES / "background.jpg"), cutouts, config)
    clip = generator.clip(0, 16)
    assert clip.frames_u8.shape == (16, 128, 128, 3) and len(clip.categories) == 2
    for track in (1, 2):
        masks = clip.label_maps == track
        overlap = [(a & b).sum() / (a | b).sum() for a, b in zip(masks, masks[1:], strict=False)]
        assert min(overlap) > 0.4 and not np.array_equal(masks[0], masks[8])
