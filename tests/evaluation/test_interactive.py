"""Interactive rounds by hand: which frame is corrected, where clicks fall, where a pass stops."""

import numpy as np
import pytest

from surgjax.evaluation.interactive import (
    Offline,
    Online,
    run_offline,
    run_online,
    run_online_curve,
    score_rounds,
)
from surgjax.evaluation.prompted_run import Start
from tests.evaluation.scripted import Scripted, block, video

BOX = Start("box", together=False)


def given(outcome):
    return [(g.object_id, g.frame, g.clicks) for g in outcome.given]


def regions(outcome, object_id=1):
    rows = [outcome.rows[t][object_id] for t in sorted(outcome.rows)]
    return [None if row is None else row.region for row in rows]


# ---- offline -----------------------------------------------------------------------------------


def test_the_worst_frame_is_corrected_and_the_earliest_of_equals():
    passes = [{1: [8, 6, 2, 4, 2]}, {1: [8, 6, 8, 4, 4]}, {1: [8, 8, 8, 8, 8]}]
    model = Scripted(passes, answers=[4, 8])
    outcomes = run_offline(model, video({1: range(5)}, 5), Offline(BOX, rounds=3))
    assert model.propagations() == [0, 0, 0]  # always the whole video
    assert [given(o) for o in outcomes] == [
        [(1, 0, 0)],
        [(1, 0, 0), (1, 2, 1)],  # frames 2 and 4 are equally bad; one click made it perfect
        [(1, 0, 0), (1, 2, 1), (1, 3, 1)],
    ]
    assert [g.round for g in outcomes[-1].given] == [1, 2, 3]
    assert [regions(o)[2] for o in outcomes] == [0.25, 1, 1]
    assert [o.clicks for o in outcomes] == [0, 1, 2] and outcomes[-1].stops == 2


def test_correction_clicks_start_from_the_answer_of_the_pass():
    right = block(1) & (np.arange(12) >= 4)
    model = Scripted([{1: [8, right, 8]}, {1: [8, 8, 8]}], answers=[8, block(1, surplus=3), 7])
    run_offline(model, video({1: range(3)}, 3), Offline(BOX, rounds=2, clicks=3))
    # The missed left half, then the surplus at the bottom, then the last eighth.
    assert model.prompts()[1:] == [
        (1, 1, [(2, 1, 1)]),
        (1, 1, [(2, 1, 1), (0, 11, 0)]),
        (1, 1, [(2, 1, 1), (0, 11, 0), (5, 2, 1)]),
    ]


@pytest.mark.parametrize("revisit", [False, True])
def test_a_prompted_frame_is_corrected_again_only_if_asked_to(revisit):
    model = Scripted([{1: [2, 4, 8]}], answers=[4])
    settings = Offline(Start("1-click", together=False), rounds=2, clicks=1, revisit=revisit)
    last = run_offline(model, video({1: range(3)}, 3), settings)[-1]
    assert given(last) == [(1, 0, 1), (1, 0 if revisit else 1, 1)]
    # A revisited frame is told its earlier click again.
    assert len(model.prompts()[-1][-1]) == (2 if revisit else 1)


@pytest.mark.parametrize("frames, worst", [("shown", 3), ("annotated", 2)])
def test_frames_without_the_object_count_if_asked_to(frames, worst):
    clip = video({1: (0, 1, 3, 4)}, 5)
    model = Scripted([{1: [8, 8, 1, 4, 8]}], answers=[8])
    last = run_offline(model, clip, Offline(BOX, rounds=2, clicks=1, frames=frames))[-1]
    assert last.given[-1].frame == worst
    labels = last.given[-1].prompt.labels
    assert labels is not None and labels.tolist() == [1 if worst == 3 else 0]


def test_nothing_to_correct_ends_the_passes_and_repeats_the_score():
    model = Scripted([{1: [8, 8, 8]}])
    settings = Offline(BOX, rounds=4)
    outcomes = run_offline(model, video({1: range(3)}, 3), settings)
    assert len(outcomes) == 4 and model.propagations() == [0]
    assert all(given(o) == [(1, 0, 0)] for o in outcomes)
    result = score_rounds([outcomes], settings)
    assert result["JF_mean"] == result["JF_area"] == 1.0


