"""The depthwise convolution, its own gradients included, against XLA's grouped one."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from surgjax.layers.convolution import depthwise_conv


def _grouped(x, kernel, bias):
    y = lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(kernel.shape[0] // 2,) * 2] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
    return y + bias.reshape(1, 1, 1, -1)


def test_depthwise_values_and_gradients():
    rng = np.random.default_rng(0)
    shapes = ((2, 5, 6, 3), (7, 7, 1, 3), (3,), (2, 5, 6, 3))
    *inputs, weight = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes)

    def loss(function, x, kernel, bias):
        return (weight * function(x, kernel, bias)).sum()

    np.testing.assert_allclose(depthwise_conv(*inputs), _grouped(*inputs), atol=2e-5)
    ours = jax.grad(loss, (1, 2, 3))(depthwise_conv, *inputs)
    theirs = jax.grad(loss, (1, 2, 3))(_grouped, *inputs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=5e-5)
