"""A bank in a file: kept when nothing changed, refused by name when something did."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from surgjax.checkpoints import text_bank_file
from surgjax.checkpoints.errors import CheckpointError
from surgjax.checkpoints.text_bank_file import (
    METADATA_KEY,
    cached_clip_bank,
    cached_orthogonal_bank,
    load_bank,
    save_bank,
)
from surgjax.text.categories import TextClass, instruments
from surgjax.text.templates import Templates
from surgjax.text.text_bank import orthogonal_bank
from tests.text import clip_folder

CLASSES = instruments()[:3]
TEMPLATES = Templates(("a {name}",), ("the {name}",))


@pytest.fixture
def clip(tmp_path):
    clip_folder.write(tmp_path / "clip")
    return tmp_path / "clip"


def make(tmp_path, clip, classes=CLASSES, templates=TEMPLATES, recompute=False):
    return cached_clip_bank(tmp_path / "bank.safetensors", clip, classes, templates, recompute)


def same(a, b):
    assert a.names == b.names and a.kind == b.kind and dict(a.inputs) == dict(b.inputs)
    np.testing.assert_array_equal(a.vectors, b.vectors)
    np.testing.assert_array_equal(a.is_instrument, b.is_instrument)


def test_written_once_and_then_read(tmp_path, clip, monkeypatch):
    bank, is_new = make(tmp_path, clip)
    assert is_new and bank.vectors.shape == (3, 8) and bank.names[0] == "ligature"
    assert set(bank.inputs) == {
        "method", "weights", "config.json", "vocab.json", "merges.txt", "templates", "classes",
    }  # fmt: skip
    monkeypatch.setattr(text_bank_file, "load_clip_text", None)  # a call would fail
    again, is_new = make(tmp_path, clip)
    assert not is_new
    same(bank, again)


def other_weights(clip):
    clip_folder.write(clip, seed=1)


def other_merges(clip):
    text = (clip / "merges.txt").read_text(encoding="utf-8").split("\n")
    (clip / "merges.txt").write_text("\n".join(text[:1] + text[2:]), encoding="utf-8")


def other_vocabulary(clip):
    values = json.loads((clip / "vocab.json").read_text(encoding="utf-8"))
    (clip / "vocab.json").write_text(json.dumps(values, indent=1), encoding="utf-8")


def other_config(clip):
    values = json.loads((clip / "config.json").read_text())
    (clip / "config.json").write_text(json.dumps(values | {"hidden_act": "gelu"}))


def no_config(clip):
    (clip / "config.json").unlink()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (other_weights, "weights"),
        (other_merges, "merges.txt"),
        (other_vocabulary, "vocab.json"),
        (other_config, "config.json"),
        (no_config, "config.json"),
    ],
)
def test_a_changed_file_is_refused_by_name_and_made_anew_when_asked(tmp_path, clip, change, name):
    make(tmp_path, clip)
    before = (tmp_path / "bank.safetensors").read_bytes()
    change(clip)
    with pytest.raises(CheckpointError) as raised:
        make(tmp_path, clip)
    head = f"{tmp_path / 'bank.safetensors'}: was made from something else ({name}: "
    assert str(raised.value).startswith(head) and str(raised.value).count(";") == 0
    assert (tmp_path / "bank.safetensors").read_bytes() == before
    bank, is_new = make(tmp_path, clip, recompute=True)
    assert is_new
    same(bank, load_bank(tmp_path / "bank.safetensors"))


@pytest.mark.parametrize(
    ("classes", "templates", "name"),
    [
        (CLASSES[:2], TEMPLATES, "classes"),
        ((*CLASSES[:2], TextClass("grasper", ("other words",), True)), TEMPLATES, "classes"),
        (CLASSES, Templates(("one {name}",), ("the {name}",)), "templates"),
    ],
)
def test_other_classes_or_templates_are_refused_by_name(tmp_path, clip, classes, templates, name):
    make(tmp_path, clip)
    with pytest.raises(CheckpointError, match=rf"something else \({name}: "):
        make(tmp_path, clip, classes, templates)


def test_the_fallback_never_stands_in_for_clip_nor_clip_for_it(tmp_path, clip):
    path = tmp_path / "bank.safetensors"
    bank, is_new = cached_orthogonal_bank(path, CLASSES)
    assert is_new and bank.kind.startswith("orthogonal fallback")
    kept, is_new = cached_orthogonal_bank(path, CLASSES)
    assert not is_new
    same(bank, kept)
    with pytest.raises(CheckpointError, match="kind: orthogonal fallback, no language in it there"):
        make(tmp_path, clip)
    assert make(tmp_path, clip, recompute=True)[0].kind == "CLIP text tower"
    with pytest.raises(CheckpointError, match="kind: CLIP text tower there, orthogonal fallback"):
        cached_orthogonal_bank(path, CLASSES)


def test_same_bank_same_bytes(tmp_path):
    bank = orthogonal_bank(CLASSES)
    save_bank(tmp_path / "a.safetensors", bank)
    save_bank(tmp_path / "b.safetensors", bank)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_damage_is_found(tmp_path):
    path = tmp_path / "bank.safetensors"
    save_bank(path, orthogonal_bank(CLASSES))
    whole = path.read_bytes()
    at = whole.index(b"ligature") + len(b"ligature")
    path.write_bytes(whole[: at - 1] + b"o" + whole[at:])
    with pytest.raises(CheckpointError, match="does not have the sum it names"):
        load_bank(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_bank(path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("{", "damaged text bank"),
        ('{"format": 2}', "has format 2, this version reads 1"),
        ('{"format": 1}', "damaged text bank"),
        ("[]", "damaged text bank"),
        ('{"format": 1, "names": ["a", "b"], "kind": "", "inputs": {}}', "expected float32 vec"),
    ],
)
def test_metadata_that_is_none(tmp_path, about, message):
    path = tmp_path / "bank.safetensors"
    save_bank(path, orthogonal_bank(CLASSES))
    save_file(load_file(path), path, {METADATA_KEY: about})
    with pytest.raises(CheckpointError, match=message):
        load_bank(path)


def test_what_is_no_bank_is_neither_read_nor_overwritten(tmp_path, clip):
    path = tmp_path / "bank.safetensors"
    save_file({"a": np.zeros(2, np.float32)}, path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="is no text bank"):
        load_bank(path)
    with pytest.raises(CheckpointError, match="is no text bank, and is not overwritten"):
        make(tmp_path, clip, recompute=True)
    assert path.read_bytes() == before
    with pytest.raises(CheckpointError, match="no such file; `python -m experiments.text_bank`"):
        load_bank(tmp_path / "absent.safetensors")


def test_a_failed_write_leaves_nothing(tmp_path, clip, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        make(tmp_path, clip)
    assert [p.name for p in tmp_path.iterdir()] == ["clip"]
