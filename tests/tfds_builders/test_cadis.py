"""Experiments of CaDIS, and the frames that are left out."""

import numpy as np
import pytest

from tests.tfds_builders import drawn, reading
from tfds_builders.cadis import builder, classes, fake
from tfds_builders.kit import splits
from tfds_builders.kit.fake import write_labels

# Label value in the archive: (value in the record, category), written out by hand.
BY_HAND = {
    1: {0: (1, "pupil"), 6: (7, "cornea"), 7: (8, "instrument"), 35: (8, "instrument")},
    2: {
        4: (5, "iris"),
        7: (8, "cannula"),
        12: (11, "primary knife"),
        22: (9, "capsulorhexis cystotome"),
        25: (255, None),
        35: (255, None),
    },
    3: {
        7: (8, "hydrodissection cannula"),
        12: (13, "primary knife"),
        22: (23, "capsulorhexis cystotome handle"),
        25: (255, None),
    },
}


@pytest.mark.parametrize(("experiment", "count"), [(0, 36), (1, 8), (2, 17), (3, 25)])
def test_every_label_is_a_class_or_ignored(experiment, count):
    assert len(classes.categories(experiment)) == count
    values = [v for _, group in classes.EXPERIMENTS[experiment] for v in group]
    assert len(values) == len(set(values))
    table = classes.stored_values(experiment, 255)
    assert sorted(table) == list(range(36))
    assert sorted(set(table.values()) - {255}) == list(range(1, count + 1))


def test_instruments_are_what_is_neither_anatomy_nor_tape_hand_or_retractor():
    tissue = [name for name, tool in classes.categories(0).items() if not tool]
    assert tissue == ["pupil", "surgical tape", "hand", "eye retractors", "iris", "skin", "cornea"]


@pytest.mark.parametrize("experiment", [1, 2, 3])
def test_experiments_merge_as_written_by_hand(experiment, tmp_path):
    archive = tmp_path / "archive"
    video = fake.make(archive, seed=8)[1]
    labels = np.broadcast_to(np.arange(96) * 36 // 96, (64, 96)).astype(np.uint8)  # all of them
    write_labels(archive / video.frames[2].labels[0], labels)
    folder = drawn.build(f"cadis/experiment{experiment}", archive, tmp_path / "data")
    _, records, features = reading.read(folder)
    record = records[video.video_id][2]
    name_of = features["category"].feature.int2str
    pairs = zip(record["instance_ids"], record["category"], strict=True)
    names = {int(number): name_of(int(category)) for number, category in pairs}
    for value, (stored, name) in BY_HAND[experiment].items():
        assert set(np.unique(record["instances"][..., 0][labels == value])) == {stored}
        assert name is None or names[stored] == name


def test_mislabelled_frames_are_left_out_unless_asked_for(tmp_path):
    archive = tmp_path / "archive"
    fake.make(archive, seed=8)
    lengths = {}
    for config in ("full", "with_mislabelled"):
        folder = drawn.build(f"cadis/{config}", archive, tmp_path / config)
        _, records, _ = reading.read(folder)
        lengths[config] = [r["source_frame"].decode() for r in records["Video01"]]
        if config == "with_mislabelled":
            assert [r["time_s"] for r in records["Video05"]] == pytest.approx(
                [(99 + 10 * t) / 30 for t in range(4)]
            )
    assert fake.SKIPPED not in lengths["full"] and len(lengths["full"]) == 3
    assert fake.SKIPPED in lengths["with_mislabelled"] and len(lengths["with_mislabelled"]) == 4
    status, text = reading.run(dataset="cadis", manual_dir=archive, check_only=True, partial=True)
    assert status == 0 and "of them mislabelled: 1\n" in text
    assert "a file that is not read" not in text


def test_published_counts_add_up():
    table = splits.official(builder.Builder.FOLDER)
    count = dict.fromkeys(("train", "val", "test"), 0)
    for number, frames in enumerate(builder.FRAMES, 1):
        count[table[f"Video{number:02d}"]] += frames
    assert count == {"train": 3550, "val": 534, "test": 586}
    assert len(builder.mislabelled()) == builder.MISLABELLED
