"""Whole clips: same seed same bytes, ids without gaps, smooth motion, going and coming back."""

import numpy as np
import pytest

from surgjax.synthetic import SceneConfig, generate_clip, generate_image

SIZE = 96


def test_same_seed_same_bytes_and_other_seed_other_picture():
    first, again, other = (generate_clip(seed, 3, SIZE) for seed in (5, 5, 6))
    for name in ("frames_u8", "label_maps", "part_maps"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.object_names == again.object_names
    assert (first.frames_u8 != other.frames_u8).mean() > 0.5


def test_shapes_and_types():
    clip = generate_clip(1, 4, SIZE)
    assert clip.frames_u8.shape == (4, SIZE, SIZE, 3)
    assert clip.label_maps.shape == clip.part_maps.shape == (4, SIZE, SIZE)
    assert {a.dtype for a in (clip.frames_u8, clip.label_maps, clip.part_maps)} == {
        np.dtype(np.uint8)
    }
    assert generate_image(1, SIZE).frames_u8.shape == (1, SIZE, SIZE, 3)
    assert generate_image(1, 90).frames_u8.shape == (1, 90, 90, 3)  # no multiple of anything


@pytest.mark.parametrize("seed", range(12))
def test_ids_have_no_gap_and_every_id_is_seen(seed):
    clip = generate_clip(seed, 2, SIZE)
    seen = np.unique(clip.label_maps)
    assert seen[seen > 0].tolist() == list(clip.object_ids)
    assert list(clip.object_ids) == list(range(1, len(clip.object_ids) + 1))
    assert len(clip.object_names) == len(clip.object_classes) == len(clip.object_ids) >= 1


@pytest.mark.parametrize("seed", range(12))
def test_parts_lie_on_instruments_only(seed):
    clip = generate_image(seed, SIZE)
    labels, parts = clip.label_maps[0], clip.part_maps[0]
    assert parts.max() <= 3
    for label, kind in zip(clip.object_ids, clip.object_classes, strict=True):
        inside = parts[labels == label]
        assert (inside == 0).all() if kind in ("anatomy", "accessory") else (inside > 0).all()
    assert (parts[labels == 0] == 0).all()


def test_objects_are_neither_slivers_nor_the_whole_picture_on_average():
    covered, objects = [], []
    for seed in range(40):
        clip = generate_image(seed, SIZE)
        covered.append((clip.label_maps > 0).mean())
        objects.append(len(clip.object_ids))
    assert 0.1 < np.mean(covered) < 0.5
    assert 2.0 < np.mean(objects) < 6.0


def test_objects_move_smoothly():
    config = SceneConfig(p_leave=0.0, p_scope_circle=0.0)
    overlaps, jumps = [], []
    for seed in range(6):
        clip = generate_clip(seed, 8, SIZE, config)
        for label in clip.object_ids:
            masks = clip.label_maps == label
            for before, after in zip(masks[:-1], masks[1:], strict=True):
                if min(before.sum(), after.sum()) < 0.02 * SIZE**2:
                    continue
                overlaps.append((before & after).sum() / (before | after).sum())
                centre = [np.mean(np.nonzero(m), axis=1) for m in (before, after)]
                jumps.append(np.linalg.norm(centre[1] - centre[0]) / SIZE)
    assert len(overlaps) > 30
    assert np.median(overlaps) > 0.8
    assert np.percentile(jumps, 95) < 0.1
    assert max(jumps) > 0.005, "nothing moves"


def test_an_instrument_leaves_and_comes_back():
    config = SceneConfig(
        p_leave=1.0, instruments=(1, 1), anatomy=(0, 0), accessories=(0, 0), p_tissue_flap=0.0
    )
    returns = 0
    for seed in range(6):
        clip = generate_clip(seed, 20, SIZE, config)
        present = (clip.label_maps == 1).any((1, 2))
        assert not present.all(), f"seed {seed} never leaves"
        gone = np.nonzero(~present)[0]
        returns += present[: gone[0]].any() and present[gone[0] :].any()
    assert returns >= 4


def test_the_picture_shows_the_objects():
    """Truth that is not in the picture would be useless: edges of masks are edges of colour."""
    inside_out = []
    for seed in range(20):
        clip = generate_image(seed, SIZE)
        grey = clip.frames_u8[0].astype(float).mean(-1)
        gradient = np.hypot(*np.gradient(grey))
        border = np.hypot(*np.gradient(clip.label_maps[0].astype(float))) > 0
        if border.any():
            inside_out.append(gradient[border].mean() / gradient[~border].mean())
    assert np.mean(inside_out) > 1.6


@pytest.mark.parametrize("arguments", [(-1, 4, 64), (0, 0, 64), (0, 4, 16)])
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="Expected seed >= 0"):
        generate_clip(*arguments)


def test_a_config_that_shows_nothing_says_so():
    config = SceneConfig(
        instruments=(0, 0), anatomy=(0, 0), accessories=(0, 0), min_objects=0
    ).replace(min_objects=1, reach=(-3.0, -3.0))
    with pytest.raises(ValueError, match="No scene of seed 3"):
        generate_clip(3, 1, 32, config)


def test_reversed_ranges_and_impossible_probabilities_are_refused():
    with pytest.raises(ValueError, match="shaft_width"):
        SceneConfig(shaft_width=(0.3, 0.1))
    with pytest.raises(ValueError, match="p_smoke"):
        SceneConfig(p_smoke=1.5)