def test_late_objects_and_objects_that_never_show():
    clip = video({1: range(6), 2: range(3, 6), 3: ()}, 6)
    apart = Scripted([{1: [8, 8, 8, 8, 4, 8]}, {1: [8] * 6}, {2: [0, 0, 0, 8, 2, 8]}, {2: [8] * 6}])
    first, last = run_offline(apart, clip, Offline(BOX, rounds=2))
    assert apart.propagations() == [0, 0, 3, 3] and apart.open_videos == 0
    assert first.starts == {1: 0, 2: 3} and 3 not in first.starts
    assert given(first) == [(1, 0, 0), (2, 3, 0)]
    assert given(last) == [(1, 0, 0), (1, 4, 1), (2, 3, 0), (2, 4, 1)]
    assert regions(first, 2) == [None, None, None, 1, 0.25, 1]
    together = Scripted([{1: [8, 8, 8, 8, 4, 8], 2: [0, 0, 0, 8, 2, 8]}, {1: [8] * 6, 2: [8] * 6}])
    both = run_offline(together, clip, Offline(Start("box"), rounds=2))
    assert together.propagations() == [0, 0]
    assert sorted(given(both[-1])) == sorted(given(last))
    assert [o.rows for o in both] == [first.rows, last.rows]


def test_a_video_without_an_object_has_rounds_without_rows():
    outcomes = run_offline(Scripted([{}]), video({1: ()}, 4), Offline(BOX, rounds=2))
    assert [o.rows for o in outcomes] == [{}, {}]
    assert run_online(Scripted([{}]), video({1: ()}, 4), Online(BOX)).rows == {}


def test_rounds_are_scored_and_add_up():
    # J of the one frame that counts (first and last are dropped): 1/4, 1/2, 1.
    passes = [{1: [8, 2, 8]}, {1: [8, 4, 8]}, {1: [8, 8, 8]}]
    settings = Offline(BOX, rounds=3, clicks=2, revisit=True)
    clip = video({1: range(3)}, 3)
    outcomes = run_offline(Scripted(passes, answers=[4]), clip, settings)
    result = score_rounds([outcomes], settings)
    assert [r["J"] for r in result["rounds"]] == [0.25, 0.5, 1.0]
    assert [r["clicks"] for r in result["rounds"]] == [0, 2, 4]
    assert [r["round"] for r in result["rounds"]] == [1, 2, 3]
    curve = [r["JF"] for r in result["rounds"]]
    assert result["J_mean"] == pytest.approx(1.75 / 3)
    assert result["JF_area"] == pytest.approx(curve[0] / 4 + curve[1] / 2 + curve[2] / 4)
    for stated in (result, result["rounds"][0]):
        assert stated["protocol"] == "interactive_offline" and stated["preset"] == "davis17"
        assert stated["prompt"] == "box" and stated["revisit"] and stated["together"] is False
        assert "ground truth" in stated["prompt_source"]


# ---- online ------------------------------------------------------------------------------------


def test_the_pass_stops_below_the_threshold_and_goes_on_from_there():
    # Stops on frame 2 (0.625) but not on frame 1 (0.75 is not below), then on frame 4.
    passes = [{1: [8, 6, 5, 0, 0]}, {1: [0, 0, 7, 6, 2]}, {1: [0, 0, 0, 0, 8]}]
    model = Scripted(passes, answers=[8])
    outcome = run_online(model, video({1: range(5)}, 5), Online(BOX))
    assert model.propagations() == [0, 2, 4]
    assert given(outcome) == [(1, 0, 0), (1, 2, 1), (1, 4, 1)] and outcome.stops == 2
    # Earlier frames keep their masks; a corrected frame carries what the model made of it.
    assert regions(outcome) == [1, 0.75, 7 / 8, 0.75, 1]


def test_a_corrected_frame_that_stays_bad_is_not_stopped_at_again():
    model = Scripted([{1: [8, 2, 8, 8]}], answers=[3])
    outcome = run_online(model, video({1: range(4)}, 4), Online(BOX, clicks=2))
    assert model.propagations() == [0, 1] and given(outcome) == [(1, 0, 0), (1, 1, 2)]
    assert regions(outcome) == [1, 0.25, 1, 1]


