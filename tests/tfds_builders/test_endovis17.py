"""EndoVis 2017: the crop rule and the folds, by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tfds_builders.endovis17 import builder, frames
from tfds_builders.kit import splits
from tfds_builders.kit.archive import LabelError


def test_the_crop_takes_rows_28_to_1051_and_columns_320_to_1599():
    rows, columns = np.mgrid[:1080, :1920]
    cropped = frames.crop(np.stack([rows, columns], -1))
    assert cropped.shape == (1024, 1280, 2)
    assert cropped[0, 0].tolist() == [28, 320]
    assert cropped[-1, -1].tolist() == [1051, 1599]


def test_a_full_frame_is_encoded_again_without_loss_and_others_stay():
    full = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    data = cv2.imencode(".png", full)[1].tobytes()
    cropped = frames.cropped_png(data, Path("frame.png"))
    image = cv2.imdecode(np.frombuffer(cropped, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image, full[28:1052, 320:1600])
    assert frames.cropped_png(cropped, Path("frame.png")) == cropped


def test_every_training_sequence_is_validated_in_one_fold():
    named = splits.named(builder.Builder.FOLDER)
    assert sorted(named) == ["fold0", "fold1", "fold2", "fold3"]
    training = {k for k, v in splits.official(builder.Builder.FOLDER).items() if v == "train"}
    held_out = [k for table in named.values() for k, split in table.items() if split == "val"]
    assert sorted(held_out) == sorted(training)
    for table in named.values():
        assert set(table) == training
    assert {k[-1] for k, v in named["fold2"].items() if v == "val"} == {"4", "8"}


@pytest.mark.parametrize(
    ("folder", "category"),
    [
        ("Left_Prograsp_Forceps_labels", "prograsp forceps"),
        ("Prograsp_Forceps", "prograsp forceps"),
        ("Maryland_Bipolar_Forceps_labels", "bipolar forceps"),
        ("Large_Needle_Driver_Right_labels", "large needle driver"),
        ("Right_Vessel_Sealer", "vessel sealer"),
        ("Other_labels", "other"),
    ],
)
def test_the_type_is_read_from_the_folder(folder, category):
    assert builder.category_of(folder) == category


def test_an_unknown_type_is_refused():
    with pytest.raises(LabelError, match="Stapler_labels"):
        builder.category_of("Stapler_labels")
