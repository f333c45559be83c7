"""The command: every format to every other, one clear message for a bad file, nothing left."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import pytest

from surgjax.checkpoints import CheckpointError, conversion, load, save_pt, save_safetensors
from surgjax.checkpoints.torch_export import flatten
from surgjax.models.variants import get_config
from tests.checkpoints.weights import DEBUG, random_params, random_state, same_bits, write_zip

WRITTEN = {
    "orbax": ["config.json", "params", "tensors.json"],
    "safetensors": ["debug.safetensors", "tensors.json"],
    "pt": ["debug.pt", "tensors.json"],
    "hugging_face": ["model.safetensors", "tensors.json"],
}


@pytest.fixture
def source(tmp_path):
    save_pt(tmp_path / "in.pt", random_params(), DEBUG)
    return tmp_path / "in.pt"


def _python(*arguments):
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env)


def _command(*flags):
    return _python("-m", "experiments.convert_checkpoint", *flags)


def test_every_format_becomes_another_and_nothing_is_lost_on_the_way(tmp_path, source):
    out, sums = tmp_path / "out", set()
    for output_format in [*conversion.FORMATS, "orbax", "pt", "safetensors", "hugging_face"]:
        done = conversion.convert(source, out, output_format, overwrite=True)
        assert done.files == sorted(os.listdir(out)) == WRITTEN[output_format]  # the last is gone
        assert same_bits(flatten(load(out).params), flatten(random_params()))
        sums.add(done.content_sha256)
        source = out
    assert len(sums) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.pt", "out"]


def test_the_table_lists_every_tensor_with_its_sum(tmp_path, source):
    conversion.convert(source, tmp_path / "out", "pt")
    table = json.loads((tmp_path / "out" / "tensors.json").read_text())
    state = random_state()  # for the names
    official = {t["key"]: t for t in table["tensors"]}
    assert official.keys() == state.keys()
    assert table["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (table["model"], table["version"]) == ("debug", "2.1")
    qkv = random_params()["image_encoder"]["trunk"]["blocks_0"]["attn"]["qkv"]["kernel"]
    row = official["image_encoder.trunk.blocks.0.attn.qkv.weight"]
    assert row["shape"] == [24, 8] and row["dtype"] == "float32"
    assert row["path"] == "image_encoder/trunk/blocks_0/attn/qkv/kernel"
    assert row["sha256"] == hashlib.sha256(qkv.T.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "version", "stem"),
    [
        ("tiny", "2.1", "sam2.1_hiera_tiny"),
        ("base_plus", "2.0", "sam2_hiera_base_plus"),
        ("nano", "2.1", "nano"),
    ],
)
def test_files_get_the_official_names(name, version, stem):
    assert conversion.file_stem(get_config(name, version)) == stem


def test_the_command_prints_the_table_and_writes_our_folder(tmp_path, source):
    done = _command(f"--input={source}", f"--output={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert "official torch file: SAM 2.1 debug, 335 tensors" in done.stdout
    assert hashlib.sha256(source.read_bytes()).hexdigest() in done.stdout
    assert (
        sum("memory_attention.layers.0.linear1.weight" in x for x in done.stdout.split("\n")) == 1
    )
    assert "Traceback" not in done.stderr and "orbax" not in done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == WRITTEN["orbax"]


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-1000])


def _malicious(path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {path.parent / 'ran'}",)

    data = pickle.dumps({"model": Attack()}, protocol=2)
    write_zip(path, {"archive/data.pkl": data})


def _other_architecture(path):
    save_pt(path, random_params(), DEBUG)
    from surgjax.checkpoints.torch_reader import read_state_dict
    from surgjax.checkpoints.torch_writer import write_state_dict

    state = read_state_dict(path)
    write_state_dict(path, {f"module.{n}": a for n, a in state.items()})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncated, "truncated or damaged"),
        (_malicious, "nothing in the file was executed"),
        (_other_architecture, "is not a SAM 2 checkpoint"),
        (lambda path: path.unlink(), "no such file or folder"),
    ],
)
def test_a_bad_file_gives_one_message_and_leaves_nothing(tmp_path, source, spoil, message):
    spoil(source)
    before = sorted(p.name for p in tmp_path.iterdir())
    done = _command(f"--input={source}", f"--output={tmp_path / 'new' / 'out'}")
    assert done.returncode == 1 and not done.stdout
    assert message in done.stderr and str(source) in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_output_in_use_is_refused_and_kept(tmp_path, source):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    done = _command(f"--input={source}", f"--output={out}")
    assert done.returncode == 1 and "is not empty; pass --overwrite" in done.stderr
    assert os.listdir(out) == ["notes.txt"]
    conversion.convert(source, out, "pt", overwrite=True)
    assert sorted(os.listdir(out)) == ["debug.pt", "notes.txt", "tensors.json"]
    assert (out / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_a_fine_output_and_a_file_is_not(tmp_path, source):
    (tmp_path / "out").mkdir()
    conversion.convert(source, tmp_path / "out", "pt")
    assert sorted(os.listdir(tmp_path / "out")) == WRITTEN["pt"]
    with pytest.raises(CheckpointError, match="is a file, expected a folder"):
        conversion.convert(source, source, "pt", overwrite=True)


def test_a_name_in_the_file_cannot_lead_outside(tmp_path, source):
    """The model's name becomes the name of a file."""
    evil = tmp_path / "evil.safetensors"
    params = load(source).params
    save_safetensors(evil, params, DEBUG.replace(name="../../escape"))
    with pytest.raises(CheckpointError, match="name '../../escape': expected letters"):
        conversion.convert(evil, tmp_path / "a" / "b" / "out", "pt")
    save_safetensors(evil, params, DEBUG.replace(name=str(tmp_path / "escape")))
    with pytest.raises(CheckpointError, match="expected letters"):
        conversion.convert(evil, tmp_path / "a" / "b" / "out", "pt")
    assert not (tmp_path / "a").exists() and not list(tmp_path.glob("escape*"))


def test_names_in_an_old_table_cannot_reach_outside(tmp_path, source):
    out = tmp_path / "out"
    out.mkdir()
    listed = ["../in.pt", "notes.txt", "/etc", "debug.safetensors"]
    table = {"format": "surgjax-tensors-1", "files": listed}
    (out / "tensors.json").write_text(json.dumps(table))
    (out / "notes.txt").write_text("mine")
    (out / "debug.safetensors").write_text("old")
    conversion.convert(source, out, "pt", overwrite=True)
    assert sorted(os.listdir(out)) == ["debug.pt", "notes.txt", "tensors.json"]
    assert source.exists()


@pytest.mark.parametrize("output_format", conversion.FORMATS)
def test_a_full_disk_gives_a_message_and_leaves_nothing(tmp_path, source, output_format):
    """The limit on the size of a file stands in for a disk that is full halfway."""
    pytest.importorskip("resource")
    code = (
        "import resource, runpy, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "runpy.run_module('experiments.convert_checkpoint', run_name='__main__')\n"
    )
    flags = (f"--input={source}", f"--output={tmp_path / 'out'}", f"--format={output_format}")
    done = _python("-c", code, *flags)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr and "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in.pt"]
