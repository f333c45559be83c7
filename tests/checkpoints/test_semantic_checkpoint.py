"""Weights with a semantic token: names apart from the published ones, never made up on loading."""

import json

import pytest

from surgjax.checkpoints import (
    CheckpointError,
    export_hugging_face,
    export_official,
    load,
    save_hugging_face,
    save_params,
    save_pt,
    save_safetensors,
)
from surgjax.checkpoints.config_json import config_from_dict, config_to_json
from surgjax.checkpoints.torch_export import flatten
from surgjax.checkpoints.torch_import import import_params
from surgjax.models.sam2 import abstract_params, add_semantic_token
from surgjax.models.variants import TrainedBank
from tests.checkpoints.weights import DEBUG, random_params, same_bits

TOKEN = DEBUG.replace(semantic_token=True)
BOTH_WAYS = TOKEN.replace(tsl_bidirectional=True)
WITH_BANK = TOKEN.replace(
    text_bank=TrainedBank("made up", "0" * 64, ("grasper", "hook"), ("1" * 16, "2" * 16))
)


def test_names_stand_apart_and_the_published_ones_stay():
    params = random_params(TOKEN)
    with_token = export_official(params, TOKEN)
    plain = {name: leaf for name, leaf in params.items() if name != "semantic"}
    new = sorted(set(with_token) - set(export_official(plain, DEBUG)))
    assert new == [
        "sam2s.mlp.layers.0.bias", "sam2s.mlp.layers.0.weight", "sam2s.mlp.layers.1.bias",
        "sam2s.mlp.layers.1.weight", "sam2s.norm.bias", "sam2s.norm.weight", "sam2s.temperature",
        "sam2s.token",
    ]  # fmt: skip
    assert set(new) < set(export_hugging_face(params, TOKEN))
    assert with_token["sam2s.mlp.layers.1.weight"].shape == (512, TOKEN.hidden_dim)


def test_the_table_is_what_the_model_has():
    wanted = {k: v.shape for k, v in flatten_shapes(abstract_params(TOKEN)).items()}
    assert {k: v.shape for k, v in flatten(random_params(TOKEN)).items()} == wanted


def flatten_shapes(tree, above=""):
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten_shapes(value, f"{above}{name}/")
        else:
            flat[above + name] = value
    return flat


@pytest.mark.parametrize("config", [TOKEN, BOTH_WAYS, WITH_BANK])
def test_files_with_a_config_in_them_come_back_whole(tmp_path, config):
    params = random_params(config)
    save_safetensors(tmp_path / "a.safetensors", params, config)
    save_hugging_face(tmp_path / "b.safetensors", params, config)
    save_params(tmp_path / "c", params, config)
    for name in ("a.safetensors", "b.safetensors", "c"):
        loaded = load(tmp_path / name)
        assert loaded.config == config
        assert same_bits(flatten(loaded.params), flatten(params)), name


def test_a_torch_file_says_that_there_is_a_token_but_not_who_reads_it(tmp_path):
    params = random_params(BOTH_WAYS)
    save_pt(tmp_path / "a.pt", params, BOTH_WAYS)
    loaded = load(tmp_path / "a.pt")
    assert loaded.config == TOKEN
    assert same_bits(flatten(loaded.params), flatten(params))


def test_a_token_is_not_made_up():
    params = random_params(DEBUG)
    with pytest.raises(CheckpointError, match="8 missing(.|\n)*sam2s.token"):
        import_params(export_official(params, DEBUG), TOKEN)
    with pytest.raises(CheckpointError, match="8 unexpected"):
        import_params(export_official(random_params(TOKEN), TOKEN), DEBUG)
    asked, config = add_semantic_token(params, DEBUG)
    assert config == TOKEN
    back = import_params(export_official(asked, config), config)
    plain = {name: leaf for name, leaf in back.items() if name != "semantic"}
    assert same_bits(flatten(plain), flatten(params))


def test_a_config_names_a_bank_only_where_there_is_one():
    assert "text_bank" not in config_to_json(TOKEN)  # other versions read it, too
    for wrong in ({"kind": "x"}, "x", {**vars(WITH_BANK.text_bank), "rows": ["1"]}):
        values = json.loads(config_to_json(TOKEN)) | {"text_bank": wrong}
        with pytest.raises(CheckpointError, match="holds a config that is not valid .text_bank"):
            config_from_dict(values)
