"""GraSP: the folds come from the archive."""

from tests.tfds_builders import reading
from tfds_builders.grasp import fake


def test_a_fold_trains_on_one_half_and_validates_on_the_other(tmp_path):
    fake.make(tmp_path / "archive", seed=3)
    status, text = reading.run(
        dataset="grasp",
        manual_dir=tmp_path / "archive",
        data_dir=tmp_path / "data",
        partial=True,
        jobs=1,
    )
    assert status == 0, text
    table, _, _ = reading.read(reading.version_folder(tmp_path / "data", "grasp"))
    first = ("CASE001_000000068", "CASE001_000001642")
    second = ("CASE014_000000068", "CASE014_000001642")
    assert table.named == {
        "train_fold1": first,
        "val_fold1": second,
        "train_fold2": second,
        "val_fold2": first,
    }
    assert [video.patient for _, video in table.videos("val_fold1")] == ["grasp_CASE014"] * 2
