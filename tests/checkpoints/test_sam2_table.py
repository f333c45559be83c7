"""The key table against the original code's listing, transformers' model, and our own model."""

import json
import math

import pytest

from surgjax.checkpoints.key_check import find_problems
from surgjax.checkpoints.tables.sam2 import params_path, table
from surgjax.checkpoints.torch_import import expected_shapes
from surgjax.models.sam2 import abstract_params
from surgjax.models.variants import OFFICIAL, VARIANTS, VERSIONS, get_config
from tests.checkpoints import official_keys
from tests.checkpoints.hugging_face import video_config

PARAMETERS = {
    ("tiny", "2.1"): 38_962_498,
    ("small", "2.1"): 46_060_354,
    ("base_plus", "2.1"): 80_850_178,
    ("large", "2.1"): 224_446_642,
    ("tiny", "2.0"): 38_945_986,
    ("small", "2.0"): 46_043_842,
    ("base_plus", "2.0"): 80_833_666,
    ("large", "2.0"): 224_430_130,
}
EVERY = [(name, version) for name in VARIANTS for version in VERSIONS]


@pytest.mark.parametrize(("name", "version"), PARAMETERS)
def test_names_and_shapes_are_those_of_the_original_code(name, version):
    golden = json.loads(official_keys.GOLDEN.read_text())[f"{name} {version}"]
    shapes = expected_shapes(get_config(name, version), "official")
    assert official_keys.summary(shapes) == golden
    rows = table(get_config(name, version))
    count = sum(math.prod(row.shape) for row in rows if not row.is_buffer)
    assert count == PARAMETERS[name, version]


def test_the_golden_listing_notices_one_changed_shape():
    golden = json.loads(official_keys.GOLDEN.read_text())["tiny 2.1"]
    shapes = expected_shapes(get_config("tiny"), "official")
    shapes["no_obj_ptr"] = (256,)
    assert official_keys.summary(shapes) != golden


@pytest.mark.parametrize(
    ("name", "version"), [*((name, "2.1") for name in VARIANTS), ("debug", "2.0"), ("tiny", "2.0")]
)
def test_paths_and_shapes_are_those_of_our_model(name, version):
    config = get_config(name, version)
    small = config.replace(image_size=min(config.image_size, 256))  # no weight depends on it
    found = _shapes(abstract_params(small))
    expected = {"/".join(row.path): row.params_shape for row in table(config)}
    assert found == expected


@pytest.mark.parametrize(("name", "version"), PARAMETERS)
def test_names_and_shapes_are_those_of_transformers(require_torch, name, version):
    transformers = pytest.importorskip("transformers")
    with require_torch.device("meta"):
        model = transformers.Sam2VideoModel(video_config(get_config(name, version)))
    found = {n: (tuple(t.shape), "float32") for n, t in model.state_dict().items()}
    problems = find_problems(found, expected_shapes(get_config(name, version), "hugging_face"))
    assert not problems.count, problems


@pytest.mark.parametrize(("name", "version"), EVERY)
def test_every_name_and_path_occurs_once(name, version):
    rows = table(get_config(name, version))
    assert len({r.official for r in rows}) == len(rows)
    assert len({r.path for r in rows}) == len(rows)
    assert len({(r.hugging_face, r.hugging_face_row) for r in rows}) == len(rows)
    assert sum(r.is_buffer for r in rows) == 1


@pytest.mark.parametrize(
    ("official", "leaf", "path"),
    [
        ("a.blocks.0.attn.qkv.weight", "kernel", "a/blocks_0/attn/qkv/kernel"),
        ("m.encoder.12.bias", None, "m/encoder_12/bias"),
        ("d.mlps.3.layers.2.weight", "kernel", "d/mlps_3/layers_2/kernel"),
        ("no_obj_ptr", None, "no_obj_ptr"),
    ],
)
def test_path_rule(official, leaf, path):
    assert "/".join(params_path(official, leaf)) == path


@pytest.mark.parametrize("version", VERSIONS)
def test_the_gaussian_matrix_is_the_one_buffer(version):
    (buffer,) = [r for r in table(get_config("tiny", version)) if r.is_buffer]
    assert buffer.official == "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def test_official_variants_are_all_counted():
    assert {name for name, _ in PARAMETERS} == set(OFFICIAL)


def _shapes(tree, prefix=""):
    found = {}
    for name, value in tree.items():
        inner = f"{prefix}{name}"
        found |= _shapes(value, f"{inner}/") if isinstance(value, dict) else {inner: value.shape}
    return found
