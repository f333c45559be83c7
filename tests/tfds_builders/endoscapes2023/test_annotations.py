"""The label map in every punctuation; the config of frames with masks; the splits."""

import pytest

from tests.tfds_builders import reading
from tfds_builders.endoscapes2023 import annotations
from tfds_builders.endoscapes2023.builder import Builder
from tfds_builders.endoscapes2023.fake import make
from tfds_builders.kit import shapes, splits
from tfds_builders.kit.archive import ArchiveError, LabelError


@pytest.mark.parametrize(
    "text",
    [
        "{'background': 0, 'cystic_plate': 1, 'tool': 6}",
        '{"0": "background", "1": "cystic_plate", "6": "tool"}',
        "background 0\ncystic_plate 1\ntool 6\n",
        "0: background\n1: cystic plate\n6: Tool\n",
        "background,0\ncystic_plate,1\ntool,6\nignore,255",
    ],
)
def test_a_label_map_is_read_whatever_its_punctuation(tmp_path, text):
    path = tmp_path / "seg_label_map.txt"
    path.write_text(text)
    assert annotations.class_values(path) == {0: 0, 1: 1, 6: 6}


def test_classes_in_another_order_are_renamed_not_assumed(tmp_path):
    path = tmp_path / "seg_label_map.txt"
    path.write_text("background 0 tool 1 hepatocystic_triangle_dissection 2")
    assert annotations.class_values(path) == {0: 0, 1: 6, 2: 2}


def test_without_a_label_map_the_published_order_holds(tmp_path):
    assert annotations.class_values(tmp_path / "seg_label_map.txt") == {k: k for k in range(7)}


def test_the_small_config_holds_the_frames_with_masks(tmp_path):
    make(tmp_path / "archive", seed=3)
    status, text = reading.run(
        dataset="endoscapes2023/seg50",
        manual_dir=tmp_path / "archive",
        data_dir=tmp_path / "data",
        partial=True,
        jobs=1,
    )
    assert status == 0, text
    folder = reading.version_folder(tmp_path / "data", "endoscapes2023")
    table, records, _ = reading.read(folder)
    counts = {name: len(found) for name, found in records.items()}
    assert counts == {"4": 2, "9": 2, "126": 2, "165": 2}
    assert table.named == {
        "train_seg50": ("4", "9"),
        "val_seg50": ("126",),
        "test_seg50": ("165",),
        "train_global": ("9",),
        "val_global": ("4", "126"),  # video 4 is operation 71 of Cholec80
        "test_global": ("165",),
    }
    assert all(record["is_annotated"] for found in records.values() for record in found)


def test_labels_shrink_with_the_frames(tmp_path):
    make(tmp_path / "archive", seed=3)
    status, text = reading.run(
        dataset="endoscapes2023/seg50",
        manual_dir=tmp_path / "archive",
        data_dir=tmp_path / "data",
        partial=True,
        jobs=1,
        side=32,
    )
    assert status == 0, text
    _, records, _ = reading.read(reading.version_folder(tmp_path / "data", "endoscapes2023"))
    record = records["4"][0]
    assert record["image"].shape == (32, 48, 3)
    assert record["box_masks"].shape == record["instances"].shape == (32, 48, 1)
    x0, y0, x1, y1 = record["boxes_xyxy"][0]
    rows, columns = (record["box_masks"][..., 0] == 1).nonzero()
    assert abs(columns.min() - x0) <= 1 and abs(columns.max() + 1 - x1) <= 1
    assert abs(rows.min() - y0) <= 1 and abs(rows.max() + 1 - y1) <= 1


def test_the_official_split_has_every_video_once():
    table = splits.official(Builder.FOLDER)
    assert sorted(map(int, table)) == list(range(1, 202))
    assert [list(table.values()).count(s) for s in ("train", "val", "test")] == [120, 41, 40]


def test_boxes_are_cut_at_the_border_and_refused_beyond_it():
    inside = shapes.boxes_inside([[-1, 2, 101, 50]], 100, 60, "here")
    assert inside.tolist() == [[0, 2, 100, 50]]
    for box in ([-9, 2, 50, 50], [50, 2, 50, 50], [0, 61, 50, 61]):
        with pytest.raises(LabelError, match="here: box .* does not lie in the 100x60"):
            shapes.boxes_inside([box], 100, 60, "here")
    assert shapes.boxes_inside([], 100, 60, "here").shape == (0, 4)


def test_a_list_of_videos_that_is_no_list_is_named(tmp_path):
    (tmp_path / "train_vids.txt").write_text("1\nfour\n")
    with pytest.raises(ArchiveError, match=r"train_vids\.txt: expected a video number"):
        annotations.video_list(tmp_path / "train_vids.txt")
