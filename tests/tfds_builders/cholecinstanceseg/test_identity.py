"""Hand-made sequences: boxes that slide, and ids that follow them or do not."""

import numpy as np
import pytest

from tfds_builders.cholecinstanceseg import identity
from tfds_builders.cholecinstanceseg.builder import Builder
from tfds_builders.cholecinstanceseg.fake import make
from tfds_builders.kit import splits


def _box(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((4, 40), bool)
    mask[1:3, x0:x1] = True
    return mask


LEFT, RIGHT = ("grasper", 1), ("grasper", 2)
HOOK = ("hook", 1)


def _slide(swap_at: tuple[int, ...] = (), length: int = 6):
    """Two graspers and a hook, all moving right; from `swap_at` on the graspers' ids turn round."""
    frames = []
    for t in range(length):
        left, right = _box(t, t + 10), _box(t + 20, t + 30)
        if sum(t >= s for s in swap_at) % 2:
            left, right = right, left
        frames.append({LEFT: left, RIGHT: right, HOOK: _box(t + 12, t + 18)})
    return frames, [False] + [True] * (length - 1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (_box(0, 10), _box(0, 10), 1.0),
        (_box(0, 10), _box(5, 15), 1 / 3),
        (_box(0, 10), _box(10, 20), 0.0),
        (_box(0, 0), _box(0, 0), 0.0),
    ],
)
def test_iou_by_hand(a, b, expected):
    assert identity.iou(a, b) == pytest.approx(expected)


def test_temporal_ids_are_believed():
    frames, adjacent = _slide()
    found = identity.agreement(frames, adjacent)
    assert (found.pairs, found.matches, found.contested, found.moved) == (5, 15, 10, 0)
    assert found.same_key == 15
    # boxes of 10 and 6 columns that move by one: 9 of 11 and 5 of 7
    assert found.same_key_iou / 15 == pytest.approx((2 * 9 / 11 + 5 / 7) / 3)
    assert found.is_stable
    assert identity.by_id(frames) == [{LEFT: 1, RIGHT: 2, HOOK: 3}] * 6


def test_swapped_ids_are_not_believed_and_overlap_follows_the_tools():
    frames, adjacent = _slide(swap_at=(2, 4))
    found = identity.agreement(frames, adjacent)
    assert (found.contested, found.moved) == (10, 4)
    assert not found.is_stable
    straight, turned = {LEFT: 1, RIGHT: 2, HOOK: 3}, {LEFT: 2, RIGHT: 1, HOOK: 3}
    expected = [straight] * 2 + [turned] * 2 + [straight] * 2
    assert identity.by_overlap(frames, adjacent) == expected


def test_an_id_that_is_renumbered_when_its_sibling_leaves_is_evidence_too():
    frames = [
        {LEFT: _box(0, 10), RIGHT: _box(20, 30)},
        {LEFT: _box(20, 30)},  # the right grasper alone, now called 1
    ]
    found = identity.agreement(frames, [False, True])
    assert (found.matches, found.moved) == (1, 1)
    assert not found.is_stable
    assert identity.by_overlap(frames, [False, True]) == [{LEFT: 1, RIGHT: 2}, {LEFT: 2}]


def test_classes_never_match_each_other():
    frames = [{LEFT: _box(0, 10)}, {HOOK: _box(0, 10)}]
    assert identity.match(*frames) == []
    assert identity.by_overlap(frames, [False, True]) == [{LEFT: 1}, {HOOK: 2}]


def test_the_best_overlap_wins_whatever_the_ids():
    before = {LEFT: _box(0, 10), RIGHT: _box(8, 18)}
    after = {LEFT: _box(7, 17), RIGHT: _box(1, 11)}
    assert identity.match(before, after) == [(LEFT, RIGHT), (RIGHT, LEFT)]


def test_frames_that_are_not_adjacent_share_no_object_and_prove_nothing():
    frames, _ = _slide(length=3)
    apart = [False] * 3
    assert not identity.agreement(frames, apart).is_stable
    numbers = [n for frame in identity.by_overlap(frames, apart) for n in frame.values()]
    assert numbers == list(range(1, 10))


@pytest.mark.parametrize("seed", range(8))
def test_linking_is_one_to_one_and_keeps_classes(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(12):
        keys = [(name, k) for name in ("grasper", "hook") for k in (1, 2, 3) if rng.random() < 0.7]
        frames.append({key: _box(x := int(rng.integers(0, 30)), x + 10) for key in keys})
    adjacent = [t > 0 and rng.random() < 0.8 for t in range(12)]
    classes: dict[int, str] = {}
    for masks, numbers in zip(frames, identity.by_overlap(frames, adjacent), strict=True):
        assert numbers.keys() == masks.keys()
        assert len(set(numbers.values())) == len(numbers)
        for (name, _), number in numbers.items():
            assert classes.setdefault(number, name) == name


def test_adjacent_of_another_length_is_refused():
    with pytest.raises(ValueError, match="per frame: 1, found 2"):
        identity.by_overlap([{}], [False, True])


def test_the_check_tells_what_names_the_objects(tmp_path):
    make(tmp_path, seed=3)
    report = Builder(data_dir=tmp_path / "data", partial=True).examine(tmp_path)
    facts = dict(report.facts)
    assert facts["seg8k: sequences by what names their objects"] == "group_id 1"
    assert facts["t50_full: sequences by what names their objects"] == "overlap 1"
    assert facts["t80_sparse: sequences by what names their objects"] == "overlap 1"
    assert (
        " 0 of 0 in 0 pairs" in " " + facts["t80_sparse: matches by overlap that keep (class, id)"]
    )
    assert "are contested; mean IoU" in facts["t50_full: matches by overlap that keep (class, id)"]


def test_the_split_table_is_whole_and_the_family_contradicts_none_of_it():
    table = splits.official(Builder.FOLDER)
    assert len(table) == 95
    counts = {name: list(table.values()).count(name) for name in ("train", "val", "test")}
    assert counts == {"train": 55, "val": 18, "test": 22}
    for name, split in table.items():
        assert splits.cholec80_family(int(name[3:].split("_")[0])) == split, name
