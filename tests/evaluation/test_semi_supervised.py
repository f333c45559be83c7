"""Objects prompted once: starts, late and missing objects, rows and prompts, by hand."""

import weakref

import numpy as np
import pytest

from surgjax.evaluation import labelled_videos, semi_supervised
from surgjax.evaluation.annotated_video import AnnotatedVideo
from surgjax.evaluation.davis_videos import DavisData
from surgjax.evaluation.labelled_videos import Truth
from surgjax.evaluation.mask_folders import read_label_file
from surgjax.evaluation.prompted_run import Start, score
from surgjax.evaluation.prompting import add_clicks, clicks_of, first_prompt, first_visible
from surgjax.evaluation.segmenter import Prompt
from tests.evaluation.scripted import Scripted, block, video
from tests.evaluation.tracked_folders import write_davis


def run(segmenter, clip, keep=None, **start):
    return semi_supervised.run(segmenter, clip, Start(**start), keep)


def regions(outcome, object_id):
    rows = [outcome.rows[t][object_id] for t in sorted(outcome.rows)]
    return [None if row is None else row.region for row in rows]


def test_every_object_is_scored_from_its_own_first_frame():
    clip = video({1: range(6), 2: range(2, 6), 3: (4, 5)}, frames=6)
    model = Scripted([{1: [8, 4, 4, 4, 2, 8], 2: [8, 8, 8, 6, 4, 8]}])
    kept = {}
    outcome = run(model, clip, kept.setdefault, prompt="box", preset="davis17")
    assert outcome.starts == {1: 0, 2: 2}
    assert outcome.left_out == {3: "starts on frame 4, too late for davis17"}
    assert model.prompts() == [(1, 0, ("box", 2, 1, 5, 2)), (2, 2, ("box", 2, 4, 5, 5))]
    assert model.propagations() == [0] and model.open_videos == 0
    assert regions(outcome, 1) == [1, 0.5, 0.5, 0.5, 0.25, 1]
    assert regions(outcome, 2) == [None, None, 1, 0.75, 0.5, 1]  # what came before is not kept
    assert [sorted(kept[t]) for t in range(6)] == [[1], [1], [1, 2], [1, 2], [1, 2], [1, 2]]
    result = score([outcome], "davis17", semi_supervised.stated(Start("box")))
    # The prompted and the last frame are dropped: (4 + 4 + 4 + 2) / 4 eighths and (6 + 4) / 2.
    assert [o["J"] for o in result["per_object"]] == [3.5 / 8, 5 / 8]
    assert result["J"] == pytest.approx((3.5 + 5) / 16)
    assert result["protocol"] == "semi_supervised" and result["prompt"] == "box"
    assert result["preset"] == "davis17" and "ground truth" in result["prompt_source"]
    assert result["not_prompted"][0]["object"] == 3 and result["clicks"] == result["stops"] == 0
    assert [(p["object"], p["frame"]) for p in result["prompts"]] == [(1, 0), (2, 2)]


def test_objects_in_passes_of_their_own():
    clip = video({1: range(5), 2: range(2, 5)}, frames=5)
    model = Scripted([{1: [8, 6, 6, 6, 6]}, {2: [0, 0, 8, 4, 4]}])
    outcome = run(model, clip, prompt="mask", together=False)
    assert model.propagations() == [0, 2]
    assert regions(outcome, 1) == [1, 0.75, 0.75, 0.75, 0.75]
    assert regions(outcome, 2) == [None, None, 1, 0.5, 0.5]
    assert [g.object_id for g in outcome.given] == [1, 2] and outcome.stops == 0


def test_an_object_that_the_model_does_not_list_is_empty_there():
    clip = video({1: range(4), 2: range(4)}, frames=4)
    outcome = run(Scripted([{1: [8, 8, 8, 8]}]), clip, prompt="1-click")
    assert regions(outcome, 2) == [0, 0, 0, 0]


def test_only_annotated_frames_count_and_carry_prompts():
    clip = video({1: range(1, 9)}, frames=9, annotated=(0, 3, 6, 8))
    outcome = run(Scripted([{1: [0, 0, 0, 8, 1, 1, 4, 1, 8]}]), clip, prompt="mask")
    assert outcome.starts == {1: 3} and sorted(outcome.rows) == [0, 3, 6, 8]
    assert regions(outcome, 1) == [None, 1, 0.5, 1]


def test_small_first_appearances_are_waited_out():
    clip = video({1: range(4)}, frames=4)
    clip.label_maps[0][block(1)] = 0
    clip.label_maps[0][1, 2] = 1  # one pixel of 144
    clip = AnnotatedVideo(clip.name, clip.frames, clip.label_maps)
    assert run(Scripted([{1: [8] * 4}]), clip, min_area=0.05).starts == {1: 1}
    none = run(Scripted([{1: [8] * 4}]), clip, min_area=0.5)
    assert none.left_out == {1: "covers less than 0.5 of every frame"} and not none.given
    with pytest.raises(ValueError, match="no object of the ground truth is left"):
        score([none], "davis17")


def test_ignored_pixels_are_neither_scored_nor_clicked():
    clip = video({1: range(3)}, frames=3)
    for label_map in clip.label_maps.values():
        label_map[-1] = 255
    clip = AnnotatedVideo(clip.name, clip.frames, clip.label_maps)
    model = Scripted([{1: [block(1, surplus=12)] * 3}], [block(1, surplus=12)])
    outcome = run(model, clip, prompt="3-click")
    assert regions(outcome, 1) == [1, 1, 1]
    assert outcome.clicks == 1  # nothing that counts is wrong after the first


