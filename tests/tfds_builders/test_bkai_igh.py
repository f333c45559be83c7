"""The split by name, and an archive without Kaggle's inner folders."""

import shutil

from tests.tfds_builders import drawn, reading
from tfds_builders.bkai_igh import fake


def test_the_inner_folders_may_be_missing_and_every_tenth_image_validates(tmp_path):
    archive = tmp_path / "archive"
    videos = fake.make(archive, seed=1)
    for name in ("train", "train_gt", "test"):
        (archive / name / name).rename(tmp_path / "inner")
        (archive / name).rmdir()
        shutil.move(tmp_path / "inner", archive / name)
    folder = drawn.build("bkai_igh", archive, tmp_path / "data")
    drawn.same_as_drawn(folder, videos)
    table, _, _ = reading.read(folder)
    train = sorted(video.video_id for video in videos if video.split == "train")
    assert table.named == {"val_tenth": (train[0],), "train_tenth": tuple(train[1:])}
