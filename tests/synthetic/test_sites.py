"""Sites: the same style for the same number, narrower than the config, apart from each other."""

import dataclasses

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, generate_image
from surgjax.synthetic.jaws import KINDS
from surgjax.synthetic.sites import site_config


def test_a_site_is_a_part_of_its_config_and_repeats():
    for preset in ("wide", "surgery"):
        config = PRESETS[preset]
        for site in range(6):
            made = site_config(config, site)
            assert made == site_config(config, site)
            for name in ("exposure", "gamma", "vignette", "noise", "blur_px", "tissue_gloss"):
                (low, high), (site_low, site_high) = getattr(config, name), getattr(made, name)
                assert low <= site_low <= site_high <= high
                assert site_high - site_low < 0.2 * (high - low) + 1e-9
            assert set(made.favourite_kinds) <= set(KINDS) and len(made.favourite_kinds) == 3
    assert site_config(PRESETS["wide"], 0) != site_config(PRESETS["wide"], 1)


def test_sites_differ_more_between_than_within():
    """Colour, brightness at the border and sharpness: variance between sites over that within.

    Ten pictures of each of eight sites, the same ten scenes at each. Were sites nothing but noise,
    the ratio of the variance of means (times ten) to that within would be about 1.
    """
    scenes, sites = range(10), range(8)
    config = PRESETS["clear"].replace(favourite_kinds=())

    def features(frame):
        frame = frame.astype(float) / 255
        lit = frame[frame.max(-1) > 0.02]
        tone = np.log(lit.mean(0) + 0.02)
        fine = np.abs(np.diff(frame.mean(-1), axis=1)).mean()
        return np.array([tone[0] - tone[1], tone[2] - tone[1], np.log(fine + 1e-4)])

    table = np.array(
        [
            [
                features(generate_image(s, 96, _same_scene(config, site)).frames_u8[0])
                for s in scenes
            ]
            for site in sites
        ]
    )  # [site, scene, feature]
    centred = table - table.mean(0)  # what the scene itself brings
    between = 10 * centred.mean(1).var(0, ddof=1)
    within = (centred - centred.mean(1, keepdims=True)).var((0, 1), ddof=1)
    print("between over within:", (between / within).round(1))
    assert (between / within > 4).all()


def _same_scene(config, site):
    return dataclasses.replace(site_config(config, site), favourite_kinds=())


def test_a_sites_favourites_turn_up_more_often():
    config = PRESETS["simple"]
    liked = ("scissors", "probe")
    share = []
    for favourite in ((), liked):
        made = config.replace(favourite_kinds=favourite, anatomy=(0, 0))
        kinds = [k for s in range(60) for k in generate_image(s, 32, made).object_classes]
        share.append(np.mean([kind in liked for kind in kinds]))
    assert share[1] > 1.5 * share[0]


def test_loss_of_detail_blurs_the_picture_and_nothing_else():
    sharp = generate_image(3, 96, PRESETS["simple"])
    dull = generate_image(3, 96, PRESETS["simple"].replace(detail=(0.3, 0.3)))
    np.testing.assert_array_equal(sharp.label_maps, dull.label_maps)
    fine = [np.abs(np.diff(c.frames_u8.astype(float), axis=2)).mean() for c in (sharp, dull)]
    assert fine[1] < 0.8 * fine[0]


def test_unknown_sites_and_kinds_are_refused():
    with pytest.raises(ValueError, match="site: expected 0 or more"):
        site_config(PRESETS["wide"], -1)
    with pytest.raises(ValueError, match="favourite_kinds"):
        generate_image(0, 32, PRESETS["wide"].replace(favourite_kinds=("spoon",)))
