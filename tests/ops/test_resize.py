"""Resampling against PyTorch's kernels, and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from surgjax.ops import masks, resize


@pytest.mark.parametrize("size", [(7, 64), (14, 128), (8, 32), (4, 16)])
def test_bicubic_position_embedding_equals_torch(require_torch, size):
    torch, (n_in, n_out) = require_torch, size
    grid = np.random.default_rng(0).standard_normal((1, n_in, n_in, 5)).astype(np.float32)
    want = torch.nn.functional.interpolate(
        torch.tensor(grid).permute(0, 3, 1, 2), size=(n_out, n_out), mode="bicubic"
    ).permute(0, 2, 3, 1)
    got = resize.resize_bicubic_grid(jnp.asarray(grid), (n_out, n_out))
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "size,to,antialias",
    [((16, 16), (64, 64), False), ((64, 48), (16, 16), True), ((33, 21), (16, 40), True)],
)
def test_bilinear_equals_torch(require_torch, size, to, antialias):
    torch = require_torch
    image = np.random.default_rng(1).standard_normal(size).astype(np.float32)
    want = torch.nn.functional.interpolate(
        torch.tensor(image)[None, None],
        size=to,
        mode="bilinear",
        align_corners=False,
        antialias=antialias,
    )[0, 0].numpy()
    got = resize.resize_bilinear(jnp.asarray(image), to, antialias)
    np.testing.assert_allclose(got, want, atol=2e-6)
    host = masks.resize_antialias(image, to) if antialias else masks.resize_logits(image, to)
    np.testing.assert_allclose(host, want, atol=5e-6)


def test_bicubic_weights_sum_to_one():
    np.testing.assert_allclose(resize.bicubic_matrix(50, 7).sum(1), 1.0, atol=1e-6)


def test_nearest_and_pool_undo_each_other():
    x = jnp.arange(2 * 3 * 4 * 2, dtype=jnp.float32).reshape(2, 3, 4, 2)
    up = resize.upsample_nearest_2x(x)
    assert up.shape == (2, 6, 8, 2)
    np.testing.assert_array_equal(resize.max_pool_2x2(up), x)
