"""Boxes against masks, and the authors' split."""

import json
from collections import Counter

from tests.tfds_builders import reading
from tfds_builders.kit import splits
from tfds_builders.kvasir_seg import builder, fake


def test_the_split_is_the_authors():
    table = splits.official(builder.Builder.FOLDER)
    assert Counter(table.values()) == {"train": 880, "val": 120}
    assert table["cju0s690hkp960855tjuaqvv0"] == "val"


def test_boxes_that_do_not_fit_the_mask_are_counted(tmp_path):
    videos = fake.make(tmp_path, seed=2)
    what = "images whose boxes differ from the mask (IoU below 0.9)"
    _, text = reading.run(dataset="kvasir_seg", manual_dir=tmp_path, check_only=True, partial=True)
    assert f"{what}: 0\n" in text
    boxes = json.loads((tmp_path / builder.BOXES).read_text())
    boxes[videos[0].video_id]["bbox"] = [dict(xmin=0, ymin=0, xmax=96, ymax=64)]
    boxes[videos[1].video_id]["width"] = 97
    del boxes[videos[2].video_id]
    (tmp_path / builder.BOXES).write_text(json.dumps(boxes))
    status, text = reading.run(
        dataset="kvasir_seg", manual_dir=tmp_path, check_only=True, partial=True
    )
    assert status == 0, text  # reported, no reason to stop
    assert f"{what}: 1\n" in text
    assert "images without boxes: expected 0, found 1" in text
    assert f"{videos[1].video_id}: expected (96, 64), found 97x64" in text


def test_without_boxes_the_set_is_built_and_says_so(tmp_path):
    fake.make(tmp_path / "archive", seed=2)
    (tmp_path / "archive" / builder.BOXES).unlink()
    status, text = reading.run(
        dataset="kvasir_seg",
        manual_dir=tmp_path / "archive",
        data_dir=tmp_path / "data",
        partial=True,
        jobs=1,
    )
    assert status == 0, text
    assert f"{builder.BOXES}: expected boxes to compare with the masks" in text
