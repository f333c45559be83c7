"""Our own folder: exact, atomic, checked against the key table and its own sum."""

import json
import os

import jax
import numpy as np
import pytest

from surgjax.checkpoints import CheckpointError, load, load_params, save_params
from surgjax.checkpoints.orbax import CONFIG_FILE, PARAMS_FOLDER
from surgjax.checkpoints.torch_export import flatten
from surgjax.models.variants import get_config
from tests.checkpoints.weights import DEBUG, random_params, same_bits
from tests.train import children


@pytest.fixture
def saved(tmp_path):
    params = random_params()
    save_params(tmp_path / "run", params, DEBUG, source="test")
    return tmp_path / "run", params


def test_params_and_config_come_back(tmp_path):
    config = DEBUG.replace(image_size=96)
    params = random_params(config)
    sha256 = save_params(tmp_path / "run", params, config)
    restored, found, found_sha256 = load_params(tmp_path / "run")
    assert found == config and found_sha256 == sha256
    assert same_bits(flatten(restored), flatten(params))
    loaded = load(tmp_path / "run")
    assert (loaded.config, loaded.sha256, loaded.kind) == (config, sha256, "surgjax folder")
    assert loaded.source == str(tmp_path / "run")


def test_jax_arrays_are_saved_too(tmp_path):
    params = random_params()
    sha256 = save_params(tmp_path / "a", jax.tree.map(jax.numpy.asarray, params), DEBUG)
    assert sha256 == save_params(tmp_path / "b", params, DEBUG)


def test_the_sum_is_of_the_values(tmp_path):
    params = random_params()
    first = save_params(tmp_path / "a", params, DEBUG)
    params["no_mem_embed"][0, 0, 0] += 1
    assert save_params(tmp_path / "b", params, DEBUG) != first


def test_relative_paths_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_params("run", random_params(), DEBUG)
    assert load_params("run")[1] == DEBUG


def test_a_folder_in_use_is_refused_unless_overwritten(saved):
    folder, _ = saved
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is not empty"):
        save_params(folder, random_params(seed=1), DEBUG)
    newer = random_params(seed=1)
    save_params(folder, newer, DEBUG, overwrite=True)
    assert same_bits(flatten(load_params(folder)[0]), flatten(newer))
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in folder.parent.iterdir()] == ["run"]


def test_a_failed_save_changes_nothing(saved, monkeypatch):
    folder, params = saved

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("surgjax.checkpoints.orbax.reserve", fail)
    with pytest.raises(OSError, match="No space left"):
        save_params(folder, random_params(seed=1), DEBUG, overwrite=True)
    with pytest.raises(OSError, match="No space left"):
        save_params(folder.parent / "deep" / "new", params, DEBUG)
    assert [p.name for p in folder.parent.iterdir()] == ["run"]
    assert same_bits(flatten(load_params(folder)[0]), flatten(params))


def test_a_failed_swap_puts_the_old_entries_back(saved, monkeypatch):
    folder, params = saved
    rename, calls = os.rename, []

    def fail_late(before, after):
        calls.append(before)
        if os.path.dirname(after) == str(folder) and len(calls) == 4:  # after both moves out
            raise OSError(5, "Input/output error")
        rename(before, after)

    monkeypatch.setattr(os, "rename", fail_late)
    from surgjax.checkpoints.atomic import atomic_folder

    with pytest.raises(OSError, match="Input/output"), atomic_folder(folder, True) as new:
        for name in (CONFIG_FILE, PARAMS_FOLDER):
            (new / name).write_text("new")
    monkeypatch.undo()
    assert [p.name for p in folder.parent.iterdir()] == ["run"]
    assert same_bits(flatten(load_params(folder)[0]), flatten(params))


def _edit_config(folder, **changes):
    about = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**about, **changes}))


def test_weights_that_differ_from_the_stored_sum_are_refused(saved):
    folder, _ = saved
    _edit_config(folder, sha256="0" * 64)
    with pytest.raises(CheckpointError, match="is damaged: the weights have sha256"):
        load_params(folder)


def test_another_config_than_the_weights_is_refused(saved):
    folder, _ = saved
    about = json.loads((folder / CONFIG_FILE).read_text())
    _edit_config(folder, config={**about["config"], "version": "2.0"})
    with pytest.raises(CheckpointError, match="does not fit SAM 2.0 debug: 0 missing, 3 unexp"):
        load_params(folder)
    _edit_config(folder, config={**about["config"], "memory_layers": 3})
    with pytest.raises(CheckpointError, match="does not fit SAM 2.1 debug: 26 missing"):
        load_params(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": "other"}, "expected format 'surgjax-params-1'"),
        ({"files": None}, "lists no files"),
        ({"config": None}, "config that is a NoneType"),
        ({"config": {"colour": "red"}}, "unknown fields: colour"),
        ({"config": {"name": "debug"}}, "lacks the fields"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(saved, changes, match):
    folder, _ = saved
    _edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=match) as caught:
        load_params(folder)
    assert str(folder) in str(caught.value)


def test_an_invalid_value_in_the_config_is_refused(saved):
    folder, _ = saved
    about = json.loads((folder / CONFIG_FILE).read_text())
    _edit_config(folder, config={**about["config"], "image_size": 100})
    with pytest.raises(CheckpointError, match="not valid.*100"):
        load_params(folder)


def test_damaged_folders_are_refused(saved):
    folder, _ = saved
    (folder / CONFIG_FILE).write_text("{")
    with pytest.raises(CheckpointError, match="config.json: cannot be read"):
        load(folder)


def test_every_lost_or_shortened_file_is_named(saved):
    folder, _ = saved
    files = [p for p in (folder / PARAMS_FOLDER).rglob("*") if p.is_file()]
    assert len(files) > 4
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(CheckpointError, match=f"expected {len(content)} bytes, found") as e:
            load_params(folder)
        path.unlink()
        with pytest.raises(CheckpointError, match="no such file"):
            load_params(folder)
        assert path.name in str(e.value) and str(folder) in str(e.value)
        path.write_bytes(content)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax's threads
def test_flipped_bits_are_found(saved):
    folder, _ = saved
    largest = max((folder / PARAMS_FOLDER).rglob("*"), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be restored|is damaged"):
        load_params(folder)


def test_params_of_another_config_are_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match="3 unexpected"):
        save_params(tmp_path / "new" / "run", random_params(), get_config("debug", "2.0"))
    assert not list(tmp_path.iterdir())


def test_nothing_is_computed_in_another_precision(saved):
    restored, _, _ = load_params(saved[0])
    assert {a.dtype for a in flatten(restored).values()} == {np.dtype(np.float32)}


def test_one_of_several_processes_writes_and_reads_by_itself(tmp_path):
    port = children.free_port()
    module = "tests.checkpoints.process_alone"
    first, second = children.run_all(
        [["-m", module, str(port), str(index), str(tmp_path / "saved")] for index in range(2)]
    )
    assert first.returncode == second.returncode == 0, first.stderr[-3000:]
    assert "same" in first.stdout.splitlines()
