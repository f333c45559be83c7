"""The looks of "surgery" and "abdomen": all kinds, effects that leave the truth, figures."""

import numpy as np
import pytest

from surgjax.synthetic import (
    SceneConfig,
    capillaries,
    generate_clip,
    generate_image,
    jaws,
    metalwork,
    noise,
    props,
    sheet,
    statistics,
)
from surgjax.synthetic.config import PRESETS

ABDOMEN = PRESETS["abdomen"]
EFFECTS = dict(
    p_auto_exposure=0.0,
    p_plume=0.0,
    p_lens_blood=0.0,
    p_lens_fog=0.0,
    p_defocus=0.0,
    p_shutter_blur=0.0,
    p_interlace=0.0,
    p_thin_colour=0.0,
    p_quality_drift=0.0,
)
LOOKS = (*EFFECTS, "layout", "p_blood_pool", "p_trickle", "p_scorch", "p_machined")


def test_every_kind_of_instrument_prop_and_organ_appears():
    names, classes = set(), set()
    crowded = ABDOMEN.replace(instruments=(4, 4), anatomy=(3, 3), accessories=(4, 4))
    for seed in range(40):
        clip = generate_image(seed, 48, crowded)
        names.update(clip.object_names)
        classes.update(clip.object_classes)
    wanted = {jaws.NAMES.get(kind, kind) for kind in jaws.KINDS}
    assert wanted <= names, wanted - names
    assert set(props.KINDS) <= names, set(props.KINDS) - names
    assert {"gallbladder", "kidney", "bowel", "tumour"} <= names
    assert {"anatomy", "accessory"} <= classes


def test_same_seed_same_bytes():
    first, again = (generate_clip(8, 3, 96, ABDOMEN) for _ in range(2))
    np.testing.assert_array_equal(first.frames_u8, again.frames_u8)
    np.testing.assert_array_equal(first.label_maps, again.label_maps)


@pytest.mark.parametrize("seed", range(4))
def test_effects_change_the_picture_and_not_the_truth(seed):
    base = ABDOMEN.replace(p_scope_circle=0.0, p_bars=0.0)
    clean = generate_clip(seed, 6, 80, base.replace(**EFFECTS))
    worst = generate_clip(seed, 6, 80, base.replace(**dict.fromkeys(EFFECTS, 1.0)))
    np.testing.assert_array_equal(clean.label_maps, worst.label_maps)
    np.testing.assert_array_equal(clean.part_maps, worst.part_maps)
    assert clean.object_names == worst.object_names
    assert np.abs(clean.frames_u8.astype(float) - worst.frames_u8).mean() > 3


def test_the_rim_of_the_scope_hides_and_changes_nothing_else():
    whole, ringed = (
        generate_clip(5, 2, 96, ABDOMEN.replace(p_scope_circle=p, p_bars=0.0)) for p in (0.0, 1.0)
    )
    behind = (ringed.frames_u8.max(-1) < 12) & (ringed.label_maps == 0)
    shown = ~behind & (whole.label_maps > 0)
    assert (ringed.label_maps[shown] > 0).mean() > 0.97
    assert behind[:, 0, 0].all()


def test_parts_lie_on_instruments_only():
    for seed in range(12):
        clip = generate_image(seed, 80, ABDOMEN)
        labels, parts = clip.label_maps[0], clip.part_maps[0]
        for label, kind in zip(clip.object_ids, clip.object_classes, strict=True):
            inside = parts[labels == label]
            assert (inside > 0).all() if kind in jaws.KINDS else (inside == 0).all()
        assert (parts[labels == 0] == 0).all()


def test_looks_are_off_by_default():
    for name in LOOKS:
        assert not getattr(SceneConfig(), name), name
        assert not getattr(PRESETS["clear"], name), name


