"""Muon: orthogonal updates of matrices, Adam for the rest, and that the whole learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surgjax.models import sam2, variants
from surgjax.train import muon, optimizers


@pytest.mark.parametrize("shape", [(32, 32), (24, 96), (96, 24)])
def test_singular_values_come_near_one(shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32) * 1e-3
    result = np.asarray(muon.orthogonalise(jnp.asarray(x)))
    values = np.linalg.svd(result, compute_uv=False)
    # A square random matrix has values near 0, which five steps do not lift all the way.
    assert np.median(values) > 0.65 and values.max() < 1.3
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    assert (result * (u @ vt)).sum() / min(shape) > 0.6  # other vectors would give about 0


def test_update_folds_leading_axes_and_has_its_scale():
    rng = np.random.default_rng(0)
    grads = {"a": jnp.asarray(rng.standard_normal((3, 3, 4, 36)), jnp.float32)}
    transform = muon.scale_by_muon({"a": 3})
    updates, state = transform.update(grads, transform.init(grads))
    assert updates["a"].shape == (3, 3, 4, 36)
    assert 0.1 < float(jnp.sqrt(jnp.mean(updates["a"] ** 2))) < 0.25
    np.testing.assert_allclose(state.momentum["a"], 0.05 * grads["a"], rtol=1e-6)
    flat = {"a": grads["a"].reshape(36, 36)}
    plain = muon.scale_by_muon({"a": 1})
    np.testing.assert_allclose(
        plain.update(flat, plain.init(flat))[0]["a"].reshape(3, 3, 4, 36), updates["a"], rtol=1e-5
    )


def test_matrices_go_to_muon_and_the_rest_to_adam():
    rows = optimizers.matrix_rows(sam2.abstract_params(variants.get_config("nano")))
    block = rows["image_encoder"]["trunk"]["blocks_2"]
    assert block["attn"]["qkv"]["kernel"] == 1
    assert block["norm1"]["scale"] == 0 and block["attn"]["qkv"]["bias"] == 0
    assert rows["image_encoder"]["trunk"]["patch_embed"]["proj"]["kernel"] == 3
    assert rows["sam_mask_decoder"]["output_upscaling_0"]["kernel"] == 1
    assert rows["memory_encoder"]["fuser"]["layers_0"]["dwconv"]["kernel"] == 0


def test_both_halves_of_the_optimizer_descend():
    rng = np.random.default_rng(0)
    target = {
        "layer": {
            "kernel": jnp.asarray(rng.standard_normal((32, 64)), jnp.float32),
            "bias": jnp.asarray(rng.standard_normal(64), jnp.float32),
        }
    }
    options = optimizers.OptimizerOptions(name="muon", weight_decay=0.0)
    optimizer = optimizers.build_optimizer(options)
    params = jax.tree.map(jnp.zeros_like, target)
    state = optimizer.init(params)
    first = jax.tree.map(lambda t: float(jnp.abs(t).mean()), target)
    for _ in range(60):
        grads = jax.tree.map(lambda p, t: p - t, params, target)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, jax.tree.map(lambda u: 0.1 * u, updates))
    last = jax.tree.map(lambda p, t: float(jnp.abs(p - t).mean()), params, target)
    assert last["layer"]["kernel"] < 0.3 * first["layer"]["kernel"]
    assert last["layer"]["bias"] < 0.3 * first["layer"]["bias"]
