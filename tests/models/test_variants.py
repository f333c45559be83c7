"""Exact sizes of every variant, by shape evaluation."""

import jax
import jax.numpy as jnp
import pytest

from surgjax.models import sam2
from surgjax.models.variants import OFFICIAL, VARIANTS, get_config
from surgjax.structs import PointPrompts

# Counted from the state dicts of the official code (buffers left out): (2.1, 2.0).
PARAMETERS = {
    "tiny": (38_962_498, 38_945_986),
    "small": (46_060_354, 46_043_842),
    "base_plus": (80_850_178, 80_833_666),
    "large": (224_446_642, 224_430_130),
}
TRUNK = {
    "tiny": 26_849_472,
    "small": 33_947_328,
    "base_plus": 68_675_712,
    "large": 212_149_296,
}
SHARED = {
    "memory_attention": 5_922_304,
    "memory_encoder": 1_384_608,
    "sam_prompt_encoder": 6_220,
    "sam_mask_decoder": 4_215_109,
}


def test_no_official_variant_is_missing_from_the_table():
    assert set(PARAMETERS) == set(TRUNK) == set(OFFICIAL) == set(VARIANTS) - {"nano", "debug"}


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_parameter_counts(name, version):
    params = sam2.abstract_params(get_config(name, version))
    assert sam2.count_params(params) == PARAMETERS[name][version == "2.0"]
    assert sam2.count_params(params["image_encoder"]["trunk"]) == TRUNK[name]
    assert {part: sam2.count_params(params[part]) for part in SHARED} == SHARED


def test_nano_is_small():
    assert sam2.count_params(sam2.abstract_params(get_config("nano"))) <= 6_000_000


@pytest.mark.parametrize("name", ["tiny", "large", "nano"])
@pytest.mark.parametrize("size", [96, 512, 1024])
def test_stage_shapes_without_compute(name, size):
    config = get_config(name, image_size=size)
    model, params = sam2.Sam2(config), sam2.abstract_params(config)
    d, g, q = config.hidden_dim, config.grid, config.mask_size

    def answer(params, frames, points, mask, use_mask):
        def apply(*args, method):
            return model.apply({"params": params}, *args, method=method)

        features = apply(frames, method="encode_image")
        s16 = apply(features.s16, method="add_no_memory")
        output = apply(features, s16, points, mask, use_mask, method="decode")
        return features, apply(output, use_mask, method="select")

    def struct(*shape, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(shape, dtype)

    points = PointPrompts(struct(1, 4, 2), struct(1, 4, dtype=int), struct(1, 4, dtype=bool))
    args = (struct(1, size, size, 3), points, struct(1, q, q), struct(1, dtype=bool))
    features, output = jax.eval_shape(answer, params, *args)
    assert features.s4.shape == (1, q, q, d // 8)
    assert features.s8.shape == (1, 2 * g, 2 * g, d // 4)
    assert features.s16.shape == (1, g, g, d)
    assert output.low_res_multimasks.shape == (1, 3, q, q)
    assert output.pointer.shape == (1, d)


@pytest.mark.parametrize("size", [0, 100, 1000, -32])
def test_image_size_must_be_a_multiple_of_32(size):
    with pytest.raises(ValueError, match=f"image_size {size}: expected a positive multiple of 32"):
        get_config("tiny", image_size=size)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'huge': expected one of .*base_plus"):
        get_config("huge")
    with pytest.raises(ValueError, match="version '3'"):
        get_config("tiny", "3")


def test_the_fourier_matrix_is_kept_but_not_counted():
    params = sam2.abstract_params(get_config("tiny"))
    matrix = params["sam_prompt_encoder"]["pe_layer"]["positional_encoding_gaussian_matrix"]
    assert matrix.shape == (2, 128)
    assert sam2.count_params({"x": {"positional_encoding_gaussian_matrix": matrix}}) == 0