def test_clicks_fall_on_the_deepest_place_then_on_the_largest_error():
    # The right half is missed, then it is right with four pixels too much, then perfect.
    half = block(1) & (np.arange(12) < 4)
    model = Scripted([{1: [8] * 3}], [half, block(1, surplus=4), 8])
    outcome = run(model, video({1: range(3)}, frames=3), prompt="5-click")
    # Depth is 1 everywhere in a block of two rows, so the first pixel of a region counts.
    assert model.prompts()[-1] == (1, 0, [(2, 1, 1), (4, 1, 1), (0, 11, 0)])
    assert outcome.clicks == 3 and outcome.given[0].clicks == 3


def test_a_tie_between_equal_errors_is_a_negative_click():
    asked = []
    mask = block(1, surplus=0)
    mask[1, 2:4], mask[11, 0:2] = False, True  # two pixels missed, two too many, equally deep
    ask = lambda prompt: asked.append(prompt) or block(1)  # noqa: E731
    added = add_clicks(3, block(1), mask, ask)
    assert added is not None and added.clicks == 1
    assert asked[0].points_xy.tolist() == [[0, 11]] and asked[0].labels.tolist() == [0]


def test_corrections_keep_the_box_and_the_clicks_before():
    before = Prompt(np.array([[2.0, 1.0]]), np.array([1]), np.array([2.0, 1.0, 5.0, 2.0]))
    added = add_clicks(1, block(1), block(1, 4), lambda p: block(1), before)
    assert added is not None
    assert added.prompt.points_xy.tolist() == [[2, 1], [2, 2]]
    assert added.prompt.labels.tolist() == [1, 1] and added.prompt.box_xyxy[2] == 5
    assert add_clicks(3, block(1), block(1), lambda p: block(1)) is None  # nothing to correct


def test_a_thin_object_gets_a_box_with_an_extent():
    target = np.zeros((12, 12), bool)
    target[3:7, 11] = True
    prompt = first_prompt("box", target, lambda p: target).prompt
    assert prompt.box_xyxy.tolist() == [11, 3, 12, 6]


def test_first_visible():
    target = np.zeros((4, 10, 10), bool)
    target[1, 0, 0], target[2, 0] = True, True
    assert first_visible(target) == 1 and first_visible(target, 0.1) == 2
    assert first_visible({7: target[2], 5: target[0], 6: target[1]}) == 6
    assert first_visible(target[:1]) is None


def test_first_frame_shows_enough():
    maps = np.zeros((4, 10, 10), np.uint8)
    maps[1, 0, 0] = maps[2, :2, :5] = 3
    video = AnnotatedVideo("clip", [], dict(enumerate(maps)))
    assert [video.first_frame(3, area) for area in (0.0, 0.01, 0.02, 0.1, 0.11)] == [
        1,
        1,
        2,
        2,
        None,
    ]
    sparse = AnnotatedVideo("clip", [], {7: maps[2], 5: maps[0], 6: maps[1]})
    assert sparse.annotated == [5, 6, 7] and sparse.object_ids == [3]
    assert sparse.first_frame(3) == 6 and sparse.first_frame(4) is None


def test_truths_may_be_read_when_they_are_needed(tmp_path, monkeypatch):
    root = write_davis(tmp_path)
    clip = DavisData(str(root), videos=("a",)).find()[0]
    truth = Truth(clip, clip.open_truth(tmp_path))
    whole = AnnotatedVideo("a", [], dict(truth.label_maps))
    alive = []

    def read(path):
        found = read_label_file(path)
        alive.append(weakref.ref(found.label_map))
        return found

    monkeypatch.setattr(labelled_videos, "read_label_file", read)
    lazy = AnnotatedVideo("a", [], truth.label_maps)
    for name in ("annotated", "object_ids", "size"):
        assert getattr(lazy, name) == getattr(whole, name)
    for t in (0, 3, 4):
        for k in (1, 2):
            np.testing.assert_array_equal(lazy.target(t, k), whole.target(t, k))
        assert not lazy.ignored(t).any()
    assert len(alive) == 5 + 3  # once for its size and areas, once for all questions of a frame
    assert sum(each() is not None for each in alive) == 1


def test_refusals():
    assert clicks_of("12-click") == 12
    for kind in ("scribble", "0-click", "click"):
        with pytest.raises(ValueError, match=f"prompt '{kind}': expected one of"):
            Start(prompt=kind)
    with pytest.raises(ValueError, match="preset 'davis': expected one of"):
        Start(preset="davis")
    with pytest.raises(ValueError, match="min_area 2"):
        Start(min_area=2)
    with pytest.raises(ValueError, match="every point needs a label"):
        Prompt(np.zeros((2, 2)), np.ones(1, int))
    with pytest.raises(ValueError, match="a mask is a prompt by itself"):
        Prompt(box_xyxy=np.zeros(4), mask=block(1))
    with pytest.raises(ValueError, match="does not show the object"):
        first_prompt("mask", np.zeros((4, 4), bool), lambda p: block(1))
    with pytest.raises(ValueError, match="expected label maps of one size, found none"):
        AnnotatedVideo("clip", [], {})


def test_a_model_that_breaks_the_contract_is_named():
    clip = video({1: range(4)}, frames=4)
    with pytest.raises(ValueError, match="clip: expected frame 2, the model gave 3"):
        run(Scripted([{1: [8] * 4}], skip=2), clip)
    ends = Scripted([{1: [8] * 4}], skip=3)
    with pytest.raises(ValueError, match="the model ended before frame 3"):
        run(ends, clip)
    assert ends.open_videos == 0  # closed all the same
    with pytest.raises(ValueError, match=r"mask \(6, 6\), expected \(12, 12\)"):
        run(Scripted([{1: [np.zeros((6, 6), bool)] * 4}]), clip)
