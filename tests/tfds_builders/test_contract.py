"""What every builder owes: fake archive -> checks -> build -> read back equals what was drawn."""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.tfds_builders import reading
from tfds_builders import registry
from tfds_builders.kit.builder import MaskBuilder, instructions

NAMES = reading.fake_names()


@pytest.fixture(scope="module", params=NAMES)
def made(request, tmp_path_factory):
    """(name, archive, what it holds, prepared folder)."""
    name, root = request.param, tmp_path_factory.mktemp(request.param)
    videos = registry.fake(name).make(root / "archive", seed=3)
    status, text = reading.run(
        dataset=name, manual_dir=root / "archive", data_dir=root / "data", partial=True, jobs=1
    )
    assert status == 0, text
    return name, root / "archive", videos, reading.version_folder(root / "data", name)


def test_an_unspoilt_archive_passes_the_full_check(made):
    name, archive, _, _ = made
    status, text = reading.run(dataset=name, manual_dir=archive, partial=True, check_only=True)
    assert status == 0, text
    assert "0 errors" in text


def test_what_is_read_back_is_what_was_drawn(made):
    name, _, videos, folder = made
    table, records, features = reading.read(folder)
    stored = {v.video_id: (split, v) for split, vs in table.splits.items() for v in vs}
    assert set(stored) == {video.video_id for video in videos}
    masks = issubclass(registry.builder_class(name), MaskBuilder)
    for video in videos:
        split, entry = stored[video.video_id]
        assert split == video.split
        assert entry.length == len(video.frames)
        for t, (frame, record) in enumerate(
            zip(video.frames, records[video.video_id], strict=True)
        ):
            where = f"{video.video_id} frame {t}"
            assert record["source_frame"].decode() == frame.source, where
            reading.same(record["image"], frame.image_u8, where)
            for key, value in frame.extra.items():
                reading.same(record[key], value, f"{where}: {key}")
            if masks:
                _check_masks(frame, record, entry, features, t, where)


def _check_masks(frame, record, entry, features, t, where):
    assert bool(record["is_annotated"]) == (frame.instances is not None), where
    expected = np.zeros(frame.image_u8.shape[:2]) if frame.instances is None else frame.instances
    reading.same(record["instances"][..., 0], expected, where)
    names = features["category"].feature.int2str
    found = {
        int(i): names(int(c))
        for i, c in zip(record["instance_ids"], record["category"], strict=True)
    }
    assert found == frame.objects, where
    seen = {o.id: o.category for o in entry.objects if any(a <= t < b for a, b in o.visible)}
    assert seen == frame.objects, where
    annotated = any(start <= t < stop for start, stop in entry.annotated)
    assert annotated == (frame.instances is not None), where


def test_the_fake_shows_what_the_set_is_for(made):
    """A fake without two objects, or without more than one video, would prove little."""
    name, _, videos, _ = made
    assert len(videos) >= 2
    if issubclass(registry.builder_class(name), MaskBuilder):
        categories = {c for v in videos for f in v.frames for c in f.objects.values()}
        names = reading.read(made[3])[2]["category"].feature.names
        assert len(categories) >= min(2, len(names))
        # Background and an object; two classes where a set labels every pixel.
        maps = [f.instances for v in videos for f in v.frames if f.instances is not None]
        assert any(len(np.unique(m)) > 1 for m in maps)


def test_no_tensorflow_was_imported(made):
    assert "tensorflow" not in sys.modules


def test_building_again_gives_the_same_files(made, tmp_path):
    name, archive, _, folder = made
    status, text = reading.run(
        dataset=name, manual_dir=archive, data_dir=tmp_path, partial=True, jobs=1
    )
    assert status == 0, text
    assert reading.files(reading.version_folder(tmp_path, name)) == reading.files(folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_where_to_get_it_and_what_to_expect(name):
    text = instructions(registry.builder_class(name).FOLDER)
    for word in ("--manual_dir", "icence"):
        assert word in text, f"{name}/README.md, section 'Get the data', lacks {word!r}"
    readme = (registry.builder_class(name).FOLDER / "README.md").read_text()
    assert f"--dataset={name}" in readme
    assert "## What is stored" in readme


def _breaks():
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            videos = registry.fake(name).make(Path(folder), seed=3)
            for spoil in registry.fake(name).breaks(videos):
                yield pytest.param(name, spoil.name, id=f"{name}: {spoil.name}")


@pytest.mark.parametrize(("name", "what"), list(_breaks()))
def test_a_broken_archive_is_named(name, what, tmp_path):
    archive = tmp_path / "archive"
    videos = registry.fake(name).make(archive, seed=3)
    (spoil,) = [b for b in registry.fake(name).breaks(videos) if b.name == what]
    spoil.apply(archive, videos)
    status, text = reading.run(dataset=name, manual_dir=archive, partial=True, check_only=True)
    assert status == 1, text
    assert re.search(spoil.message, text), f"no {spoil.message!r} in:\n{text}"
    status, text = reading.run(
        dataset=name, manual_dir=archive, data_dir=tmp_path / "data", partial=True, jobs=1
    )
    assert status == 1, f"built in spite of it: {text}"
    assert re.search(spoil.message, text), f"no {spoil.message!r} in:\n{text}"
    assert not list((tmp_path / "data").rglob("dataset_info.json"))
