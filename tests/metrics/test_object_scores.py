"""Which frames and objects the presets count, by hand."""

import dataclasses
import math

import numpy as np
import pytest

from surgjax.metrics import object_scores
from surgjax.metrics.object_scores import ABSENT, PRESETS, Row


def _row(j, target=True, mask=True):
    return Row(j, j / 2, j, target, mask)


def _state(frames, video="a"):
    return object_scores.update(object_scores.init_state(), video, dict(enumerate(frames)))


# Object 1 appears in the truth on frame 2, is predicted from frame 1 on, and is gone on frame 4.
LATE = [
    {},
    {1: _row(0.0, target=False)},
    {1: _row(0.6)},
    {1: _row(0.8)},
    {},
    {1: _row(0.1)},
]


@pytest.mark.parametrize(
    ("preset", "frames"),
    [
        ("davis17", [0.0, 0.6, 0.8, 1.0]),  # all but the first and the last
        ("sav", [0.0, 0.6, 0.8, 1.0]),  # the same: predicted on the first frame that is left
        ("resurg", [0.0, 0.6, 0.8, 1.0, 0.1]),  # from its first appearance, the last included
    ],
)
def test_frames_that_count(preset, frames):
    result = object_scores.compute(_state(LATE), PRESETS[preset])
    assert result["J"] == pytest.approx(np.mean(frames))
    halved = [j / 2 if j < 1 else 1.0 for j in frames]  # 1.0: absent in both, perfect
    assert result["F"] == pytest.approx(np.mean(halved))
    assert result["JF"] == pytest.approx((result["J"] + result["F"]) / 2)
    assert result["preset"] == preset


def test_frames_before_the_first_appearance_are_perfect_for_davis17_only():
    frames = [{1: _row(0.9), 2: _row(1.0)}, {2: _row(1.0)}, {2: _row(1.0)}, {1: _row(0.5)}, {}]
    davis, sav = (object_scores.compute(_state(frames), PRESETS[p]) for p in ("davis17", "sav"))
    first = davis["per_object"][0], sav["per_object"][0]
    assert [row["J"] for row in first] == pytest.approx([(1 + 1 + 0.5) / 3, 0.5])
    assert [row["frames"] for row in first] == [3, 1]


def test_sav_leaves_out_what_it_never_sees_in_the_truth():
    frames = [{1: _row(1.0), 2: _row(1.0)}, {2: _row(0.5)}, {2: _row(0.5)}, {1: _row(1.0)}]
    result = object_scores.compute(_state(frames), PRESETS["sav"])
    assert [row["object"] for row in result["per_object"]] == [2]
    assert result["left_out"] == [("a", 1)]
    kept = dataclasses.replace(PRESETS["sav"], drop_first_and_last=False)
    assert len(object_scores.compute(_state(frames), kept)["per_object"]) == 2


def test_an_id_that_only_the_prediction_has_is_no_object():
    frames = [{1: _row(1.0), 9: _row(0.0, target=False)}] * 3
    assert len(object_scores.compute(_state(frames), PRESETS["davis17"])["per_object"]) == 1


def test_an_object_that_is_not_annotated_on_a_frame_has_no_score_there():
    frames = [{1: _row(0.2)}, {1: None}, {1: _row(0.4)}, {1: _row(0.6)}]
    result = object_scores.compute(_state(frames), PRESETS["resurg"])
    assert result["J"] == pytest.approx(0.4) and result["per_object"][0]["frames"] == 3


def test_false_positives_on_absent_objects():
    frames = [{1: _row(1.0)}, {1: _row(0.0, target=False)}, {}, {1: _row(1.0)}, {1: _row(1.0)}]
    result = object_scores.compute(_state(frames), PRESETS["davis17"])
    assert result["false_positive_rate"] == 0.5
    assert result["per_object"][0]["absent_frames"] == 2
    always = object_scores.compute(_state([{1: _row(1.0)}] * 3), PRESETS["davis17"])
    assert math.isnan(always["false_positive_rate"])


def test_false_positives_on_objects_that_are_never_there():
    """8 is found once in vain, 9 is asked for and not found, 7 is not annotated at all."""
    ghost = _row(0.0, target=False)
    frames = [{1: _row(1.0), 7: None, 8: ghost if t in (0, 2) else ABSENT} for t in range(5)]
    frames[1] = frames[1] | {9: ABSENT}
    state = _state(frames)
    for name, scored, found in (("davis17", 3, 1), ("sav", 3, 1), ("resurg", 5, 2)):
        result = object_scores.compute(state, PRESETS[name])
        assert [row["object"] for row in result["per_object"]] == [1]
        assert result["per_absent_object"] == [
            {"sequence": "a", "object": 8, "frames": scored, "false_positives": found},
            {"sequence": "a", "object": 9, "frames": scored, "false_positives": 0},
        ]
        assert result["absent_false_positive_rate"] == found / (2 * scored)
    rate = object_scores.compute(_state([{1: _row(1.0)}] * 3), PRESETS["sav"])
    assert math.isnan(rate["absent_false_positive_rate"])


