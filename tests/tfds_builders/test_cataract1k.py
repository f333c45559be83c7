"""Folds, and the places in which the cases may lie."""

from collections import Counter

from tests.tfds_builders import drawn, reading
from tfds_builders.cataract1k import builder, fake
from tfds_builders.kit import splits

FOLDER = builder.Builder.FOLDER
CASES = {f"case_{number}" for number in builder.FRAMES}


def test_every_case_is_tested_in_one_of_five_folds():
    named = splits.named(FOLDER)
    folds = [named[f"fold{k}"] for k in range(5)]
    assert all(set(fold) == CASES for fold in folds)
    tested = Counter(case for fold in folds for case, split in fold.items() if split == "test")
    assert tested == dict.fromkeys(CASES, 1)
    assert [list(fold.values()).count("test") for fold in folds] == [6] * 5


def test_frames_of_the_authors_lists_add_up():
    assert len(builder.FRAMES) == 30
    assert sum(builder.FRAMES.values()) == 2256


def test_the_split_on_disk_is_sasvis_and_one_case():
    official, sasvi = splits.official(FOLDER), splits.named(FOLDER)["sasvi"]
    assert set(official) == CASES
    assert {**sasvi, "case_5180": "train"} == official
    assert Counter(official.values()) == {"train": 20, "val": 5, "test": 5}


def test_the_cases_may_lie_deep_in_the_archive(tmp_path):
    archive = tmp_path / "archive"
    place = archive / "Annotations" / "Images-and-Supervisely-Annotations"
    videos = fake.make(place, seed=6)
    (archive / "Annotations" / "Coco-Annotations").mkdir()
    (archive / "Annotations" / "Coco-Annotations" / "case_5013.json").write_text("not read")
    folder = drawn.build("cataract1k", archive, tmp_path / "data")
    drawn.same_as_drawn(folder, videos)
    table, _, _ = reading.read(folder)
    assert table.named["test_fold0"] == ("case_5013",)
    assert set(table.named["train_fold0"]) == {"case_5315", "case_5329"}
