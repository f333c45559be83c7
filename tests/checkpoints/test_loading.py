"""`load`: names, kinds of files told by content, sums, and no torch on the way."""

import dataclasses
import hashlib
import importlib.resources
import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from surgjax.checkpoints import (
    CheckpointError,
    load,
    save_hugging_face,
    save_pt,
    save_safetensors,
)
from surgjax.checkpoints.torch_export import flatten
from tests.checkpoints.weights import DEBUG, random_params, random_state, same_bits


@pytest.fixture
def file(tmp_path):
    save_safetensors(tmp_path / "x.safetensors", random_params(), DEBUG)
    return tmp_path / "x.safetensors"


def test_the_sum_of_a_file_is_the_one_of_its_bytes(file):
    loaded = load(file)
    assert loaded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert loaded.source == str(file)


def test_the_kind_follows_from_the_content(tmp_path, file):
    save_pt(tmp_path / "weights.safetensors", random_params(), DEBUG)
    assert load(tmp_path / "weights.safetensors").kind == "official torch file"
    file.rename(tmp_path / "weights.pt")
    assert load(tmp_path / "weights.pt").kind == "official safetensors file"


def test_a_folder_with_one_file_is_that_file(file):
    (file.parent / "README.md").write_text("about")
    assert load(file.parent).source == str(file)
    save_pt(file.parent / "x.pt", random_params(), DEBUG)
    with pytest.raises(CheckpointError, match="found x.pt, x.safetensors"):
        load(file.parent)


def test_a_whole_hugging_face_repository_is_its_safetensors(tmp_path):
    save_hugging_face(tmp_path / "model.safetensors", random_params(), DEBUG)
    save_pt(tmp_path / "sam2.1_hiera_debug.pt", random_params(), DEBUG)
    with pytest.raises(CheckpointError, match="found model.safetensors, sam2.1_hiera_debug.pt"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert load(tmp_path).source == str(tmp_path / "model.safetensors")


def test_a_folder_without_a_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="found none"):
        load(tmp_path)


def test_safetensors_without_our_metadata_are_inferred(tmp_path):
    state = random_state()
    save_file(state, tmp_path / "x.safetensors")
    loaded = load(tmp_path / "x.safetensors")
    assert loaded.config == DEBUG


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ("{", "config that is not JSON"),
        ("[]", "config that is a list"),
        ('{"name": "debug", "shape": 1}', "unknown fields: shape"),
        ("[" * 100_000, "config that is not JSON"),
        *(
            (
                json.dumps(dataclasses.asdict(DEBUG) | {field: value}),
                f"not valid .{field}.*expected",
            )
            for field, value in {
                "stages": 5,
                "window_spec": [8, "4"],
                "mask_scale": "x",
                "num_heads": 0,
                "hidden_dim": 32.0,
                "max_cond_frames": -1,
                "memory_layers": True,
                "remat": 1,
            }.items()
        ),
        *(
            (json.dumps(dataclasses.asdict(DEBUG) | {"name": name}), "not valid .name")
            for name in ("../../escape", "/root/x", "a/b", "", ".hidden", "x" * 200, 5)
        ),
    ],
)
def test_broken_metadata_is_refused(tmp_path, metadata, match):
    save_file(random_state(), tmp_path / "x.safetensors", {"surgjax_config": metadata})
    with pytest.raises(CheckpointError, match=match):
        load(tmp_path / "x.safetensors")


def test_every_truncated_safetensors_file_is_refused(file):
    whole = file.read_bytes()
    for keep in [0, 1, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:keep])
        with pytest.raises(CheckpointError, match="x.safetensors"):
            load(file)


def test_a_safetensors_file_of_a_type_numpy_lacks_is_refused(tmp_path):
    save_file({"w": np.zeros(2, np.float64)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="is not a SAM 2 checkpoint"):
        load(tmp_path / "x.safetensors")


def test_names():
    with pytest.raises(CheckpointError, match="no weights for tiny are bundled"):
        load("tiny")
    with pytest.raises(CheckpointError, match="absent.pt: no such file or folder"):
        load("absent.pt")


def test_the_bundled_name_reads_the_asset(file, monkeypatch):
    monkeypatch.setattr(importlib.resources, "files", lambda _: file.parent)
    with pytest.raises(CheckpointError, match="expected surgjax/assets/nano.safetensors"):
        load("nano")
    (file.parent / "assets").mkdir()
    (file.parent / "assets" / "nano.safetensors").write_bytes(file.read_bytes())
    loaded = load("nano")
    assert loaded.source == "bundled:nano" and loaded.sha256 == load(file).sha256
    assert same_bits(flatten(loaded.params), flatten(random_params()))


def test_the_bundled_nano_loads_and_is_small():
    loaded = load("nano")
    assert (loaded.config.name, loaded.config.image_size) == ("nano", 256)
    asset = importlib.resources.files("surgjax").joinpath("assets", "nano.safetensors")
    assert len(asset.read_bytes()) <= 20_000_000
    assert all(np.isfinite(a).all() for a in flatten(loaded.params).values())


def test_loading_imports_neither_torch_nor_tensorflow_and_orbax_only_for_folders(tmp_path):
    save_pt(tmp_path / "x.pt", random_params(), DEBUG)
    save_safetensors(tmp_path / "x.safetensors", random_params(), DEBUG)
    code = (
        "import sys; from surgjax.checkpoints import load\n"
        f"load({str(tmp_path / 'x.pt')!r}); load({str(tmp_path / 'x.safetensors')!r})\n"
        "heavy = {'torch', 'tensorflow', 'orbax', 'jax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
