"""The launcher: flags, messages, exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import data_preparation
from tests.tfds_builders import reading
from tfds_builders import registry
from tfds_builders.kit import fake

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(), "--dataset is missing"),
        (dict(dataset="nothing", data_dir="x"), "--dataset: expected one of .*davis_folder"),
        (dict(dataset="davis_folder/big", data_dir="x", manual_dir="."), "has configs unnamed"),
        (dict(dataset="davis_folder", manual_dir="."), "--data_dir is missing"),
        (dict(dataset="davis_folder", data_dir="x"), "--manual_dir is missing(.|\n)*JPEGImages/"),
        (
            dict(dataset="davis_folder", data_dir="x", manual_dir="nowhere"),
            "nowhere: no such folder",
        ),
        (dict(dataset="generated", data_dir="x", manual_dir="."), "needs no archive"),
        (dict(dataset="generated", data_dir="x", side=8), "--side: expected at least 32"),
    ],
)
def test_senseless_flags_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        data_preparation.run(reading.options(**values))


def test_list_names_every_set():
    status, text = reading.run(list=True)
    assert status == 0
    assert [line.split(":")[0] for line in text.splitlines()] == list(registry.NAMES)


def test_fake_then_check_then_build_then_nothing_to_do(tmp_path):
    archive, data = tmp_path / "archive", tmp_path / "data"
    status, text = reading.run(dataset="davis_folder", fake=archive)
    assert status == 0, text
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        data_preparation.run(reading.options(dataset="davis_folder", fake=archive))
    values = dict(dataset="davis_folder", manual_dir=archive)
    status, text = reading.run(**values, check_only=True)
    assert (status, "0 errors" in text) == (0, True)
    assert not data.exists()
    status, text = reading.run(**values, data_dir=data, jobs=1)
    assert status == 0, text
    assert f"ready in {reading.version_folder(data, 'davis_folder')}" in text
    status, text = reading.run(**values, data_dir=data, jobs=1)
    assert (status, "is there already" in text) == (0, True)
    for picture in archive.rglob("*.jpg"):
        picture.touch()  # a copy of the same archive is the same archive
    status, text = reading.run(**values, data_dir=data, jobs=1)
    assert (status, "is there already" in text) == (0, True)


def test_a_set_that_is_there_from_another_archive_is_not_taken_for_this_one(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        registry.fake("davis_folder").make(tmp_path / name, seed=seed)
    values = dict(dataset="davis_folder", data_dir=tmp_path / "data", jobs=1)
    assert reading.run(**values, manual_dir=tmp_path / "a")[0] == 0
    status, text = reading.run(**values, manual_dir=tmp_path / "b")
    assert status == 1
    assert "was built from another archive or with other flags" in text


def test_the_command_ends_in_one_message_and_a_status(tmp_path):
    (tmp_path / "archive" / "pictures").mkdir(parents=True)
    (tmp_path / "archive" / "pictures" / "a.txt").write_text("?")
    for arguments, message in (
        (["--dataset=nothing", "--data_dir=x"], "expected one of"),
        (
            ["--dataset=davis_folder", "--check_only", f"--manual_dir={tmp_path / 'archive'}"],
            "no video or image of davis_folder found",
        ),
        (["davis_folder"], "unexpected argument davis_folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "experiments.prepare_data", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("prepare_data: ")
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_masks_are_opened_in_spite_of_a_wrong_count_but_not_where_files_are_missing(tmp_path):
    (*_, last) = registry.fake("cholecseg8k").make(tmp_path)
    (mask,) = last.frames[1].labels
    fake.write_value(tmp_path / mask, (77, 77, 77))
    values = dict(dataset="cholecseg8k", manual_dir=tmp_path, check_only=True)
    status, text = reading.run(**values)
    assert status == 1
    assert "frames of the whole set: expected 8080" in text and "unknown label value 77" in text
    (tmp_path / last.frames[0].labels[0]).unlink()
    status, text = reading.run(**values)
    assert status == 1
    assert "not opened yet" in text and "unknown label" not in text
