"""The four IoUs by hand. A frame is a row of 12 pixels; letters are its class areas."""

import itertools
import math

import numpy as np
import pytest

from surgjax.metrics import endovis_type

NAN = math.nan


def _row(text):
    """'11..2' -> one row of pixels; '.' is background, '#' ignored."""
    values = [{".": 0, "#": 255}.get(c, None) for c in text]
    digits = [int(c) if v is None else v for c, v in zip(text, values, strict=True)]
    return np.array([digits], np.uint8)


def _state(frames, video="a"):
    areas = {t: endovis_type.class_areas(_row(p), _row(g), 7) for t, (p, g) in enumerate(frames)}
    return endovis_type.update(endovis_type.init_state(), video, areas)


# name: ([(prediction, ground truth) of each frame], challenge, isi, mc, pooled)
TABLE = {
    "perfect": ([("11..22", "11..22")], 1.0, 1.0, 1.0, 1.0),
    # Class 1: 2 of 4 pixels shared, IoU 1/2.
    "half": ([("111.", "11.."), ("1...", "11..")], (2 / 3 + 1 / 2) / 2, 7 / 12, 7 / 12, 3 / 5),
    # Class 2 is false: ISI averages 1 and 0, the challenge looks at class 1 only.
    "false class": ([("11.2", "11..")], 1.0, 0.5, 0.5, 2 / 3),
    # Class 2 is missed: a zero in both frame means.
    "missed class": ([("11..", "11.2")], 0.5, 0.5, 0.5, 2 / 3),
    # Prediction empty: zeros for the frame and its classes, but nothing in the pooled union.
    "empty prediction": ([("....", "11.2"), ("11..", "11..")], 0.5, 0.5, 0.25, 1.0),
    # Truth empty: ISI and class 1 get a zero, the challenge has no such frame.
    "empty truth": ([("11..", "...."), ("11..", "11..")], 1.0, 0.5, 0.5, 0.5),
    "empty frame": ([("....", "...."), ("1.2.", "1.2.")], 1.0, 1.0, 1.0, 1.0),
    "all predictions empty": ([("....", "11.."), ("....", "..22")], 0.0, 0.0, 0.0, 0.0),
    "no class in the truth": ([("11..", "....")], NAN, 0.0, 0.0, 0.0),
    # Frame 1: class 1 right (1), class 2 missed (0): 1/2. Frame 2: class 1 right: 1.
    # mc: class 1 (1 + 1) / 2, class 2 0: 1/2. Pooled: (2 + 2) / (2 + 1 + 2).
    "means differ": ([("11..", "11.2"), ("11..", "11..")], 0.75, 0.75, 0.5, 4 / 5),
    "confused classes": ([("11.2", "22.1")], 0.0, 0.0, 0.0, 0.0),
    # Ignored pixels count nowhere: a prediction there is neither false nor found.
    "ignored": ([("1122", "11##")], 1.0, 1.0, 1.0, 1.0),
    "only ignored predicted": ([("..22", "11##")], 0.0, 0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("name", TABLE)
def test_by_hand(name):
    frames, *wanted = TABLE[name]
    result = endovis_type.compute(_state(frames))
    ours = [result[key] for key in ("challenge_iou", "isi_iou", "mc_iou", "pooled_iou")]
    assert ours == pytest.approx(wanted, nan_ok=True)


def test_prompted_with_the_true_classes_challenge_and_isi_are_the_same():
    frames = [("11.2", "1122"), ("3.3.", "333."), ("5...", "55..")]
    result = endovis_type.compute(_state(frames))
    assert result["challenge_iou"] == result["isi_iou"] != 1


def test_frames_count_alike_whatever_their_video_and_classes_are_listed():
    state = endovis_type.merge(
        _state([("11", "11"), ("11", "11")], "a"), _state([("1.", "11")], "b")
    )
    result = endovis_type.compute(state)
    assert result["isi_iou"] == pytest.approx(2.5 / 3)
    assert result["per_class"] == [{"class": 1, "iou": pytest.approx(2.5 / 3)}]
    assert [(r["sequence"], r["isi_iou"]) for r in result["per_sequence"]] == [
        ("a", 1.0),
        ("b", 0.5),
    ]


def test_merge_is_associative_and_exact_in_any_order():
    rng = np.random.default_rng(0)
    states = []
    for video, frame in itertools.product("abc", range(4)):
        prediction, target = rng.integers(0, 8, (2, 5, 7)).astype(np.uint8)
        areas = {frame: endovis_type.class_areas(prediction, target, 7)}
        states.append(endovis_type.update(endovis_type.init_state(), video, areas))
    whole = endovis_type.init_state()
    for state in states:
        whole = endovis_type.merge(whole, state)
    halves = [endovis_type.init_state()] * 2
    for k in rng.permutation(len(states)):
        halves[k % 2] = endovis_type.merge(states[k], halves[k % 2])
    assert endovis_type.compute(endovis_type.merge(*halves)) == endovis_type.compute(whole)


def test_refusals():
    state = _state([("11", "11")])
    with pytest.raises(ValueError, match=r"twice.*\('a', 0\)"):
        endovis_type.merge(state, state)
    with pytest.raises(ValueError, match="no frame shows a class"):
        endovis_type.compute(_state([("..", "..")]))
    with pytest.raises(ValueError, match="target: class ids 0 to 7 expected, 8 found"):
        endovis_type.class_areas(_row("11"), _row("81"), 7)
    with pytest.raises(ValueError, match=r"\(1, 2\) and target \(1, 3\) differ"):
        endovis_type.class_areas(_row("11"), _row("111"), 7)
