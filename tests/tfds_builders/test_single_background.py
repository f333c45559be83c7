"""Pseudo-videos, several processes, and what settings change."""

import json

import pytest

from experiments import data_preparation
from tests.tfds_builders import drawn, reading
from tfds_builders.single_background import builder, fake


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "archive"


def configured(archive, name="single_background"):
    options = reading.options(manual_dir=archive, data_dir=archive.parent / "data", jobs=1)
    return data_preparation.make_builder(name, options)


def test_pseudo_videos_are_what_the_generator_draws_in_two_processes_too(archive, tmp_path):
    _, videos = fake.draw(archive, seed=4)
    folder = drawn.build("single_background/videos", archive, tmp_path / "one")
    drawn.same_as_drawn(folder, videos)
    _, records, _ = reading.read(folder)
    assert [r["frame_index"] for r in records["train_0000001"]] == [0, 1, 2]
    status, text = reading.run(
        dataset="single_background/videos", manual_dir=archive, data_dir=tmp_path / "two", jobs=2
    )
    assert status == 0, text
    drawn.same_as_drawn(reading.version_folder(tmp_path / "two", "single_background"), videos)


def test_without_settings_the_config_stays_and_every_label_is_an_instrument(archive):
    fake.make(archive)
    for name in (builder.LABELS, builder.SETTINGS):
        (archive / name).unlink()
    made = configured(archive)
    assert made.builder_config.name == "images"
    assert made.CATEGORIES == {"instrument": True}
    videos = made.found(archive)
    assert [video.split for video in videos].count("train") == 2000 and len(videos) == 2200
    assert not made.IS_VIDEO and made.RECORDS_PER_SHARD == 256
    assert configured(archive, "single_background/videos").IS_VIDEO


def test_only_named_labels_are_cut_out(archive):
    fake.make(archive)
    (archive / builder.LABELS).write_text(json.dumps({"7": "hook"}))
    made = configured(archive)
    assert made.CATEGORIES == {"hook": True}
    frame, _, opened = next(made.open_frames(archive, made.found(archive)[0]))
    truth = made.truth(archive, made.found(archive)[0], frame, opened)
    assert set(truth.objects.values()) == {"hook"}


def test_a_changed_cut_out_is_read_again(archive):
    fake.make(archive)
    made = configured(archive)
    video = made.found(archive)[0]
    before = next(made.open_frames(archive, video))[1]
    assert next(made.open_frames(archive, video))[1] == before
    (archive / builder.CUTOUTS / "frame0_mask.png").unlink()
    assert next(made.open_frames(archive, video))[1] != before


def test_settings_reach_the_generator(archive):
    fake.make(archive)
    settings = dict(train=1, val=0, seed=9, size=48, blendings=["gaussian"])
    (archive / builder.SETTINGS).write_text(json.dumps(dict(images=settings)))
    made = configured(archive)
    config = made.builder_config
    assert (config.name, config.train, config.val, config.seed) == ("own_images", 1, 0, 9)
    (video,) = made.found(archive)
    _, _, (item, t) = next(made.open_frames(archive, video))
    assert item.blending == "gaussian" and item.label_maps[t].shape == (48, 48)
