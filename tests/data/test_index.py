"""The index of a prepared set: runs, round trip, named splits, refusals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgjax.data import index


def _video(name: str, first: int = 0) -> index.VideoEntry:
    thing = index.ObjectEntry(2, "hook", True, ((0, 2), (4, 5)))
    return index.VideoEntry(
        name, first, 5, 64, 96, 25.0, "cholecystectomy", "set", "p1", ((0, 5),), (thing,)
    )


TABLE = index.SetIndex(
    "set",
    {"train": (_video("a"), _video("b", 5)), "test": (_video("c"),)},
    {"val_fold0": ("b", "c")},
)


@given(st.sets(st.integers(0, 60)))
def test_runs_and_positions_are_inverse(positions):
    ascending = sorted(positions)
    runs = index.runs_of(ascending)
    assert index.positions_of(runs) == ascending
    assert all(a[1] < b[0] for a, b in zip(runs, runs[1:], strict=False))


def test_runs_by_hand():
    assert index.runs_of([0, 1, 2, 5]) == ((0, 3), (5, 6))
    assert index.runs_of([]) == ()


def test_round_trip(tmp_path):
    (tmp_path / index.FILE_NAME).write_text(index.to_json(TABLE))
    assert index.read(str(tmp_path)) == TABLE


def test_named_splits_cross_those_on_disk():
    assert [(place, v.video_id) for place, v in TABLE.videos("val_fold0")] == [
        ("train", "b"),
        ("test", "c"),
    ]
    assert [place for place, _ in TABLE.videos("train")] == ["train", "train"]
    with pytest.raises(ValueError, match="set has no split 'dev'; it has test, train, val_fold0"):
        TABLE.videos("dev")


def test_masks_are_counted():
    assert _video("a").num_masks == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "expected format 1, found list"),
        ('{"format": 7}', "expected format 1, found 7"),
        ('{"format": 1, "name": "x", "splits": {}}', "named"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / index.FILE_NAME).write_text(text)
    with pytest.raises(ValueError, match=message):
        index.read(str(tmp_path))


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(ValueError, match="prepare_data"):
        index.read(str(tmp_path))


def test_unknown_fields_are_refused(tmp_path):
    value = json.loads(index.to_json(TABLE))
    value["splits"]["train"][0]["colour"] = "red"
    (tmp_path / index.FILE_NAME).write_text(json.dumps(value))
    with pytest.raises(ValueError, match="colour"):
        index.read(str(tmp_path))
