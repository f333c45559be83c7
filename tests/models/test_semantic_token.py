"""The semantic token: masks that do not know of it, and what it reads itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.layers import semantic_head
from surgjax.models.sam2 import Sam2, add_semantic_token, init_params
from surgjax.structs import ImageFeatures, MaskOutput, PointPrompts
from surgjax.testing import debug_config, lively_params
from tests.memory.test_memory_attention import make_read

OFF = debug_config()
ON = OFF.replace(semantic_token=True)
BOTH_WAYS = ON.replace(tsl_bidirectional=True)
PARAMS = lively_params(ON)
# A fresh token is small: here it must be able to change what it should not.
PARAMS["semantic"]["token"] = 20 * PARAMS["semantic"]["token"]
PLAIN = {name: leaf for name, leaf in PARAMS.items() if name != "semantic"}
MASKS = ("low_res", "iou", "object_score", "pointer", "low_res_multimasks", "multimask_ious")


@functools.partial(jax.jit, static_argnames=("config", "tiled", "with_memory"))
def answer(params, features, read, points, config, tiled=False, with_memory=True) -> MaskOutput:
    """A tracked frame (or one without memory) from features on."""
    apply = functools.partial(Sam2(config).apply, {"params": params})
    if with_memory:
        s16 = apply(features.s16, read, tiled, method="condition")
    else:
        s16 = apply(features.s16, method="add_no_memory")
    size = features.s4.shape[1]
    blank = jnp.zeros((1, size, size)), jnp.zeros(1, bool)
    decoded = apply(features, s16, points, *blank, method="decode")
    return apply(decoded, jnp.zeros(1, bool), method="select")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(4)

    def grid(side, width):
        return jnp.asarray(rng.standard_normal((1, side, side, width)), jnp.float32)

    d, g = OFF.hidden_dim, OFF.grid
    features = ImageFeatures(grid(4 * g, d // 8), grid(2 * g, d // 4), grid(g, d))
    points = PointPrompts(
        jnp.array([[[20.0, 30.0], [0.0, 0.0]]]), jnp.array([[1, -1]]), jnp.array([[True, False]])
    )
    return features, make_read(rng, 5, 3, 4, 3), points


@pytest.mark.parametrize("tiled,with_memory", [(False, True), (True, True), (False, False)])
def test_masks_do_not_know_of_a_token_that_only_reads(frame, tiled, with_memory):
    off = answer(PLAIN, *frame, OFF, tiled, with_memory)
    on = answer(PARAMS, *frame, ON, tiled, with_memory)
    assert off.semantic is None and on.semantic is not None
    for name in MASKS:
        without, beside = np.asarray(getattr(off, name)), np.asarray(getattr(on, name))
        span = float(np.ptp(without)) or 1.0
        assert np.abs(without - beside).max() <= 1e-5 * span, name
    np.testing.assert_allclose(jnp.linalg.norm(on.semantic, axis=-1), 1, rtol=1e-5)


def test_masks_know_of_a_token_that_is_read(frame):
    """The control: the same token, read, moves masks."""
    quiet, read = answer(PARAMS, *frame, ON), answer(PARAMS, *frame, BOTH_WAYS)
    assert np.abs(quiet.low_res - read.low_res).max() > 1e-3 * np.ptp(quiet.low_res)
    first = answer(PARAMS, *frame, ON, with_memory=False)
    seen = answer(PARAMS, *frame, BOTH_WAYS, with_memory=False)
    assert np.abs(first.low_res - seen.low_res).max() > 1e-3 * np.ptp(first.low_res)


@pytest.mark.parametrize("config", [ON, BOTH_WAYS])
def test_tiled_token_is_the_dense_one(frame, config):
    dense, tiled = answer(PARAMS, *frame, config), answer(PARAMS, *frame, config, tiled=True)
    np.testing.assert_allclose(dense.semantic, tiled.semantic, atol=2e-5)


def test_the_token_reads_memory_frame_and_prompt(frame):
    features, read, points = frame
    base = answer(PARAMS, *frame, ON).semantic

    def moved(other):
        return float(jnp.abs(base - other.semantic).max())

    fewer = read.replace(count=jnp.array([2]))
    assert moved(answer(PARAMS, features, fewer, points, ON)) > 1e-4
    other = features.replace(s16=features.s16[:, ::-1])
    assert moved(answer(PARAMS, other, read, points, ON)) > 1e-3
    elsewhere = points.replace(points_xy=points.points_xy + 25.0)
    assert moved(answer(PARAMS, features, read, elsewhere, ON)) > 1e-4
    # What lies beyond the valid memories it does not see.
    noisy = read.replace(features=read.features.at[:, 3:].set(1e3))
    assert moved(answer(PARAMS, features, noisy, points, ON)) == 0


def test_a_fresh_token_leaves_the_other_weights_alone():
    plain = init_params(OFF, 7)
    params, config = add_semantic_token(plain, OFF, seed=3)
    assert config == ON and set(params) - set(plain) == {"semantic"}
    assert all(params[name] is plain[name] for name in plain)
    assert params["semantic"]["temperature"] == pytest.approx(0.07)
    assert 0 < np.abs(params["semantic"]["token"]).max() <= 0.04
    with pytest.raises(ValueError, match="has a semantic token already"):
        add_semantic_token(params, config)
    with pytest.raises(ValueError, match="tsl_bidirectional needs semantic_token"):
        OFF.replace(tsl_bidirectional=True)


def test_class_logits_are_cosines_over_the_temperature():
    rng = np.random.default_rng(0)
    text = np.linalg.qr(rng.standard_normal((512, 3)))[0].T.astype(np.float32)
    logits = semantic_head.class_logits(text[1:2], text, jnp.array([0.25]))
    np.testing.assert_allclose(logits, [[0, 4, 0]], atol=1e-5)
    with pytest.raises(ValueError, match=r"expected \[K, 512\]"):
        semantic_head.class_logits(text[:1], text[:, :8], jnp.array([0.25]))


@pytest.mark.parametrize(
    "learned,used,down,up",
    [(0.07, 0.07, 1, 1), (0.001, 0.01, 0, 1), (-3.0, 0.01, 0, 1), (5.0, 1.0, 1, 0)],
)
def test_temperature_stays_within_limits_and_comes_back(learned, used, down, up):
    """down, up: whether a step that lowers or raises it is let through."""
    value, back = jax.vjp(semantic_head.clamp, jnp.array([learned]))
    assert float(value[0]) == pytest.approx(used)
    assert float(back(jnp.array([1.0]))[0][0]) == down  # a step goes against the gradient
    assert float(back(jnp.array([-1.0]))[0][0]) == -up
