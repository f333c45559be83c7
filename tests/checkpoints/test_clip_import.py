"""What the converter of CLIP's text tower refuses; good files are compared in tests/parity."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from surgjax.checkpoints.clip_import import clip_sha256, load_clip_text
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.fingerprint import file_sha256
from tests.text import clip_folder

FILE = "model.safetensors"
FC1 = "text_model.encoder.layers.1.mlp.fc1.weight"


def spoil(folder, change):
    tensors = load_file(folder / FILE)
    change(tensors)
    save_file(tensors, folder / FILE)


def test_folder_file_and_split_files_are_the_same_tower(tmp_path):
    config = clip_folder.write(tmp_path)
    whole = load_clip_text(tmp_path)
    assert whole.config == config and whole.files == (FILE,)
    assert whole.sha256 == clip_sha256(tmp_path) == file_sha256(tmp_path / FILE)
    assert load_clip_text(tmp_path / FILE).sha256 == whole.sha256
    tensors = load_file(tmp_path / FILE)
    names = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for part in set(names.values()):
        save_file({n: t for n, t in tensors.items() if names[n] == part}, tmp_path / part)
    (tmp_path / FILE).unlink()
    (tmp_path / f"{FILE}.index.json").write_text(json.dumps({"weight_map": names}))
    split = load_clip_text(tmp_path)
    assert split.files == ("part-0.safetensors", "part-1.safetensors")
    assert split.sha256 == clip_sha256(tmp_path) != whole.sha256
    kernel = split.params["text_model"]["encoder"]["layers_1"]["mlp"]["fc1"]["kernel"]
    np.testing.assert_array_equal(kernel, tensors[FC1].T)


def test_other_parts_of_a_whole_clip_are_left_out(tmp_path):
    config = clip_folder.write(tmp_path)
    extra = {
        "vision_model.post_layernorm.weight": np.ones(3, np.float32),
        "visual_projection.weight": np.ones((2, 3), np.float32),
        "logit_scale": np.ones((), np.float32),
        "text_model.embeddings.position_ids": np.arange(16)[None],
    }
    spoil(tmp_path, lambda tensors: tensors.update(extra))
    assert load_clip_text(tmp_path).config == config


def test_every_misfit_is_in_one_message(tmp_path):
    clip_folder.write(tmp_path)

    def change(tensors):
        del tensors["text_model.final_layer_norm.bias"]
        tensors[FC1] = tensors[FC1][:-1]
        tensors["text_model.encoder.layers.0.mlp.fc2.bias"] = np.zeros(16, np.int32)
        tensors["text_model.head.weight"] = np.zeros(2, np.float32)

    spoil(tmp_path, change)
    with pytest.raises(CheckpointError) as raised:
        load_clip_text(tmp_path)
    text = str(raised.value)
    assert "1 missing, 1 unexpected, 2 of another shape or type (of 37 tensors)" in text
    for part in (
        "text_model.final_layer_norm.bias",
        "text_model.head.weight",
        f"{FC1}: expected shape (32, 16), found (31, 16)",
        "layers.0.mlp.fc2.bias: expected one of float32, float16, bfloat16, found int32",
    ):
        assert part in text


def test_a_tower_without_projection_says_so(tmp_path):
    clip_folder.write(tmp_path)
    spoil(tmp_path, lambda tensors: tensors.pop("text_projection.weight"))
    with pytest.raises(CheckpointError, match="1 missing(.|\n)*text_projection.weight"):
        load_clip_text(tmp_path)


def test_a_layer_that_is_left_out_is_missing_and_its_followers_unexpected(tmp_path):
    clip_folder.write(tmp_path)

    def renumber(tensors):
        for name in [name for name in tensors if ".layers.1." in name]:
            tensors[name.replace(".layers.1.", ".layers.5.")] = tensors.pop(name)

    spoil(tmp_path, renumber)
    with pytest.raises(CheckpointError, match="16 missing, 16 unexpected"):
        load_clip_text(tmp_path)


def test_another_model_is_named_as_such(tmp_path):
    save_file({"image_encoder.weight": np.zeros(2, np.float32)}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="no CLIP text tower.*the first are image_encoder"):
        load_clip_text(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu', expected quick_gelu or gelu"),
        ({"num_attention_heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, expected a count"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps is 'small'"),
        ({"hidden_size": 512}, "says hidden_size 512, the tensors say 16"),
        ({"text_config": {"num_hidden_layers": 12}}, "num_hidden_layers 12, the tensors say 2"),
        ({"text_config": 1}, "text_config is no object"),
        ({"model_type": "siglip"}, "model_type 'siglip', expected a CLIP"),
        ([], "expected an object, found a list"),
    ],
)
def test_a_config_that_does_not_fit(tmp_path, settings, message):
    clip_folder.write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        load_clip_text(tmp_path)


def test_config_json_says_what_tensors_cannot(tmp_path):
    clip_folder.write(tmp_path)
    settings = dict(num_attention_heads=4, hidden_act="gelu", layer_norm_eps=1e-6)
    (tmp_path / "config.json").write_text(json.dumps({"text_config": settings}))
    config = load_clip_text(tmp_path).config
    assert (config.heads, config.activation, config.epsilon) == (4, "gelu", 1e-6)
    (tmp_path / "config.json").write_text("{}")
    assert load_clip_text(tmp_path).config.heads == 8  # transformers leaves its defaults out
    (tmp_path / "config.json").unlink()
    assert load_clip_text(tmp_path).config.heads == 1  # 64 wide each, as in every CLIP


class _Harmful:
    def __reduce__(self):
        return (print, ("this file was executed",))


def test_a_pickle_is_never_executed(tmp_path, capsys):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(_Harmful()))
    with pytest.raises(CheckpointError, match="is not a torch checkpoint"):
        load_clip_text(tmp_path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("target", ["../model.safetensors", "absent.safetensors"])
def test_an_index_may_only_name_files_beside_it(tmp_path, target):
    inner = tmp_path / "inner"
    clip_folder.write(tmp_path)
    inner.mkdir()
    (inner / f"{FILE}.index.json").write_text(json.dumps({"weight_map": {"a": target}}))
    with pytest.raises(CheckpointError, match="index.json: names .*, which is not beside it"):
        load_clip_text(inner)


def test_missing_folder_and_empty_folder(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such file or folder"):
        load_clip_text(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="expected model.safetensors .* found nothing"):
        load_clip_text(tmp_path)
