"""Hidden files and frames without padding."""

from pathlib import Path

import pytest

from tests.tfds_builders import reading
from tfds_builders import registry
from tfds_builders.kit.visible import by_numbers, visible


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"?")


def test_what_systems_leave_behind_is_not_listed(tmp_path):
    _touch(tmp_path, "a/1.jpg", "a/._1.jpg", "a/.DS_Store", "__MACOSX/a/1.jpg", "a/Thumbs.db")
    root = visible(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in root.rglob("*.jpg")] == ["a/1.jpg"]
    assert [p.name for p in (root / "a").iterdir()] == ["1.jpg"]
    assert [p.name for p in root.glob("*/*")] == ["1.jpg"]
    assert [p.name for p in root.iterdir()] == ["a"]


def test_an_archive_may_lie_in_a_hidden_folder(tmp_path):
    _touch(tmp_path, ".data/set/1.jpg")
    assert [p.name for p in visible(tmp_path / ".data/set").rglob("*")] == ["1.jpg"]


@pytest.mark.parametrize("name", reading.fake_names())
def test_every_archive_may_come_from_a_mac(name, tmp_path):
    videos = registry.fake(name).make(tmp_path, seed=3)
    frames = sum(len(video.frames) for video in videos)
    for path in sorted(tmp_path.rglob("*")):
        if path.is_file():
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7" * 8)
            copy = tmp_path / "__MACOSX" / path.relative_to(tmp_path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7" * 8)
        else:
            (path / ".DS_Store").write_bytes(b"\0")
    status, text = reading.run(dataset=name, manual_dir=tmp_path, partial=True, check_only=True)
    assert status == 0, text
    assert "._" not in text and ".DS_Store" not in text
    drawn_anew = name == "single_background"  # any number of frames from one background
    assert drawn_anew or f"frames: {frames}\n" in text


def test_numbers_in_names_sort_as_numbers():
    names = ["f10.png", "f2.png", "f1.png", "e3.png"]
    order = sorted(map(Path, names), key=by_numbers)
    assert [path.name for path in order] == ["e3.png", "f1.png", "f2.png", "f10.png"]
