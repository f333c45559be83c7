"""The second config of polypgen, and what its splits promise."""

import pytest

from tests.tfds_builders import drawn, reading
from tfds_builders.kit import splits
from tfds_builders.polypgen import builder, fake


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("polypgen")
    return root, *fake.draw(root, seed=5)


def test_sequences_are_videos_in_the_order_of_their_numbers(archive, tmp_path):
    root, _, sequences = archive
    folder = drawn.build("polypgen/sequences", root, tmp_path)
    drawn.same_as_drawn(folder, sequences)
    table, records, _ = reading.read(folder)
    numbers = [record["source_frame"].decode().split("_")[-1] for record in records["seq2"]]
    assert numbers == ["2", "9", "10", "110"]
    assert [r["frame_index"] for r in records["seq2"]] == [0, 1, 2, 3]
    (empty,) = [e for es in table.splits.values() for e in es if e.video_id == "seq1_neg"]
    assert empty.annotated == ((0, 3),) and empty.objects == ()
    assert not table.named


def test_every_centre_is_a_split_of_its_own(archive, tmp_path):
    root, images, _ = archive
    table, records, features = reading.read(drawn.build("polypgen", root, tmp_path))
    assert "frame_index" not in features
    for centre in builder.CENTRES:
        found = {entry.video_id for _, entry in table.videos(f"{centre}_centre")}
        assert found == {v.video_id for v in images if v.video_id.startswith(centre)}


def test_the_split_names_every_centre_and_sequence_once():
    table = splits.official(builder.Builder.FOLDER)
    numbers = range(1, builder.SEQUENCES + 1)
    names = [*builder.CENTRES, *(f"seq{n}" for n in numbers), *(f"seq{n}_neg" for n in numbers)]
    assert list(table) == names
    assert table["C2"] == table["seq15"] == "train"  # seq15 repeats frames of C2


def test_a_folder_that_is_no_sequence_is_named(archive, tmp_path):
    root, _, _ = archive
    odd = tmp_path / "sequenceData" / "positive" / "seq99"
    (odd / "images_seq99").mkdir(parents=True)
    status, text = reading.run(dataset="polypgen/sequences", manual_dir=tmp_path, check_only=True)
    assert status == 1 and "seq99: expected positive/seq1..23" in text