def test_figures_stay_in_a_surgical_range():
    """Wide bounds on medians: a broken balance or exposure would leave them, taste would not."""
    frames = [generate_image(seed, 96, ABDOMEN).frames_u8[0] for seed in range(30)]
    rows = [statistics.describe(frame) for frame in frames]
    median = {name: np.median([row[name] for row in rows]) for name in rows[0]}
    assert 90 < median["R mean"] < 160
    assert 1.2 < median["R mean"] / median["G mean"] < 1.9
    assert 0.8 < median["B mean"] / median["G mean"] < 1.3
    assert 60 < median["saturation"] < 135
    assert median["white, %"] < 3 and median["dark, %"] < 10


def test_statistics_of_a_picture_by_hand(tmp_path):
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[:, 16:] = (200, 100, 50)
    found = statistics.describe(frame)
    assert found["R mean"] == 100 and found["G mean"] == 50 and found["B mean"] == 25
    assert found["dark, %"] == 50 and found["white, %"] == 0
    assert found["gradient"] > 0
    text = statistics.table({"a": [frame], "b": [frame, 255 - frame]})
    assert "R mean" in text and len({len(line) for line in text.splitlines()}) == 1
    with pytest.raises(ValueError, match="expected pictures"):
        statistics.read_folder(str(tmp_path), 32)
    with pytest.raises(ValueError, match="found none"):
        statistics.table({"a": []})


def test_waves_land_in_their_band():
    x = np.arange(128)
    wave = np.round(127 + 100 * np.sin(2 * np.pi * 20 * x / 128)).astype(np.uint8)
    frame = np.broadcast_to(wave[None, :, None], (128, 128, 3)).copy()
    assert statistics.describe(frame)["band 16-32, %"] > 95


def test_a_sheet_alternates_with_real_frames():
    real = [np.full((16, 16, 3), 7, np.uint8)]
    made = sheet.contact_sheet(0, 2, 1, 0, 32, "surgery", plain=True, real=real)
    assert made.shape == (32, 64, 3)
    assert (made[:, 32:] == 7).all() and made[:, :32].std() > 1


def test_vessels_cover_a_part_between_nothing_and_all():
    for seed in range(4):
        cover = capillaries.trees(np.random.default_rng(seed), 90, 120, 4, 2.0)
        assert cover.shape == (90, 120) and 0 <= cover.min() and cover.max() <= 1
        assert 0.01 < (cover > 0.3).mean() < 0.5
    net = capillaries.mesh(np.random.default_rng(0), 90, 120, 8)
    assert 0 <= net.min() and net.max() <= 1 and 0.01 < (net > 0.3).mean() < 0.5


@pytest.mark.parametrize("blob", (1.5, 5, 9, 24, 60))
def test_even_noise_has_unit_deviation_and_no_lattice(blob):
    fields = [noise.even_noise(np.random.default_rng(s), 150, 170, blob) for s in range(8)]
    assert fields[0].shape == (150, 170)
    assert np.mean([f.var() for f in fields]) ** 0.5 == pytest.approx(1.0, abs=0.2)
    if blob > 8:  # slopes have no jumps: their own change stays small beside them
        slope = np.diff(fields[0], axis=1)
        assert np.abs(np.diff(slope, axis=1)).max() < 0.8 * np.abs(slope).max()


@pytest.mark.parametrize("part", ("shaft", "metal", "plastic"))
def test_tubes_are_round_to_the_eye(part):
    finish = metalwork.draw_finish(np.random.default_rng(0), part)
    rgb, alpha = metalwork.tube(np.random.default_rng(1), 60, 20, finish, 2)
    assert rgb.shape == (24, 62 + 2, 3) and alpha.shape == rgb.shape[:2]
    assert np.isfinite(rgb).all() and rgb.min() >= 0
    assert rgb[2:-2, 10:-10].mean(-1).std(0).mean() > 0.01  # light changes across the shaft
    assert (alpha[2:-2, 2:-2] == 255).all() and not alpha[:2].any()
