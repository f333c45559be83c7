"""EndoVis 2018: the config `scene`, which the contract test (first config only) does not build."""

import json

import numpy as np
import pytest

from tests.tfds_builders import reading
from tfds_builders.endovis18 import builder, fake
from tfds_builders.kit import fake as kit_fake


@pytest.fixture
def archive(tmp_path):
    """(folder, what `scene` must read)."""
    return tmp_path / "archive", fake.make_scene(tmp_path / "archive", seed=3)


def _run(folder, **flags):
    return reading.run(dataset="endovis18/scene", manual_dir=folder, partial=True, jobs=1, **flags)


def test_scene_masks_and_repairs_are_read_back(archive, tmp_path):
    folder, videos = archive
    status, text = _run(folder, data_dir=tmp_path / "data")
    assert status == 0, text
    table, records, _ = reading.read(reading.version_folder(tmp_path / "data", "endovis18"))
    assert {split: [v.video_id for v in entries] for split, entries in table.splits.items()} == {
        "train": ["seq_1"],
        "val": ["seq_5"],
        "test": ["test_seq_1"],
    }
    for video in videos:
        for frame, record in zip(video.frames, records[video.video_id], strict=True):
            assert bool(record["is_annotated"]) == (frame.instances is not None)
            expected = 0 * frame.image_u8[..., :1] if frame.instances is None else frame.instances
            reading.same(record["instances"][..., 0], np.reshape(expected, (64, 80)), frame.source)
            reading.same(record["image"], frame.image_u8, frame.source)
            names = [list(builder.SCENE)[c] for c in record["category"]]
            assert names == list(frame.objects.values())
            reading.same(record["is_instrument"], [builder.SCENE[n] for n in names], frame.source)


def test_an_unknown_colour_is_named(archive):
    folder, videos = archive
    kit_fake.write_value(folder / videos[1].frames[0].labels[0], (1, 2, 3))
    status, text = _run(folder, check_only=True)
    assert status == 1
    assert "unknown label colour (1, 2, 3)" in text


def test_a_mask_that_is_missing_is_named(archive):
    folder, videos = archive
    (folder / videos[1].frames[2].labels[0]).unlink()
    status, text = _run(folder, check_only=True)
    assert status == 1
    assert "labels/frame002.png: expected a file" in text


def test_another_table_of_colours_is_shown(archive):
    folder, _ = archive
    path = folder / "test_data" / "labels.json"
    path.write_text(json.dumps({"classes": [{"name": "clamps", "color": [0, 255, 0, 128]}]}))
    status, text = _run(folder, check_only=True)
    assert status == 0, text
    assert "colour [0, 255, 0]: expected instrument shaft, found clamps" in text


def test_ids_of_2017_in_a_class_table_are_shown(tmp_path):
    fake.make(tmp_path, seed=3)
    (tmp_path / "labels_2017.json").write_text(
        json.dumps([{"name": "Monopolar Curved Scissors", "classid": 6}])
    )
    status, text = reading.run(
        dataset="endovis18/types", manual_dir=tmp_path, partial=True, check_only=True
    )
    assert status == 0, text
    assert "id of monopolar curved scissors: expected 4, found 6" in text
