"""Products with narrow operands: their gradient is the plain rule's, and needs no wide operand."""

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.layers.linear import project


def _arguments():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    return draw(2, 5, 16), draw(16, 8), draw(8), draw(2, 5, 8)


def _loss(dtype):
    return lambda x, kernel, bias, weight: (
        project(x, kernel, bias, dtype).astype(jnp.float32) * weight
    ).sum()


def test_gradients_in_bfloat16_are_those_of_rounded_operands():
    x, kernel, bias, weight = _arguments()
    narrow = [a.astype(jnp.bfloat16).astype(jnp.float32) for a in (x, kernel, bias, weight)]
    want = jax.grad(_loss(jnp.float32), (0, 1, 2))(*narrow)
    have = jax.grad(_loss(jnp.bfloat16), (0, 1, 2))(x, kernel, bias, weight)
    for h, w in zip(have, want, strict=True):
        assert h.dtype == jnp.float32
        # one rounding to 8 bits of the cotangent and one of the result
        np.testing.assert_allclose(h, w, rtol=0.02, atol=0.02 * float(jnp.abs(w).max()))


def test_no_product_of_the_bfloat16_gradient_is_mixed():
    jaxpr = jax.make_jaxpr(jax.grad(_loss(jnp.bfloat16), (0, 1)))(*_arguments())
    products = [e for e in jaxpr.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert len(products) >= 2
    for product in products:
        assert {v.aval.dtype for v in product.invars} == {jnp.dtype(jnp.bfloat16)}
