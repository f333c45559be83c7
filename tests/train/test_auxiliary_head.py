"""The dense head: depth-to-space by hand, a loss that knows right from wrong, removal."""

import jax.numpy as jnp
import numpy as np

from surgjax.structs import ImageFeatures
from surgjax.train import auxiliary_head


def _features(side=32, width=16):
    grid = side // 4
    return ImageFeatures(
        s4=jnp.zeros((1, grid, grid, width // 8)),
        s8=jnp.zeros((1, grid // 2, grid // 2, width // 4)),
        s16=jnp.ones((1, grid // 4, grid // 4, width)),
    )


def test_a_stride_16_channel_lands_on_its_own_cell():
    params = auxiliary_head.init_params(16, seed=0)
    kernel = np.zeros_like(params["s16"]["kernel"])
    row, column, kind = 2, 1, 3  # of the 4x4 cells that a stride-16 token covers
    kernel[0, (row * 4 + column) * auxiliary_head.CLASSES + kind] = 7.0
    params["s16"] = {"kernel": kernel}
    scores = np.array(auxiliary_head.scores(params, _features()))
    assert scores.shape == (1, 8, 8, 6)
    where = np.argwhere(scores > 0)
    np.testing.assert_array_equal(where, [[0, r, c, 3] for r in (2, 6) for c in (1, 5)])


def test_loss_falls_when_the_scores_are_right():
    params = auxiliary_head.init_params(16, seed=0)
    kernel = np.zeros_like(params["s16"]["kernel"])
    kernel[0, 4 :: auxiliary_head.CLASSES] = 9.0  # class 4 everywhere
    params["s16"] = {"kernel": kernel}
    classes = jnp.full((1, 32, 32), 4, jnp.uint8)
    assert float(auxiliary_head.loss(params, _features(), classes)) < 0.01
    assert float(auxiliary_head.loss(params, _features(), jnp.zeros_like(classes))) > 8


def test_the_head_is_dropped():
    params = {"image_encoder": 1, auxiliary_head.NAME: 2}
    assert auxiliary_head.without(params) == {"image_encoder": 1}
