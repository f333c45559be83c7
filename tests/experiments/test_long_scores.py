"""Swaps, false alarms and returns by hand, and differences between policies."""

import math

import numpy as np
import pytest

from experiments.sam2s import long_data, long_scores, long_tables
from experiments.sam2s.long_scores import FrameScore, ObjectRows, object_sums, score_frame
from surgjax.data.index import ObjectEntry
from surgjax.evaluation.horizons import per_horizon
from surgjax.evaluation.video_results import VideoResult
from surgjax.metrics.object_scores import Preset, Row


def _instances(*objects, size=20):
    found = np.zeros((size, size), np.uint8)
    for object_id, rows, columns in objects:
        found[rows, columns] = object_id
    return found


OWN, OTHER = (1, slice(0, 5), slice(0, 5)), (2, slice(10, 15), slice(10, 15))


@pytest.mark.parametrize(
    ("mask", "same_class", "swapped"),
    [
        (OTHER, [2], True),  # on the other of its class
        (OTHER, [], False),  # the other is of another class: wrong, but no swap
        (OWN, [2], False),
        ((1, slice(10, 15), slice(5, 8)), [2], False),  # on neither
        ((1, slice(10, 15), slice(10, 12)), [2], False),  # IoU 0.4 with the other
        ((1, slice(10, 15), slice(10, 13)), [2], True),  # IoU 0.6 with the other
    ],
)
def test_a_swap_lies_on_another_object_of_the_class(mask, same_class, swapped):
    found = score_frame(_instances(mask) > 0, _instances(OWN, OTHER), 1, same_class)
    assert found.swapped is swapped
    assert found.in_target and found.in_mask


def test_while_an_object_is_away_another_of_its_class_may_be_taken_for_it():
    found = score_frame(_instances(OTHER) > 0, _instances(OTHER), 1, [2])
    assert found == FrameScore(0.0, 0.0, False, True, True)
    elsewhere = (1, slice(0, 5), slice(10, 15))
    found = score_frame(_instances(elsewhere) > 0, _instances(OTHER), 1, [2])
    assert found == FrameScore(0.0, 0.0, False, True, False)  # a false alarm and no more


def test_unknown_pixels_do_not_count():
    instances = _instances(OWN, (255, slice(10, 20), slice(0, 20)))
    mask = _instances(OWN, (1, slice(10, 20), slice(3, 9))) > 0
    assert score_frame(mask, instances, 1, []).region == 1.0
    assert not score_frame(instances == 255, instances, 1, []).in_mask


def _rows(pattern: str, prompt_frame=0, values=None) -> ObjectRows:
    """t: truth and mask, m: missed, f: false alarm, s: swapped, .: neither."""
    rows = ObjectRows(1, "grasper", prompt_frame)
    for place, letter in enumerate(pattern):
        good = letter in "t." if values is None else values[place]
        score = FrameScore(
            float(good), float(good), letter in "tms", letter in "tfs", letter == "s"
        )
        rows.add(prompt_frame + 1 + place, score)
    return rows


def test_shares_are_of_frames_in_sight_or_out_of_it():
    sums = object_sums(_rows("ttms" + "ff.."), fps=1.0)
    assert (sums["swaps"], sums["swaps#"]) == (1, 8)  # of all frames
    assert (sums["missed"], sums["missed#"]) == (1, 4)
    assert (sums["false alarms"], sums["false alarms#"]) == (2, 4)
    assert sums["JF"] == 4 / 8 and sums["JF in sight"] == 2 / 4


@pytest.mark.parametrize(
    ("pattern", "absence", "score"),
    [
        ("t...tmtm", 3, 2 / 4),  # back at the fifth row, to the end
        ("t...tmtm", 4, None),  # absent for three frames only
        ("t.t...mt.f", 3, 2 / 4),  # the short absence is none; what follows counts to the end
        ("t....", 3, None),  # never back
        ("...t", 3, 1.0),  # it left right after its prompt
    ],
)
def test_after_return_begins_where_the_object_is_back(pattern, absence, score):
    sums = object_sums(_rows(pattern), 1.0, absence)
    assert sums.get("after return") == score


