"""Many masks in one picture: which one wins, and that neighbours differ."""

import numpy as np
import pytest

from surgjax.viz.mask_mosaic import colours, draw_masks, paint


def test_the_smallest_mask_is_on_top():
    small, large, middle = (np.zeros((8, 8), bool) for _ in range(3))
    small[2:4, 2:4] = large[:] = middle[1:6, 1:6] = True
    label_map = paint([small, large, middle], (8, 8))
    assert (label_map[3, 3], label_map[5, 5], label_map[7, 7]) == (1, 3, 2)
    assert not paint([], (8, 8)).any()


def test_regions_that_touch_have_different_colours():
    label_map = np.arange(1, 65).reshape(8, 8).repeat(12, 0).repeat(12, 1)
    chosen = colours(label_map)[label_map]
    assert (chosen[12:] != chosen[:-12]).all() and (chosen[:, 12:] != chosen[:, :-12]).all()
    assert chosen.max() <= 7  # no need for a shade


def test_the_picture():
    image = np.full((40, 60, 3), 200, np.uint8)
    label_map = np.zeros((40, 60), np.int32)
    label_map[10:30, 10:30] = 300  # more than a byte holds
    picture = draw_masks(image, label_map)
    assert (picture[0, 0] == 200).all()
    assert (picture[20, 20] != 200).any() and (picture[10, 20] == 20).all()
    assert (image == 200).all()
    with pytest.raises(ValueError, match="on an image of"):
        draw_masks(image, label_map[1:])
