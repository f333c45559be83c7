"""Muon: momentum whose matrices are made orthogonal, with products in bfloat16.

Path:    gradients -> [muon] -> updates -> optimizers
Axes:    a leaf of several axes is a matrix once its leading axes are folded into rows.
Source:  Jordan et al., "Muon" (2024), for the iteration and its coefficients; the scale of an
         update is that of arXiv:2502.16982, so rates and decay carry over from AdamW.
Differs: optax.contrib.muon iterates in float32, which took more than a third of a training step on
         a CPU with bfloat16 units; here operands are bfloat16 and sums float32, as in the original.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


def _product(a: jax.Array, b: jax.Array, transpose_b: bool = False) -> jax.Array:
    dims = (((1,), (1 if transpose_b else 0,)), ((), ()))
    a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    return lax.dot_general(a, b, dims, preferred_element_type=jnp.float32)


def orthogonalise(x: jax.Array) -> jax.Array:
    """x [m, n] with its singular values brought near 1 (0.7 to 1.2) by Newton-Schulz steps."""
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (jnp.linalg.norm(x) + 1e-8)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        gram = _product(x, x, transpose_b=True)
        x = a * x + _product(b * gram + c * _product(gram, gram), x)
    return x.T if tall else x


class MuonState(NamedTuple):
    """Momentum, one array per matrix."""

    momentum: Any


def scale_by_muon(row_axes: Any, beta: float = 0.95) -> optax.GradientTransformation:
    """Nesterov momentum, made orthogonal; an update's root mean square is about 0.2.

    row_axes: a tree like the updates; at each leaf, how many leading axes are the matrix's rows.
    """

    def leaf(momentum: jax.Array, gradient: jax.Array, axes: int) -> jax.Array:
        ahead = beta * momentum + (1 - beta) * gradient
        rows = math.prod(ahead.shape[:axes])
        matrix = orthogonalise(ahead.reshape(rows, -1))
        return 0.2 * max(matrix.shape) ** 0.5 * matrix.reshape(ahead.shape)

    def init(params: Any) -> MuonState:
        return MuonState(jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, MuonState]:
        del params
        momentum = jax.tree.map(lambda m, g: beta * m + (1 - beta) * g, state.momentum, updates)
        axes = row_axes(updates) if callable(row_axes) else row_axes
        return jax.tree.map(leaf, momentum, updates, axes), MuonState(momentum)

    return optax.GradientTransformation(init, update)
