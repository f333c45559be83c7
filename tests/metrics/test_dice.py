"""Dice by hand: a frame is a row of pixels."""

import math

import numpy as np
import pytest

from surgjax.metrics import dice
from surgjax.metrics.label_maps import Areas


def _row(text):
    return np.array([[0 if c == "." else int(c) for c in text]], np.uint8)


def _state(frames, video="a"):
    areas = {t: dice.class_areas(_row(p), _row(g)) for t, (p, g) in enumerate(frames)}
    return dice.update(dice.init_state(), video, areas)


# name: ([(prediction, ground truth) of each frame], class mean, object mean, weighted mean)
TABLE = {
    "perfect": ([("11.2", "11.2")], 1.0, 1.0, 1.0),
    # 2 * 2 / (3 + 2)
    "one class": ([("111.", "11..")], 0.8, 0.8, 0.8),
    # Class 1: 1 and 1 on two frames; class 2: 0 on one. Weights 2 and 1. For object 2 the frame
    # after it is gone counts as well: 0 and 1.
    "weights": ([("11..", "11.2"), ("11..", "11..")], 0.5, 0.75, 2 / 3),
    # Class 2 is never in the truth: a class with Dice 0 and weight 0, and no object.
    "false class": ([("11.2", "11..")], 0.5, 1.0, 1.0),
    # The object appears on frame 1; frame 2 shows it in neither and is perfect for the object,
    # while the class mean has no such frame.
    "late and gone": ([("....", "...."), ("1...", "11.."), ("....", "....")], 2 / 3, 5 / 6, 2 / 3),
    # Predicted before it appears: frames count from there.
    "early": ([("1...", "...."), ("1...", "1...")], 0.5, 0.5, 0.5),
}


@pytest.mark.parametrize("name", TABLE)
def test_by_hand(name):
    frames, *wanted = TABLE[name]
    result = dice.compute(_state(frames))
    assert [result[k] for k in ("dice_class", "dice_object", "wmdc")] == pytest.approx(wanted)


def test_objects_of_two_videos_are_two_objects_and_one_class():
    # Video a: class 1 on three frames, Dice 1. Video b: on one frame, Dice 0.
    state = dice.merge(_state([("1", "1")] * 3, "a"), _state([("2", "1")], "b"))
    result = dice.compute(state)
    assert result["dice_object"] == pytest.approx(0.5)
    assert result["per_class"][0] == {"class": 1, "dice": 0.75, "samples": 4}
    assert result["dice_class"] == pytest.approx((0.75 + 0) / 2)  # class 2 is false
    assert result["wmdc"] == pytest.approx(0.75)
    assert [r["dice_class"] for r in result["per_sequence"]] == [1.0, 0.0]


def test_weighted_mean_follows_the_table_of_surgisam2():
    # Table 3 of doi:10.1038/s41598-025-11759-4, CholecSeg8k test subset, 10 points: (n, Dice).
    rows = [(943, 96), (640, 96), (537, 91), (668, 89), (640, 96)]
    frames = {}
    for frame in range(943):  # a class is on its first n frames, each with its Dice in per cent
        shown = {c: d for c, (n, d) in enumerate(rows, 1) if frame < n}
        frames[frame] = {c: Areas(d, 100, 100) for c, d in shown.items()}
    result = dice.compute(dice.update(dice.init_state(), "set", frames))
    assert [row["samples"] for row in result["per_class"]] == [n for n, _ in rows]
    assert result["dice_class"] == pytest.approx(0.936)
    # (943 + 640 + 640) * 0.96 + 537 * 0.91 + 668 * 0.89 = 3217.27 of 3428
    assert result["wmdc"] == pytest.approx(3217.27 / 3428)
    assert round(result["wmdc"], 2) == 0.94  # the paper's figure for the set


def test_no_truth_at_all_and_nothing_at_all():
    result = dice.compute(_state([("1", ".")]))
    assert result["dice_class"] == 0 and math.isnan(result["dice_object"] + result["wmdc"])
    with pytest.raises(ValueError, match="no frame shows a class"):
        dice.compute(_state([(".", ".")]))
