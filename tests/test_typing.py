import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.typing import Array, Bool, Float, NDArray, typechecked


@typechecked
def _mix(mask: Bool[Array, "*B N"], features: Float[Array, "*B N D"]) -> Float[Array, "*B D"]:
    return jnp.where(mask[..., None], features, 0).sum(-2)


def test_axes_bind_across_arguments_and_result():
    assert _mix(jnp.ones((2, 3), bool), jnp.ones((2, 3, 5))).shape == (2, 5)
    with pytest.raises(TypeError, match=r"argument 'features'.*found .*float32\[2, 4, 5\]"):
        _mix(jnp.ones((2, 3), bool), jnp.ones((2, 4, 5)))


def test_dtype_is_checked():
    with pytest.raises(TypeError, match="argument 'mask'"):
        _mix(jnp.ones((2, 3)), jnp.ones((2, 3, 5)))


def test_result_is_checked():
    @typechecked
    def drops_an_axis(x: Float[Array, "B D"]) -> Float[Array, "B D"]:
        return x.sum(-1)

    with pytest.raises(TypeError, match="result must be"):
        drops_an_axis(jnp.ones((2, 3)))


def test_tracers_are_checked_and_jit_works():
    with pytest.raises(TypeError, match="argument 'features'"):
        jax.jit(_mix)(jnp.ones((2, 3), bool), jnp.ones((2, 4, 5)))
    assert jax.eval_shape(_mix, jnp.ones(3, bool), jnp.ones((3, 5))).shape == (5,)


def test_numpy_annotations_and_unannotated_arguments():
    @typechecked
    def count(masks: Bool[NDArray, "T H W"], scale=1) -> int:
        return int(masks.sum()) * scale

    assert count(np.ones((2, 3, 4), bool), scale=2) == 48
    with pytest.raises(TypeError, match="argument 'masks'.*found Array"):
        count(jnp.ones((2, 3, 4), bool))
