"""Convolutions whose formulation is chosen for XLA (and so are not plain `nn.Conv`).

Axes:    NHWC.
Source:  SAM 2 `memory_encoder.py` (CXBlock), `sam/mask_decoder.py` (output_upscaling),
         `backbones/utils.py` (PatchEmbed).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from surgjax.layers.linear import Dtype, project


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def strided_conv(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolution of x [B, H, W, C] with kernel [k, k, C, D], of the same dtype.

    On a CPU the kernel's gradient is a product over patches: XLA has no fast path for the dilated
    convolution that JAX asks for there, and that alone took a third of a training step of nano.
    """
    return _conv(x, kernel, stride, padding)


def _conv(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    around = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, kernel, (stride, stride), around, dimension_numbers=layout)


def _conv_forward(x, kernel, stride, padding):
    return _conv(x, kernel, stride, padding), (x, kernel)


def _conv_backward(stride: int, padding: int, kept, g: jax.Array):
    x, kernel = kept

    def by_patches(x: jax.Array, g: jax.Array) -> jax.Array:
        (k, _, c, d), (b, h, w, _) = kernel.shape, g.shape
        padded, end = _pad(x, padding), (stride * (h - 1) + 1, stride * (w - 1) + 1)
        taps = [
            padded[:, i : i + end[0] : stride, j : j + end[1] : stride]
            for i in range(k)
            for j in range(k)
        ]
        patches = jnp.concatenate(taps, -1).reshape(b * h * w, k * k * c)
        product = jnp.matmul(patches.T, g.reshape(b * h * w, d), preferred_element_type=jnp.float32)
        return product.reshape(kernel.shape).astype(kernel.dtype)

    def by_dilation(x: jax.Array, g: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: _conv(x, kernel, stride, padding), kernel)[1](g)[0]

    (to_x,) = jax.vjp(lambda x: _conv(x, kernel, stride, padding), x)[1](g)
    return to_x, lax.platform_dependent(x, g, cpu=by_patches, default=by_dilation)


strided_conv.defvjp(_conv_forward, _conv_backward)


class Conv(nn.Module):
    """A 2-D convolution with explicit zero padding; float32 weights, products in `dtype`."""

    in_features: int
    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
        kernel = self.param("kernel", init, (k, k, self.in_features, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if k == 1 and self.stride == 1:
            return project(x, kernel[0, 0], bias, self.dtype)
        if k == self.stride and self.padding == 0:  # non-overlapping: a matmul over patches
            b, h, w, c = x.shape
            x = x.reshape(b, h // k, k, w // k, k, c).transpose(0, 1, 3, 2, 4, 5)
            x = x.reshape(b, h // k, w // k, k * k * c)
            return project(x, kernel.reshape(k * k * c, -1), bias, self.dtype)
        # Same-dtype products here: the transpose rule of a convolution refuses mixed dtypes.
        y: Any = strided_conv(
            x.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.padding
        )
        return (y.astype(jnp.float32) + bias.reshape(1, 1, 1, -1)).astype(self.dtype)


def _shifted_products(x: jax.Array, kernel: jax.Array, y: jax.Array) -> jax.Array:
    """y plus the depthwise convolution of padded x [B, H + k - 1, W + k - 1, C]."""
    k, (h, w) = kernel.shape[0], y.shape[1:3]
    for i in range(k):
        for j in range(k):
            y = y + x[:, i : i + h, j : j + w] * kernel[i, j].reshape(1, 1, 1, -1)
    return y


def _pad(x: jax.Array, p: int) -> jax.Array:
    return jnp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))


@jax.custom_vjp
def depthwise_conv(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Depthwise convolution of x [B, H, W, C] with [k, k, 1, C], k odd, to the same size.

    Its gradients are the same loop with the kernel turned round, and one reduction per tap in a
    loop that is compiled once; left to itself, JAX transposes k*k slices one by one, which takes
    eight times as long to compile.
    """
    y = jnp.broadcast_to(bias.reshape(1, 1, 1, -1), x.shape)
    return _shifted_products(_pad(x, kernel.shape[0] // 2), kernel, y)


def _depthwise_forward(x, kernel, bias):
    return depthwise_conv(x, kernel, bias), (x, kernel)


def _depthwise_backward(kept, g):
    x, kernel = kept
    k = kernel.shape[0]
    padded = _pad(x, k // 2)

    def tap(number: jax.Array) -> jax.Array:
        part = lax.dynamic_slice(padded, (0, number // k, number % k, 0), x.shape)
        return (part * g).sum((0, 1, 2))

    to_x = _shifted_products(_pad(g, k // 2), kernel[::-1, ::-1], jnp.zeros_like(x))
    return to_x, lax.map(tap, jnp.arange(k * k)).reshape(kernel.shape), g.sum((0, 1, 2))


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)


class DepthwiseConv(nn.Module):
    """A k x k depthwise convolution as shifted multiply-adds.

    XLA's grouped convolution runs about seven times slower than PyTorch's on a CPU; k*k shifted
    products fuse into one loop and run about twice as fast as PyTorch's.
    """

    features: int
    kernel_size: int  # odd; the size of the map stays

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")
        kernel = self.param("kernel", init, (k, k, 1, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return depthwise_conv(x.astype(jnp.float32), kernel, bias)


class UpConv2x2(nn.Module):
    """Transposed convolution with kernel 2 and stride 2: no overlap, so a matmul and a shuffle.

    The kernel is stored (in, 2, 2, out): out[2i+a, 2j+b] = in[i, j] @ kernel[:, a, b] + bias.
    """

    in_features: int
    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform", in_axis=0)
        kernel = self.param("kernel", init, (self.in_features, 2, 2, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        b, h, w, c = x.shape
        y = project(x, kernel.reshape(c, -1), jnp.tile(bias, 4), self.dtype)
        y = y.reshape(b, h, w, 2, 2, self.features).transpose(0, 1, 3, 2, 4, 5)
        return y.reshape(b, 2 * h, 2 * w, self.features)
