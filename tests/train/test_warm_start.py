"""Initialisation for training from nothing, and the shapes that teach prompts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.layers.position_encoding import axial_rope_table, rope_permutation, rotate
from surgjax.models import sam2, variants
from surgjax.train import warm_start
from surgjax.train.scene_batches import BatchOptions

CONFIG = variants.get_config("debug")


def test_decoder_attention_is_tied_and_nothing_else_changes():
    before = sam2.init_params(CONFIG, 0)
    after = warm_start.tie_attention(before)
    assert jax.tree.map(np.shape, before) == jax.tree.map(np.shape, after)
    block = after["sam_mask_decoder"]["transformer"]["layers_1"]["cross_attn_image_to_token"]
    np.testing.assert_array_equal(block["q_proj"]["kernel"], block["k_proj"]["kernel"])
    same = jax.tree.map(np.array_equal, before, after)
    same["sam_mask_decoder"].pop("transformer")
    assert all(jax.tree.leaves(same))


def test_memory_attention_looks_at_its_own_place():
    params = warm_start.localise_memory(sam2.init_params(CONFIG, 0))
    cross = params["memory_attention"]["layers_0"]["cross_attn_image"]
    np.testing.assert_array_equal(cross["q_proj"]["bias"], cross["k_proj"]["bias"])
    width, side = cross["q_proj"]["bias"].shape[0], 8
    bias = jnp.broadcast_to(cross["q_proj"]["bias"][rope_permutation(width)], (side**2, width))
    rotated = rotate(bias, jnp.asarray(axial_rope_table(side, width)))
    scores = np.array(rotated @ rotated.T)
    assert (scores.argmax(-1) == np.arange(side**2)).all()
    at_centre = scores[27].reshape(side, side)
    assert at_centre[3, 3] > at_centre[3, 4] > at_centre[3, 5]


def test_shapes_have_area_and_differ():
    masks = warm_start.draw_shapes(np.random.default_rng(0), 20, 64)
    areas = masks.mean((1, 2))
    assert masks.shape == (20, 64, 64) and masks.dtype == bool
    assert areas.max() < 0.6 and (areas > 0.005).mean() > 0.9 and len(set(areas)) > 15


def test_shape_batches_do_not_depend_on_where_the_source_was_opened():
    class Scenes:
        def draw(self, rng, drawn=None):
            drawn.append(int(rng.integers(100)))
            return (np.full((1, 8, 8, 3), drawn[-1], np.uint8), None, None)

    options = BatchOptions("shapes", 16, batch=2, objects=3)
    whole = list(itertools.islice(warm_start.shape_batches(Scenes(), options, 1), 3))
    again = next(warm_start.shape_batches(Scenes(), options, 1, start=2))
    jax.tree.map(np.testing.assert_array_equal, whole[2].arrays, again.arrays)
    assert whole[2].sources == again.sources != whole[1].sources
    half = next(warm_start.shape_batches(Scenes(), options, 1, start=2, rows=range(1, 2)))
    np.testing.assert_array_equal(half.arrays.masks[0], whole[2].arrays.masks[1])
    assert whole[2].sources[0]["scenes"] == [whole[2].arrays.frames[0, 0, 0, 0, 0]]
