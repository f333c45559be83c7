"""The command `experiments.text_bank`: what it prints, what it refuses in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.text_bank_classes import read_classes
from surgjax.checkpoints.text_bank_file import load_bank
from surgjax.text.categories import categories
from tests.text import clip_folder

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments):
    words = [sys.executable, "-m", "experiments.text_bank", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_makes_a_bank_keeps_it_and_prints_the_nearest(tmp_path):
    clip_folder.write(tmp_path / "clip")
    output = tmp_path / "bank.safetensors"
    arguments = [f"--clip={tmp_path / 'clip'}", f"--output={output}", "--classes=hook,grasper,fat"]
    done = command(*arguments, "--pairs=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "text bank  CLIP text tower"
    assert lines[1] == "classes    3, of them instruments 2"
    assert any(line.startswith("from       weights ") for line in lines)
    assert lines[-3] == "nearest pairs (cosine)" and " | " in lines[-1]
    bank = load_bank(output)
    assert bank.names == ("hook", "grasper", "fat")
    used = bank.instruments()  # what logs and summary.json name
    assert used.names == ("hook", "grasper")
    assert f"sha256     {used.sha256()}" in lines and f"wrote      {output}" in lines
    again = command(*arguments)
    assert f"kept      {output}" in again.stdout
    other = command(*arguments[:2], "--classes=sa_sv")
    assert other.returncode == 1
    assert other.stderr.startswith(f"text_bank: {output}: was made from something else (classes: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=b"], "--clip is missing: a folder of CLIP; or ask for --kind=orthogonal."),
        (["--output=b", "--clip=x", "--kind=orthogonal"], "--clip and --kind=orthogonal exclude"),
        (["--output=b", "--clip=nowhere"], "nowhere: no such folder; expected CLIP as"),
        (["--output=b", "--clip=x", "--classes=hook,umbrella"], "--classes: 'umbrella' is unknown"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    done = command(*arguments)
    assert done.returncode == 1 and done.stderr.startswith(f"text_bank: {message}")
    assert done.stderr.count("\n") == 1


def test_presets_data_sets_and_lists():
    assert read_classes("sa_sv") == categories()
    assert len(read_classes("sa_sv_instruments")) == 21
    assert [one.name for one in read_classes("hook, liver")] == ["hook", "liver"]
    generated = {one.name: one.is_instrument for one in read_classes("generated")}
    assert generated["cautery hook"] and not generated["liver"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hook,hook", "a name occurs twice"),
        ("cadis", "cadis has no single list of classes"),
        ("cholec80", "cholec80 has no single list of classes"),
        ("nowhere.json", "nowhere.json: cannot be read"),
    ],
)
def test_classes_that_are_refused(value, message):
    with pytest.raises(ValueError, match=f"--classes.*{message}"):
        read_classes(value)


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"trocar": {"is_instrument": true, "phrases": ["trocar", "port"]}}')
    (one,) = read_classes(str(path))
    assert (one.name, one.phrases, one.is_instrument) == ("trocar", ("trocar", "port"), True)
    for wrong in ({}, [], {"a": 1}, {"a": {}}, {"a": {"is_instrument": 1}},
                  {"a": {"is_instrument": True, "phrases": []}},
                  {"a": {"is_instrument": True, "phrases": [" "]}},
                  {"a": {"is_instrument": True, "more": 1}}):  # fmt: skip
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="mine.json"):
            read_classes(str(path))
