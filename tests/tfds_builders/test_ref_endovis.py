"""Ref-EndoVis17 and 18: sentences by hand, first-release names, patients of the challenges."""

import pytest

from tests.tfds_builders import reading
from tfds_builders import registry
from tfds_builders.kit import splits
from tfds_builders.kit.archive import LabelError
from tfds_builders.ref_endovis17.sentences import sentence


@pytest.mark.parametrize(
    ("category", "action", "place", "expected"),
    [
        ("bipolar forceps", 1, None, "bipolar forceps are idle"),
        ("vessel sealer", 12, None, "vessel sealer is transecting vessel"),
        ("prograsp forceps", 7, 1, "prograsp forceps are retracting tissue on the bottom left"),
        (
            "large needle driver",
            3,
            9,
            "large needle driver is performing knot tying on the top right",
        ),
        ("kidney parenchyma", 0, None, "kidney parenchyma"),
    ],
)
def test_sentences_by_hand(category, action, place, expected):
    assert sentence(category, action, place, "seq_1.json") == expected


@pytest.mark.parametrize(
    ("action", "place", "message"),
    [(14, None, "action 14; expected 1 to 13 or 0"), (2, 10, "location 10; expected 1 to 9")],
)
def test_numbers_without_a_meaning_are_refused(action, place, message):
    with pytest.raises(LabelError, match=f"seq_1.json: unknown label: {message}"):
        sentence("clip applier", action, place, "seq_1.json")


@pytest.mark.parametrize("name", ["ref_endovis17", "ref_endovis18"])
def test_names_of_the_first_release_are_told(name, tmp_path):
    registry.fake(name).make(tmp_path, seed=3)
    status, text = reading.run(dataset=name, manual_dir=tmp_path, partial=True, check_only=True)
    assert status == 0, text
    assert "object 2: expected" in text
    assert "(stored), found" in text


@pytest.mark.parametrize(
    ("ref", "challenge"), [("ref_endovis17", "endovis17"), ("ref_endovis18", "endovis18")]
)
def test_a_sequence_is_the_same_patient_in_both_sets(ref, challenge, tmp_path):
    patients = []
    for name in (ref, challenge):
        registry.fake(name).make(tmp_path / name, seed=3)
        found = registry.builder_class(name)(data_dir=tmp_path / "data").find(tmp_path / name)
        patients.append({video.patient for video in found})
    assert patients[0] & patients[1]


def test_the_same_sequences_are_held_out_in_both_sets_of_2018():
    tables = [
        splits.official(registry.builder_class(name).FOLDER)
        for name in ("ref_endovis18", "endovis18")
    ]
    held_out = [{k for k, v in table.items() if v == "val"} for table in tables]
    assert held_out[0] == held_out[1] == {"seq_2", "seq_5", "seq_9", "seq_15"}
