"""Truth equals paint: by hand for the brush, by flat colours for whole scenes."""

import numpy as np
import pytest

from surgjax.synthetic import SceneConfig, compositor
from surgjax.synthetic.effects import Optics
from surgjax.synthetic.scene import Scene
from surgjax.synthetic.sprites import Sprite

RED, GREEN = np.float32((1, 0, 0)), np.float32((0, 1, 0))


def _square(colour, size=4):
    rgb = np.zeros((size, size, 3), np.float32)
    rgb[:] = colour
    return Sprite(rgb, np.full((size, size), 255, np.uint8), (0.0, 0.0))


def _at(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def _blank(side=16):
    return (
        np.zeros((side, side, 3), np.float32),
        np.zeros((side, side), np.uint8),
        np.zeros((side, side), np.uint8),
    )


def test_a_square_lands_where_its_matrix_says():
    image, labels, parts = _blank()
    layer = compositor.warp(_square(RED), _at(5, 3), 16)
    compositor.paint(image, labels, parts, [layer], 7, [2])
    want = np.zeros((16, 16), bool)
    want[3:7, 5:9] = True  # rows 3..6, columns 5..8
    np.testing.assert_array_equal(labels == 7, want)
    np.testing.assert_array_equal(parts == 2, want)
    np.testing.assert_array_equal(image[..., 0] == 1, want)


def test_the_later_layer_hides_the_earlier_and_label_zero_hides_too():
    image, labels, parts = _blank()
    for colour, x, label in ((RED, 2, 1), (GREEN, 4, 2), (RED, 6, 0)):
        layer = compositor.warp(_square(colour), _at(x, 2), 16)
        compositor.paint(image, labels, parts, [layer], label, [1])
    assert labels[3, 2:10].tolist() == [1, 1, 2, 2, 0, 0, 0, 0]
    np.testing.assert_array_equal(image[3, 4], GREEN)


def test_a_tight_warp_paints_the_same_picture():
    slanted = np.array([[0.8, -0.6, 9], [0.6, 0.8, 2], [0, 0, 1]])
    painted = []
    for tight in (False, True):
        image, labels, parts = _blank(24)
        layer = compositor.warp(_square(RED, 9), slanted, 24, tight)
        compositor.paint(image, labels, parts, [layer], 1, [1])
        painted.append((image, labels, layer[3].size))
    np.testing.assert_allclose(painted[0][0], painted[1][0], atol=1e-6)
    np.testing.assert_array_equal(painted[0][1], painted[1][1])
    assert painted[1][2] < painted[0][2]


def test_half_a_pixel_of_cover_decides():
    for shift, owner in ((0.4, 1), (0.6, 0)):  # covers 0.6 or 0.4 of column 5
        image, labels, parts = _blank()
        layer = compositor.warp(_square(RED), _at(5 + shift, 3), 16)
        compositor.paint(image, labels, parts, [layer], 1, [1])
        assert labels[4, 5] == owner
        assert image[4, 5, 0] == pytest.approx(1 - shift, abs=0.04)


def test_out_of_view_is_none():
    assert compositor.warp(_square(RED), _at(40, 3), 16) is None
    assert compositor.warp(_square(RED), _at(-9, 3), 16) is None


def test_a_shadow_darkens_where_it_falls_and_nowhere_else():
    image = np.ones((64, 64, 3), np.float32)
    layer = compositor.warp(_square(RED, 16), _at(16, 16), 64)
    compositor.cast_shadow(image, [layer], (8, 0), 2.0, 0.5)
    assert image[24, 32, 0] == pytest.approx(0.5, abs=0.05)  # centre of the shifted square
    assert image[24, 60, 0] == pytest.approx(1.0, abs=0.01)
    assert image[60, 8, 0] == 1.0


def _flat_scene(seed, num_frames, side=96):
    """A scene in which object k is painted in the plain value k on a background of 0."""
    scene = Scene(np.random.default_rng(seed), num_frames, side, SceneConfig())
    scene.shadow_strength = 0.0
    scene.canvas[:] = 0
    for index, thing in enumerate(scene.objects):
        for piece in thing.pieces:
            piece.sprite.rgb[:] = 0 if thing.kind == "unlabelled" else index + 1
    return scene


@pytest.mark.parametrize("seed", range(8))
def test_labels_are_what_is_painted(seed):
    scene = _flat_scene(seed, 2)
    for t in range(2):
        image, labels, _ = scene.render(t)
        value = image[..., 0]
        for index in range(len(scene.objects) + 1):
            # Away from soft edges the value is the label, to the last pixel.
            plain = np.abs(value - index) < 1e-4
            neighbours = [np.roll(value, s, a) for s in (-1, 1) for a in (0, 1)]
            calm = plain & np.all([np.abs(n - index) < 1e-4 for n in neighbours], 0)
            assert (labels[calm] == index).all()


def test_one_object_owns_exactly_the_pixels_it_covers_by_half():
    checked = 0
    for seed in range(10):
        scene = _flat_scene(seed, 1)
        scene.objects = [thing for thing in scene.objects if len(thing.pieces) == 1][:1]
        if not scene.objects or scene.objects[0].kind == "unlabelled":
            continue
        scene.objects[0].pieces[0].sprite.rgb[:] = 1
        image, labels, _ = scene.render(0)
        np.testing.assert_array_equal(labels == 1, image[..., 0] > 127.5 / 255)
        checked += labels.any()
    assert checked >= 3


def test_behind_the_rim_of_the_scope_nothing_is_labelled_and_all_is_black():
    config = SceneConfig(p_scope_circle=1.0, p_jpeg=0.0)
    optics = Optics(np.random.default_rng(0), 1, 96, config)
    image = np.full((96, 96, 3), 0.5, np.float32)
    labels, parts = np.ones((96, 96), np.uint8), np.ones((96, 96), np.uint8)
    picture = optics.develop(image, labels, parts, 0)
    assert labels[0, 0] == parts[0, 0] == 0 and (picture[0, 0] == 0).all()
    assert labels[48, 48] == 1 and (picture[48, 48] > 0).all()
    assert (picture[labels == 1].max(-1) > 0).mean() > 0.99
