"""Folders of users' own: names as they come, mistakes named."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tfds_builders import reading
from tfds_builders import registry
from tfds_builders.kit import fake


def _run(archive: Path, tmp_path: Path):
    return reading.run(dataset="davis_folder", manual_dir=archive, data_dir=tmp_path / "data")


def _video(archive: Path, names: list[str]) -> None:
    """Frames whose grey says which they are, each with a mask of that value."""
    for name in names:
        number = int("".join(c for c in name if c.isdigit()))
        folder = archive / "JPEGImages/v"
        fake.write_image(folder / f"{name}.png", np.full((32, 32, 3), number, np.uint8))
        labels = np.full((32, 32), number, np.uint8)
        fake.write_labels(archive / f"Annotations/v/{name}.png", labels)


def test_frames_without_padding_come_in_the_order_of_their_numbers(tmp_path):
    _video(tmp_path / "archive", ["frame1", "frame2", "frame10", "frame9"])
    status, text = _run(tmp_path / "archive", tmp_path)
    assert status == 0, text
    _, records, _ = reading.read(reading.version_folder(tmp_path / "data", "davis_folder"))
    assert [int(r["image"][0, 0, 0]) for r in records["v"]] == [1, 2, 9, 10]
    assert [int(r["instances"][0, 0, 0]) for r in records["v"]] == [1, 2, 9, 10]


def test_a_suffix_in_capitals_is_a_mask_and_another_format_is_named(tmp_path):
    archive = tmp_path / "archive"
    _video(archive, ["1", "2"])
    mask = archive / "Annotations/v/2.png"
    mask.rename(mask.with_suffix(".PNG"))
    status, text = _run(archive, tmp_path)
    assert (status, "frames with a mask: 2" in text) == (0, True), text
    (archive / "Annotations/v/1.png").rename(archive / "Annotations/v/1.bmp")
    status, text = reading.run(dataset="davis_folder", manual_dir=archive, check_only=True)
    assert status == 1
    assert "v/1.bmp: expected masks as PNG, found .bmp" in text


def test_two_frames_of_one_name_are_refused(tmp_path):
    _video(tmp_path / "archive", ["1"])
    folder = tmp_path / "archive/JPEGImages/v"
    fake.write_image(folder / "1.jpg", np.zeros((32, 32, 3), np.uint8))
    status, text = _run(tmp_path / "archive", tmp_path)
    assert status == 1
    assert "1.png: 1.jpg has the same name" in text


def test_texts_from_windows_are_read(tmp_path):
    """A byte-order mark and CRLF."""
    archive = tmp_path / "archive"
    registry.fake("davis_folder").make(archive)
    for path in (archive / "meta.json", *(archive / "ImageSets").glob("*.txt")):
        text = path.read_text().replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    status, text = reading.run(dataset="davis_folder", manual_dir=archive, check_only=True)
    assert status == 0, text


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"w": {}}, "meta.json: w: JPEGImages holds no such video"),
        ({"v": []}, "meta.json: v: expected the form in the README"),
        ({"v": {"objects": {"1": "grasper"}}}, "v: expected the form in the README"),
        (
            {"v": {"objects": {"grasper": {}}}},
            "expected values of masks as objects, found 'grasper",
        ),
        ({"v": {"fps": "fast"}}, "v: expected fps as a number, found 'fast'"),
    ],
)
def test_a_mistake_in_meta_json_is_named(tmp_path, meta, message):
    _video(tmp_path, ["1"])
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    status, text = reading.run(dataset="davis_folder", manual_dir=tmp_path, check_only=True)
    assert status == 1
    assert message in text


def test_a_patient_on_two_sides_is_told(tmp_path):
    archive = tmp_path / "archive"
    registry.fake("davis_folder").make(archive)
    meta = json.loads((archive / "meta.json").read_text())
    (archive / "meta.json").write_text(
        json.dumps({name: {**entry, "patient": "P1"} for name, entry in meta.items()})
    )
    status, text = reading.run(dataset="davis_folder", manual_dir=archive, check_only=True)
    assert status == 0, text
    assert "patient P1: expected one split, found" in text
