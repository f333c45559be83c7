"""Linear layers, MLPs and norms with SAM 2's parameter names.

Axes:    inputs are [..., C]; the last axis is the channel axis.
Numerics: weights are kept in float32. With dtype=bfloat16 the operands of a product are bfloat16
         and the sum is float32 (`preferred_element_type`): more accurate, and on XLA CPU about
         twice as fast, since a bf16 -> bf16 dot is widened to float32 there. Norms are float32.
Source:  SAM 2 `sam2/modeling/sam2_utils.py` (MLP, LayerNorm2d).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

Dtype = DTypeLike

_kernel_init = nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")


def gelu(x: jax.Array) -> jax.Array:
    """GELU with the exact erf, as everywhere in SAM 2."""
    return jax.nn.gelu(x, approximate=False)


def project(x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: Dtype) -> jax.Array:
    """x [..., in] @ kernel [in, out] + bias [out], summed in float32, returned in `dtype`."""
    rounded = x.astype(dtype), kernel.astype(dtype)
    product = _dot if jnp.dtype(dtype) == jnp.float32 else _narrow_dot
    y = product(*rounded)
    return (y + bias.reshape((1,) * (y.ndim - 1) + (-1,))).astype(dtype)


def _dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    dims = (((x.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(x, kernel, dims, preferred_element_type=jnp.float32)


@jax.custom_vjp
def _narrow_dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`_dot` whose gradient has narrow operands too.

    JAX's own rule multiplies a float32 cotangent with a bfloat16 operand, which XLA widens: no
    matrix units. Nothing is lost, since `project` rounds what comes out: the cotangent already
    holds bfloat16 values.
    """
    return _dot(x, kernel)


def _narrow_dot_forward(x, kernel):
    return _dot(x, kernel), (x, kernel)


def _narrow_dot_backward(saved, cotangent):
    x, kernel = saved
    cotangent = cotangent.astype(x.dtype)
    rows = tuple(range(x.ndim - 1))
    dx = lax.dot_general(
        cotangent, kernel, (((x.ndim - 1,), (1,)), ((), ())), preferred_element_type=jnp.float32
    )
    dkernel = lax.dot_general(
        x, cotangent, ((rows, rows), ((), ())), preferred_element_type=jnp.float32
    )
    return dx.astype(x.dtype), dkernel.astype(kernel.dtype)


_narrow_dot.defvjp(_narrow_dot_forward, _narrow_dot_backward)


class Linear(nn.Module):
    """A dense layer; `weights` gives (kernel, bias) to callers that fold something into them."""

    in_features: int
    features: int
    dtype: Dtype = jnp.float32

    def setup(self):
        self.kernel = self.param("kernel", _kernel_init, (self.in_features, self.features))
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,))

    def weights(self) -> tuple[jax.Array, jax.Array]:
        return self.kernel, self.bias

    def __call__(self, x: jax.Array) -> jax.Array:
        return project(x, self.kernel, self.bias, self.dtype)


class LayerNorm(nn.Module):
    """Normalises the last axis in float32 with the biased variance, returns float32."""

    features: int
    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (self.features,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        lead = (1,) * (x.ndim - 1) + (-1,)
        return centred * lax.rsqrt(variance + self.epsilon) * scale.reshape(lead) + bias.reshape(
            lead
        )


class Mlp(nn.Module):
    """Linear layers `layers_0`, `layers_1`, ... with an activation between them.

    widths: (in, hidden, ..., out).
    """

    widths: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
    dtype: Dtype = jnp.float32

    def setup(self):
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        self.layers = [Linear(i, o, self.dtype) for i, o in pairs]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class Embedding(nn.Module):
    """A table [rows, d] under the reference's name `X.weight`."""

    rows: int
    features: int

    @nn.compact
    def __call__(self) -> jax.Array:
        return self.param("embedding", nn.initializers.normal(1.0), (self.rows, self.features))