def test_no_more_stops_than_allowed_and_none_on_frames_that_do_not_count():
    clip = video({1: (0, 1, 2, 4, 5)}, 6, annotated=(0, 1, 3, 4, 5))
    table = [{1: [8, 8, 0, 1, 2, 2]}]
    # Frame 2 is not annotated, frame 3 does not show the object: the first stop is frame 4.
    assert [g.frame for g in run_online(Scripted(table), clip, Online(BOX)).given] == [0, 4, 5]
    every = Online(BOX, frames="annotated")
    assert [g.frame for g in run_online(Scripted(table), clip, every).given] == [0, 3, 4, 5]
    capped = Online(BOX, prompted_frames=2)
    assert [g.frame for g in run_online(Scripted(table), clip, capped).given] == [0, 4]
    lenient = Online(BOX, threshold=0.2)
    assert run_online(Scripted(table), clip, lenient).stops == 0


def test_objects_together_stop_on_their_own_frames():
    clip = video({1: range(5), 2: range(1, 5)}, 5)
    passes = [
        {1: [8, 8, 2, 8, 8], 2: [0, 8, 8, 8, 8]},
        {1: [0, 0, 8, 4, 8], 2: [0, 0, 8, 4, 8]},
        {1: [8] * 5, 2: [8] * 5},
    ]
    model = Scripted(passes)
    outcome = run_online(model, clip, Online(Start("box")))
    assert model.propagations() == [0, 2, 3]
    assert given(outcome) == [(1, 0, 0), (2, 1, 0), (1, 2, 1), (1, 3, 1), (2, 3, 1)]
    assert [g.round for g in outcome.given] == [1, 1, 2, 3, 2]
    assert regions(outcome, 2) == [None, 1, 1, 1, 1]


class Improving(Scripted):
    """Bad on every frame after the last prompt but the next two: the same each time it is asked."""

    def __init__(self):
        super().__init__([{}])

    def open(self, frames):
        tracking = super().open(frames)
        prompted = []
        ask = tracking.prompt
        tracking.prompt = lambda t, k, p: (prompted.append(t), ask(t, k, p))[1]
        tracking.propagate = lambda start: (
            (t, {1: block(1, 8 if t - max(f for f in prompted if f <= t) < 2 else 4)})
            for t in range(start, len(frames))
        )
        return tracking


def test_the_curve_repeats_where_the_limit_is_not_reached_and_runs_are_deterministic():
    settings, clip = Online(BOX, prompted_frames=6), video({1: range(7)}, 7)
    model = Improving()
    curve = run_online_curve(model, clip, settings)
    # 7 frames with a prompt on 0, 2, 4 and 6.
    assert [[g.frame for g in o.given] for o in curve] == [
        [0], [0, 2], [0, 2, 4], [0, 2, 4, 6], [0, 2, 4, 6], [0, 2, 4, 6],
    ]  # fmt: skip
    assert curve[4].rows == run_online(model, clip, settings).rows
    again = run_online_curve(Improving(), clip, settings)
    assert [o.rows for o in again] == [o.rows for o in curve]
    result = score_rounds([curve], settings)
    assert [r["stops"] for r in result["rounds"]] == [0, 1, 2, 3, 3, 3]
    # Frames 1 to 5 count: one right and four half right, then three and two, then all right.
    assert [r["J"] for r in result["rounds"]] == pytest.approx([0.6, 0.8, 1, 1, 1, 1])
    assert result["protocol"] == "interactive_online" and result["threshold"] == 0.75


def test_refusals():
    with pytest.raises(ValueError, match="rounds 0: expected 1 or more"):
        Offline(rounds=0)
    with pytest.raises(ValueError, match="clicks 0: expected 1 or more"):
        Online(clicks=0)
    with pytest.raises(ValueError, match="prompted_frames 0"):
        Online(prompted_frames=0)
    with pytest.raises(ValueError, match="frames 'all': expected one of"):
        Offline(frames="all")
    with pytest.raises(ValueError, match="threshold 75: expected an IoU"):
        Online(threshold=75)
