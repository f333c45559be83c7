"""U-Net: shapes, sizes it refuses, and that gradients reach every parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.models.unet import UNet

NET = UNet(classes=2, widths=(4, 8, 16))


@pytest.fixture(scope="module")
def params():
    return NET.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))


def test_logits_have_the_image_s_size(params):
    logits = NET.apply(params, jnp.ones((2, 32, 16, 3)))
    assert isinstance(logits, jax.Array)
    assert logits.shape == (2, 32, 16, 2) and logits.dtype == jnp.float32


def test_full_size_by_shape_alone():
    net = UNet(widths=(64, 128, 256, 512, 1024))  # the paper's
    images = jax.ShapeDtypeStruct((1, 512, 512, 3), jnp.float32)
    params = jax.eval_shape(lambda x: net.init(jax.random.key(0), x), images)
    assert jax.eval_shape(net.apply, params, images).shape == (1, 512, 512, 1)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert 30e6 < count < 32e6  # the paper's network is known to have 31 million


@pytest.mark.parametrize("shape", [(1, 30, 32, 3), (1, 32, 30, 3), (32, 32, 3)])
def test_other_sizes_are_refused(params, shape):
    with pytest.raises(ValueError, match="multiples of 4 expected"):
        NET.apply(params, jnp.zeros(shape))


def test_gradients_reach_every_parameter(params):
    images = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    grads = jax.grad(lambda p: (NET.apply(p, images) ** 2).sum())(params)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))
