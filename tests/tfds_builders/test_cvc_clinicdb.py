"""The table of sequences, and copies of the archive in other folders."""

import pytest

from tests.tfds_builders import drawn
from tfds_builders.cvc_clinicdb import builder, fake
from tfds_builders.kit import splits
from tfds_builders.kit.archive import ArchiveError


@pytest.mark.parametrize(
    ("frame", "sequence"),
    [(1, 1), (25, 1), (26, 2), (67, 3), (68, 4), (205, 10), (206, 11), (591, 28), (592, 29)],
)
def test_frames_belong_to_the_sequence_of_the_official_table(frame, sequence):
    assert builder.sequence_of(frame, "x") == sequence


def test_there_are_29_sequences_and_every_one_has_a_split():
    assert len(builder.LAST_FRAMES) == 29
    assert list(builder.LAST_FRAMES) == sorted(set(builder.LAST_FRAMES))
    table = splits.official(builder.Builder.FOLDER)
    assert list(table) == [f"sequence{k:02d}" for k in range(1, 30)]
    with pytest.raises(ArchiveError, match="x: expected a frame of 1 to 612, found 0"):
        builder.sequence_of(0, "x")


def test_the_two_folders_may_lie_in_tif(tmp_path):
    archive = tmp_path / "archive"
    videos = fake.make(archive / "TIF", seed=4)
    drawn.same_as_drawn(drawn.build("cvc_clinicdb", archive, tmp_path / "data"), videos)