def test_states_of_parts_are_exact():
    """Packed rows come back as they were, from parts in any order."""
    frames = {4: {1: _row(0.1)}, 0: {2: None}, 9: {1: ABSENT, 2: _row(0.7, mask=False)}}
    parts = [{"v": object_scores.pack({t: rows})} for t, rows in frames.items()]
    rows = object_scores.join(parts)["v"]
    assert rows.frames.tolist() == [0, 4, 9]
    assert rows.rows(1) == [ABSENT, _row(0.1), ABSENT]
    assert rows.rows(2) == [None, ABSENT, _row(0.7, mask=False)]
    assert sum(a.nbytes for part in (rows.scores, rows.flags) for a in part.values()) == 2 * 3 * 25


def test_means_run_over_objects_and_sequences_are_listed():
    state = object_scores.merge(
        _state([{1: _row(1.0), 2: _row(0.4)}] * 4, "a"), _state([{1: _row(0.1)}] * 9, "b")
    )
    result = object_scores.compute(state, PRESETS["davis17"])
    assert result["J"] == pytest.approx((1.0 + 0.4 + 0.1) / 3)
    assert result["J_recall"] == pytest.approx(1 / 3)
    assert [(r["sequence"], r["J"]) for r in result["per_sequence"]] == [
        ("a", pytest.approx(0.7)),
        ("b", pytest.approx(0.1)),
    ]


def test_frames_of_one_video_may_come_in_any_batches():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, (9, 20, 30)).astype(np.uint8)
    target[:4][target[:4] == 3] = 0  # object 3 appears late
    prediction = np.where(rng.random(target.shape) < 0.8, target, 0).astype(np.uint8)
    rows = {
        t: object_scores.score_label_map(p, g)
        for t, (p, g) in enumerate(zip(prediction, target, strict=True))
    }
    whole = object_scores.update(object_scores.init_state(), "a", rows)
    parts = object_scores.init_state()
    for batch in ([7, 2], [0], [8, 1, 3], [6, 4, 5]):
        part = object_scores.update(object_scores.init_state(), "a", {t: rows[t] for t in batch})
        parts = object_scores.merge(part, parts)
    for preset in PRESETS.values():
        assert object_scores.compute(parts, preset) == object_scores.compute(whole, preset)


def test_score_label_map_by_hand():
    target = np.zeros((8, 8), np.uint8)
    target[:4, :4], target[4:, 4:], target[:2, 6:] = 1, 2, 255
    prediction = np.zeros_like(target)
    prediction[:4, :2], prediction[:2, 6:], prediction[7, 0] = 1, 1, 3
    rows = object_scores.score_label_map(prediction, target)
    assert rows.keys() == {1, 2, 3}
    assert (rows[1].region, rows[1].dice) == (0.5, 2 * 8 / 24)  # the ignored corner does not count
    assert rows[2] == Row(0.0, 0.0, 0.0, True, False)
    assert rows[3] == Row(0.0, 0.0, 0.0, False, True)
    assert prediction[0, 7] == 1  # inputs stay as they are
    nothing = np.zeros((4, 4), bool)
    assert object_scores.score_mask(nothing, nothing) == ABSENT


def test_literal_decay_counts_frames_in_eight_bits():
    frames = [{1: _row(1.0 if t < 200 else 0.0)} for t in range(402)]
    state = _state(frames)
    ours, theirs = (
        object_scores.compute(state, PRESETS["davis17"], literal=x)["J_decay"] for x in (0, 1)
    )
    assert ours == pytest.approx(1.0)
    # Frames 300 to 400 of 1..400 become 299 - 256 = 43 to 399 - 256 = 143: all still ones.
    assert theirs == pytest.approx(0.0)


def test_refusals():
    state = _state([{1: _row(1.0)}] * 2)
    with pytest.raises(ValueError, match="'a' has 2 annotated frames; davis17 drops"):
        object_scores.compute(state, PRESETS["davis17"])
    with pytest.raises(ValueError, match="resurg: no object"):
        object_scores.compute(_state([{}, {}]), PRESETS["resurg"])
    with pytest.raises(ValueError, match=r"Scored twice.*\('a', 0\)"):
        object_scores.merge(state, state)
    with pytest.raises(ValueError, match=r"mask \(2, 2\) and target \(2, 3\)"):
        object_scores.score_mask(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
