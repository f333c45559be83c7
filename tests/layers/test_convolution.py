"""Convolutions with gradients of their own, against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from surgjax.layers.convolution import depthwise_conv, strided_conv


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


@pytest.mark.parametrize(
    ("side", "channels", "features", "size", "stride", "padding"),
    [(16, 4, 8, 3, 2, 1), (17, 3, 5, 3, 2, 1), (15, 3, 5, 7, 4, 3), (12, 2, 3, 3, 1, 1)],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_of_a_strided_convolution(side, channels, features, size, stride, padding, dtype):
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.standard_normal((2, side, side, channels)), dtype)
    kernel = jnp.asarray(rng.standard_normal((size, size, channels, features)), dtype)

    def plain(x, kernel, stride, padding):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    def gradients(function):
        def loss(x, kernel):
            return (function(x, kernel, stride, padding).astype(jnp.float32) ** 3).sum()

        return jax.jit(jax.grad(loss, (0, 1)))(x, kernel)

    ours, theirs = gradients(strided_conv), gradients(plain)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype == dtype
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        limit = 2e-6 if dtype == jnp.float32 else 2e-2
        assert abs(a - b).max() < limit * abs(b).max()
    assert float(jnp.abs(theirs[1]).min()) > 0  # so none of them is compared as nothing
