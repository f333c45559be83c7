"""Frames and labels move together, by SAM 2's maps, and no prompted object is lost."""

import dataclasses

import cv2
import numpy as np
import pytest

from surgjax.data import augment
from surgjax.data.augment import IGNORE, NO_AUGMENT, AugmentConfig, Jitter, StillMotion

FLIP = dataclasses.replace(NO_AUGMENT, p_flip=1.0)
AFFINE = dataclasses.replace(NO_AUGMENT, degrees=25.0, shear=20.0)


def disc(height=60, width=80, x=30.0, y=20.0, radius=8.0, frames=2):
    """A green disc of value 3 in frame 0; frame t is 2t further right. Background red 50."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    images, maps = [], []
    for t in range(frames):
        inside = (columns - x - 2 * t) ** 2 + (rows - y) ** 2 < radius**2
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = 50
        image[inside] = (0, 255, 0)
        images.append(image)
        maps.append(np.where(inside, 3, 0).astype(np.uint8))
    return images, maps


def table(*ids, size=256):
    out = np.zeros(size, np.uint8)
    out[-1] = IGNORE
    for slot, value in enumerate(ids):
        out[value] = slot + 1
    return out


def run(images, maps, config, size=64, seed=0, ids=(3,), **rest):
    frames = np.zeros((len(images), size, size, 3), np.uint8)
    labels = np.zeros((len(images), size, size), np.uint8)
    lookup = rest.pop("table", table(*ids))
    rng = np.random.default_rng(seed)
    augment.augment_clip(rng, images, maps, lookup, config, frames, labels, **rest)
    return frames, labels


def centre(mask):
    """x, y of a mask's centre, corner of the picture at 0."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def test_resize_only():
    images, maps = disc()
    frames, labels = run(images, maps, NO_AUGMENT)
    want = cv2.resize(images[0], (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(frames[0].astype(int) - want).max() <= 2
    np.testing.assert_allclose(centre(labels[0] == 1), [30 * 64 / 80, 20 * 64 / 60], atol=0.5)
    np.testing.assert_allclose(centre(labels[1] == 1), [32 * 64 / 80, 20 * 64 / 60], atol=0.5)


def test_large_pictures_are_averaged_not_sampled():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    frames, _ = run([stripes], [np.zeros((256, 256), np.uint8)], NO_AUGMENT, size=64)
    assert frames.min() == frames.max() == 100


def test_flip_mirrors_frames_and_labels_of_the_whole_clip():
    images, maps = disc()
    plain, plain_labels = run(images, maps, NO_AUGMENT, size=80)
    frames, labels = run(images, maps, FLIP, size=80)
    assert np.abs(frames[:, :, ::-1].astype(int) - plain).max() <= 1
    assert (labels[:, :, ::-1] != plain_labels).mean() < 0.002


@pytest.mark.parametrize(
    ("degrees", "shear", "point", "want"),
    [
        (90, 0, (50, 30), (40, 40)),  # right of the centre (40, 30) goes below it
        (0, 45, (40, 40), (30, 40)),  # below the centre goes left by as much
        (90, 45, (40, 40), (30, 20)),  # shear first: (30, 40), then a quarter turn
        (-25, 20, (40, 30), (40, 30)),
    ],
)
def test_affine_map_by_hand(degrees, shear, point, want):
    matrix = augment.affine_map(degrees, shear, 80, 60)
    np.testing.assert_allclose(matrix @ [*point, 1], want, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_affine_moves_labels_with_pixels_and_fills(seed):
    images, maps = disc()
    frames, labels = run(images, maps, dataclasses.replace(AFFINE, p_flip=0.5), seed=seed)
    rng = np.random.default_rng(seed)  # the documented order of draws: flip, rotation, shear
    is_flipped = rng.random() < 0.5
    matrix = augment.affine_map(rng.uniform(-25, 25), rng.uniform(-20, 20), 80, 60)
    for t in range(2):
        green = (frames[t, ..., 1] > 200) & (frames[t, ..., 0] < 30)
        agree = (green & (labels[t] == 1)).sum() / (green | (labels[t] == 1)).sum()
        assert agree > 0.8
        x = 30.0 + 2 * t
        moved = matrix @ [80 - x if is_flipped else x, 20.0, 1.0]
        np.testing.assert_allclose(centre(labels[t] == 1), moved * [64 / 80, 64 / 60], atol=0.6)
    assert (frames[0] == (123, 116, 103)).all(-1).sum() > 10
    assert set(np.unique(labels)) == {0, 1}


def test_affine_is_abandoned_when_an_object_would_leave():
    images, maps = disc(x=1.5, y=1.5, radius=1.2)  # any turn or shear takes the corner out of view
    lost = 0
    for seed in range(30):
        frames, labels = run(images, maps, AFFINE, seed=seed)
        assert (labels[0] == 1).any()
        lost += not (frames == (123, 116, 103)).all(-1).any()
    assert lost > 10  # abandoned: no fill anywhere
    kept = [run(images, maps, AFFINE, seed=seed, ids=(9,))[0] for seed in range(5)]
    assert all((frames == (123, 116, 103)).all(-1).any() for frames in kept)  # not a chosen one


def test_ignored_unannotated_and_wide_values():
    images, maps = disc()
    maps[0][:5] = 255
    _, labels = run(images, [maps[0], None], NO_AUGMENT, ids=(7, 3))
    assert set(np.unique(labels[0])) == {0, 2, IGNORE} and (labels[0][:5] == IGNORE).all()
    assert (labels[1] == IGNORE).all()
    wide = [np.where(m == 3, 1000, 0).astype(np.uint16) for m in maps]
    wide[0][-5:] = 65535
    _, labels = run(images, wide, NO_AUGMENT, table=table(1000, size=65536))
    assert (labels[0] == 1).any() and (labels[0][-4:] == IGNORE).all()
    assert set(np.unique(labels[1])) == {0, 1}


def test_colour_is_the_same_for_all_frames_but_for_the_frame_jitter():
    image = np.full((32, 32, 3), (120, 60, 30), np.uint8)
    maps = [np.zeros((32, 32), np.uint8)] * 3
    shared = dataclasses.replace(NO_AUGMENT, jitter=Jitter(0.5, 0.5, 0.5))
    frames, _ = run([image] * 3, maps, shared, size=32)
    assert (frames == frames[0, 0, 0]).all() and not (frames[0] == image).all()
    single = dataclasses.replace(NO_AUGMENT, frame_jitter=Jitter(0.5, 0.5, 0.5))
    frames, _ = run([image] * 3, maps, single, size=32)
    assert len({tuple(frame[0, 0]) for frame in frames}) == 3
    grey = dataclasses.replace(NO_AUGMENT, p_grey=1.0)
    frames, _ = run([image] * 3, maps, grey, size=32)
    assert (frames == 75).all()  # 0.299 * 120 + 0.587 * 60 + 0.114 * 30 = 74.5


def test_probabilities():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, :8] = (200, 10, 10)
    maps = [np.zeros((16, 16), np.uint8)]
    config = dataclasses.replace(NO_AUGMENT, p_flip=0.5, p_grey=0.05)
    found = [run([image], maps, config, size=16, seed=seed)[0][0] for seed in range(800)]
    assert 340 < sum(frame[0, 0, 0] == 0 for frame in found) < 460
    assert 15 < sum(frame.max() < 100 for frame in found) < 65
    assert AugmentConfig() == AugmentConfig(
        0.5, 25, 20, (123, 116, 103), Jitter(0.1, 0.03, 0.03), 0.05, Jitter(0.1, 0.05, 0.05), 0.0
    )


def test_mosaic_keeps_one_labelled_copy():
    images, maps = disc(radius=12)
    config = dataclasses.replace(NO_AUGMENT, p_mosaic=1.0)
    quarters = set()
    for seed in range(12):
        frames, labels = run(images, maps, config, seed=seed)
        greens = frames[0, ..., 1] > 128
        cells = [(slice(0, 32), slice(0, 32)), (slice(0, 32), slice(32, 64)),
                 (slice(32, 64), slice(0, 32)), (slice(32, 64), slice(32, 64))]  # fmt: skip
        held = [i for i, cell in enumerate(cells) if (labels[0][cell] == 1).any()]
        assert len(held) == 1 and all(greens[cell].sum() > 50 for cell in cells)
        agree = (labels[0] == 1) & greens
        assert agree.sum() > 0.8 * (labels[0] == 1).sum()
        quarters.add(held[0])
    assert quarters == {0, 1, 2, 3}


def test_still_images_walk():
    images, maps = disc(frames=1)
    config = dataclasses.replace(NO_AUGMENT, still=StillMotion(5.0, 0.05, 0.05))
    frames, labels = run(images * 4, maps * 4, config, again=[False, True, True, True])
    centres = np.array([centre(label == 1) for label in labels])
    assert (np.abs(np.diff(centres, axis=0)).max(1) > 0.2).all()
    for frame, label in zip(frames, labels, strict=True):
        assert (frame[label == 1][:, 1] > 100).mean() > 0.9
    moving, _ = run(images * 2, maps * 2, config, again=[False, False])
    np.testing.assert_array_equal(moving[0], moving[1])


def test_slots_seen():
    labels = np.array([[0, 2], [12, IGNORE]], np.uint8)
    assert augment.slots_seen(labels, 3).tolist() == [False, True, False]
    assert np.flatnonzero(augment.slots_seen(labels, 20)).tolist() == [1, 11]


def test_settings_are_checked():
    with pytest.raises(ValueError, match="AugmentConfig.p_flip: expected 0..1, found 2"):
        AugmentConfig(p_flip=2)
    with pytest.raises(ValueError, match="AugmentConfig.shear: expected 0..80, found 90"):
        AugmentConfig(shear=90)