def test_absence_is_counted_in_frames_not_in_rows():
    rows = _rows("t.tt")
    rows.frames = [10, 20, 130, 140]  # annotated now and then
    assert long_scores.return_index(rows.in_target, rows.frames, 100) == 2
    assert long_scores.return_index(rows.in_target, rows.frames, 111) is None


def test_horizons_are_those_of_the_evaluation():
    values = np.random.default_rng(0).uniform(size=80).round(6)
    rows = _rows("t" * 80, prompt_frame=4, values=values)
    sums = object_sums(rows, fps=2.0)
    scored = tuple({1: Row(v, v, v, True, True)} for v in values)
    result = VideoResult("v", (), tuple(rows.frames), {1: (4,)}, 2.0, scored)
    spans = per_horizon([result], Preset("all", False, False), long_scores.HORIZONS_S)
    found = [sums[name] for name in long_scores.horizon_names()]
    assert found == pytest.approx([span["JF"] for span in spans])
    assert [span["frames"] for span in spans] == [10, 50, 20]


def test_classes_are_counted_in_sight():
    rows = _rows("tt..")
    rows.top_class, rows.mean_class = [1, 0, 1, 1], 1
    sums = object_sums(rows, 1.0, bank=("hook", "grasper"))
    assert (sums["class per frame"], sums["class per frame#"]) == (1, 2)
    assert sums["class of video"] == 1
    assert "class per frame" not in object_sums(rows, 1.0, bank=("hook", "needle"))


def test_a_class_gate_withholds_masks():
    rows = _rows("ttsff.m")
    rows.agreement = [0.9, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1]
    closed = long_scores.gated(rows, 0.5)
    assert closed.in_mask == [1, 0, 0, 0, 1, 0, 0]
    assert closed.region == [1, 0, 0, 1, 0, 1, 0]
    sums = object_sums(closed, 1.0)
    assert (sums["swaps"], sums["missed"], sums["false alarms"]) == (0, 3, 1)
    assert long_scores.gated(rows, 0.05) == rows
    with pytest.raises(ValueError, match="--class_gate"):
        long_scores.gated(_rows("tt"), 0.5)


def _sums(values) -> long_tables.Sums:
    """One object a video; the same score in every measure."""
    filled = np.repeat(np.array(values, float)[..., None], len(long_tables.MEASURES), -1)
    return long_tables.Sums(filled, np.ones_like(filled))


def test_a_policy_against_itself_differs_by_nothing():
    one = _sums(np.random.default_rng(1).uniform(size=(3, 7)))
    for value, interval in long_tables.differences(one, one, resamples=500).values():
        assert value == 0 and interval == (0.0, 0.0)


def test_intervals_are_of_pairs_and_hold_the_difference():
    rng = np.random.default_rng(2)
    second = rng.uniform(size=(3, 12))
    gain = 0.05 + 0.01 * rng.standard_normal((3, 12))
    value, interval = long_tables.differences(_sums(second + gain), _sums(second))["JF"]
    assert value == pytest.approx(gain.mean())
    assert interval is not None and 0.03 < interval.low < value < interval.high < 0.07


def test_training_seeds_widen_an_interval():
    """The same mean gain; here it is all one seed's."""
    second = np.full((3, 10), 0.5)
    gain = np.zeros((3, 10))
    gain[0] = 0.3
    _, wide = long_tables.differences(_sums(second + gain), _sums(second))["JF"]
    _, narrow = long_tables.differences(_sums(second + 0.1), _sums(second))["JF"]
    assert wide is not None and narrow is not None
    assert wide.low <= 0 and wide.high > 0.15
    assert narrow == pytest.approx((0.1, 0.1))


def test_one_video_has_no_interval():
    value, interval = long_tables.differences(_sums([[0.5]]), _sums([[0.25]]), resamples=50)["JF"]
    assert value == 0.25 and interval is None


def test_nothing_to_measure_is_no_number():
    empty = _sums([[0.0, 0.0]])
    empty.counts[:] = 0
    assert long_tables.differences(empty, empty, resamples=50) == {}
    assert all(math.isnan(value) for value in empty.whole())


def test_longest_absence_counts_between_stretches_in_sight():
    runs = {((5, 9),): 0, ((0, 4), (10, 12)): 6, ((0, 4), (10, 12), (112, 120)): 100}
    for visible, longest in runs.items():
        assert long_data.longest_absence(ObjectEntry(1, "grasper", True, visible)) == longest
