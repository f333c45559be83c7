"""A model over a data set: masks, scores, going on after a stop, shares, rounds."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

from surgjax.evaluation import model_report
from surgjax.evaluation.davis_videos import DavisData
from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.mask_folders import MaskFolderError
from surgjax.evaluation.model_tracking import PromptOptions
from surgjax.evaluation.set_videos import GeneratedData
from surgjax.evaluation.shares import Share
from surgjax.inference.mask_writer import read_palette_png
from tests.evaluation import folders, tracked_folders
from tests.evaluation.tracked_folders import (
    Still,
    evaluation_of,
    finish,
    quiet,
    truth,
)


def test_a_late_object_is_prompted_on_its_first_frame_and_has_no_mask_before(davis, tmp_path):
    segmenter, out = Still(), tmp_path / "out"
    evaluation = evaluation_of(out, davis, segmenter)
    evaluation.track(say=quiet)
    assert segmenter.prompts == [("a", 0, 1), ("a", 2, 2), ("b", 0, 1), ("b", 0, 2)]
    maps = truth()
    found = [read_palette_png(out / "masks" / "a" / f"{t:05d}.png") for t in range(5)]
    for t, label_map in enumerate(found):
        expected = np.where(maps[0] == 1, 1, maps[2] if t >= 2 else 0)
        np.testing.assert_array_equal(label_map, np.where(expected == 1, maps[0], expected))
    report = finish(evaluation, out)
    # davis17 drops frames 0 and 4 of `a`, 0 and 3 of `b`; a shift by s leaves (10 - s) / (10 + s).
    ious = {s: (10 - s) / (10 + s) for s in (2, 4, 6)}
    scores = {(r["sequence"], r["object"]): r["J"] for r in report["per_object"]}
    assert scores == pytest.approx({
        ("a", 1): (ious[2] + ious[4] + ious[6]) / 3, ("a", 2): 1.0,
        ("b", 1): (ious[2] + ious[4]) / 2, ("b", 2): 1.0,
    })  # fmt: skip


def test_scores_are_those_of_experiments_evaluate_on_the_same_folders(davis, tmp_path):
    out = tmp_path / "out"
    evaluation = evaluation_of(out, davis, protocol="sav")
    evaluation.track(say=quiet)
    report = finish(evaluation, out)
    other = score_folders("sav", str(out / "masks"), f"{davis.folder}/Annotations")
    same = ("J", "F", "JF", "Dice", "per_object", "per_sequence", "left_out")
    for key in (*same, "protocol", "preset", "settings"):
        assert report[key] == other[key], key
    assert report["prompt_source"] == "ground truth: mask on each object's first visible frame"
    page = (out / "report.html").read_text()
    assert '<table id="per_horizon">' in page
    # Each object of `a` has its own mark: object 1 on frame 0, object 2, which appears late, on 2.
    charts = re.findall(r"<h3>(\w), object (\d).*?</h3>(<svg.*?</svg>)", page)
    marks = {(v, int(i)): re.findall(r"prompt on (\d+)", chart) for v, i, chart in charts}
    assert marks == {
        ("a", 1): ["00000"], ("a", 2): ["00002"], ("b", 1): ["00000"], ("b", 2): ["00000"],
    }  # fmt: skip
    page = model_report.build_page(evaluation, report, "tracked", {"scored": other})
    assert '<table id="comparison">' in page and "+0.0000 to +0.0000" in page


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(davis, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "part"
    evaluation = evaluation_of(whole, davis)
    evaluation.track(say=quiet)
    finish(evaluation, whole)
    with pytest.raises(RuntimeError, match="the power went out"):
        evaluation_of(stopped, davis, Still(fail_on="b")).track(say=quiet)
    assert [path.name for path in (stopped / "results").iterdir()] == ["a.json"]
    assert not (stopped / "masks" / "b").exists()
    again, said = Still(), []
    evaluation = evaluation_of(stopped, davis, again)
    evaluation.track(say=said.append)
    finish(evaluation, stopped)
    assert again.opened == ["b"]
    assert said == ["videos: 2, 1 finished before, 4 frames to go"]
    for name in ("report.json", "report.html", "per_frame.csv", "per_horizon.csv"):
        text = (stopped / name).read_text().replace(str(stopped), str(whole))
        assert text == (whole / name).read_text(), name
    shutil.rmtree(stopped / "masks" / "a")  # lost masks are made again
    evaluation_of(stopped, davis, again).track(say=quiet)
    assert again.opened == ["b", "a"]
    (stopped / "masks" / "b" / "00002.png").unlink()  # also a single one
    evaluation_of(stopped, davis, again).track(say=quiet)
    assert again.opened == ["b", "a", "b"] and (stopped / "masks" / "b" / "00002.png").exists()


def test_shares_and_devices_make_one_run(davis, tmp_path):
    one, parts = tmp_path / "one", tmp_path / "parts"
    evaluation = evaluation_of(one, davis)
    evaluation.track(say=quiet)
    whole, waits = model_report.build_report(evaluation), []
    first, second = Still(), Still()
    half = evaluation_of(parts, davis, first)
    half.track(Share(0, 2, waits.append), say=quiet)
    with pytest.raises(ValueError, match="1 of 2 videos have no result, b first"):
        model_report.build_report(half)
    evaluation_of(parts, davis, second).track(Share(1, 2, waits.append), say=quiet)
    assert (first.opened, second.opened, len(waits)) == (["a"], ["b"], 2)
    merged = model_report.build_report(half)
    for key in ("J", "F", "per_object", "per_horizon", "tables"):
        np.testing.assert_equal(merged[key], whole[key])
    both = tmp_path / "both"
    threaded = evaluation_of(both, davis)
    threaded.track(devices=jax.devices()[:1] * 2, say=quiet)
    np.testing.assert_equal(model_report.build_report(threaded)["tables"], whole["tables"])
    failing = evaluation_of(tmp_path / "failing", davis, Still(fail_on="a"))
    with pytest.raises(RuntimeError, match="the power went out"):
        failing.track(devices=jax.devices()[:1] * 2, say=quiet)


def _object_folders(root):
    """SA-V's layout: folders of objects 0 and 1 whose masks overlap."""
    tracked_folders.write_frames(root / "JPEGImages_24fps" / "v", 4)
    for object_id, left in ((0, 4), (1, 8)):
        maps = [folders.square((255, 4, left + t, 10)) for t in range(4)]
        folders.write(root / "Annotations_6fps" / "v" / f"{object_id:03d}", maps)
    return DavisData(folder=str(root))


def test_folders_of_objects_in_and_out(tmp_path):
    data, out = _object_folders(tmp_path / "sav"), tmp_path / "out"
    with pytest.raises(MaskFolderError, match="a folder of masks for each object.*--per_object"):
        evaluation_of(out, data, protocol="sav").track(say=quiet)
    evaluation = evaluation_of(out, data, protocol="sav", per_object_png=True)
    evaluation.track(say=quiet)
    masks = [read_palette_png(out / "masks" / "v" / f"00{k}" / "00003.png") for k in (0, 1)]
    assert [set(np.unique(m)) for m in masks] == [{0, 1}] * 2
    assert (masks[0] & masks[1]).sum() == 60  # neither gives way to the other
    (out / "masks" / "v" / "001" / "00001.png").unlink()  # the video must be tracked again
    assert evaluation.result(evaluation.videos[0]) is None
    evaluation.track(say=quiet)
    report = model_report.build_report(evaluation)
    assert [row["object"] for row in report["per_object"]] == [0, 1]
    assert "per_horizon" not in report
    assert report["notes"] == [
        "no frame rate, so not in per_horizon: 1 videos, v first; --fps gives one"
    ]


def test_all_masks_are_prompts_where_asked(davis, tmp_path):
    segmenter, out = Still(), tmp_path / "out"
    options = PromptOptions(use_all_masks=True)
    evaluation = evaluation_of(out, davis, segmenter, prompts=options)
    evaluation.track(say=quiet)
    assert [p for p in segmenter.prompts if p[0] == "a"] == [
        ("a", 0, 1), ("a", 1, 1), ("a", 2, 1), ("a", 2, 2), ("a", 3, 1), ("a", 3, 2), ("a", 4, 1),
        ("a", 4, 2),
    ]  # fmt: skip
    report = model_report.build_report(evaluation)
    assert report["J"] == 1 and "every annotated frame was given" in report["notes"][0]
    assert all(row["frames"] == 0 for row in report["per_horizon"])


def test_offline_rounds_mend_the_worst_frame_and_leave_the_masks_of_the_last(davis, tmp_path):
    segmenter, out = Still(answers={"a": truth(), "b": truth(0, 4)}), tmp_path / "out"
    options = PromptOptions("offline", start="mask", rounds=3, clicks=1)
    evaluation = evaluation_of(out, davis, segmenter, prompts=options, protocol="resurg")
    evaluation.track(say=quiet)
    assert [p for p in segmenter.prompts if p[0] == "a"] == [
        ("a", 0, 1), ("a", 2, 2), ("a", 4, 1), ("a", 3, 1),
    ]  # fmt: skip
    report = finish(evaluation, out)
    shifted = {s: (10 - s) / (10 + s) for s in (0, 2, 4, 6, 8)}
    means = [
        [np.mean([shifted[s] for s in shifts]) for shifts in objects]
        for objects in (
            [(0, 2, 4, 6, 8), (0,), (0, 2, 4, 6), (0,)],
            [(0, 2, 4, 6, 0), (0,), (0, 2, 4, 0), (0,)],
            [(0, 2, 4, 0, 0), (0,), (0, 2, 0, 0), (0,)],
        )
    ]
    rounds = report["per_round"]
    assert [r["J"] for r in rounds] == pytest.approx([np.mean(each) for each in means])
    assert report["J"] == rounds[-1]["J"]  # the masks on disk are those of the last round
    assert [(r["clicks"], r["stops"]) for r in rounds] == [(0, 0), (2, 2), (4, 4)]
    np.testing.assert_array_equal(read_palette_png(out / "masks" / "a" / "00003.png"), truth()[3])
    again = evaluation_of(out, davis, Still(), prompts=options, protocol="resurg")
    again.track(say=quiet)
    np.testing.assert_equal(model_report.build_report(again)["per_round"], rounds)
    with pytest.raises(ValueError, match="prompts.preset = 'resurg', this one has 'sav'"):
        evaluation_of(out, davis, prompts=options, protocol="sav").track(say=quiet)


def test_online_rounds_stop_where_the_score_falls(davis, tmp_path):
    segmenter, out = Still(answers={"a": truth(), "b": truth(0, 4)}), tmp_path / "out"
    options = PromptOptions("online", start="mask", threshold=0.6, rounds=2, clicks=1)
    evaluation = evaluation_of(out, davis, segmenter, prompts=options, protocol="resurg")
    evaluation.track(say=quiet)
    # A shift by 2 has IoU 0.67, one by 4 has 0.43: frame 2 is corrected, and no later one.
    assert [p for p in segmenter.prompts if p[:1] + p[2:] == ("a", 1)] == [("a", 0, 1), ("a", 2, 1)]
    report = model_report.build_report(evaluation)
    assert report["per_round"] == [
        {"round": 1, "clicks": 2, "stops": 2, "J": report["J"], "F": report["F"],
         "JF": report["JF"]}
    ]  # fmt: skip
    assert [r["seconds_since_prompt"] for r in report["tables"]["per_frame"]
            if (r["sequence"], r["object"]) == ("a", 1)] == [0, 0.5, 0, 0.5, 1]  # fmt: skip


def test_ground_truth_of_other_settings_is_made_again(tmp_path):
    short = GeneratedData(count=1, frames=3, size=64)
    long = dataclasses.replace(short, frames=6)

    class Dies(Still):
        def open(self, frames):
            raise RuntimeError("the power went out")

    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="the power went out"):
        evaluation_of(out, short, Dies()).track(say=quiet)  # leaves truth and run.json, no result
    assert len(list((out / "ground_truth").glob("*/*.png"))) == 3
    for data in (long, dataclasses.replace(long, size=96)):
        evaluation = evaluation_of(out, data)
        evaluation.track(say=quiet)
        assert len(evaluation.results()[0].annotated) == 6
        fresh = data.find()[0].open_truth(tmp_path / str(data.size))
        for stem, path in evaluation.pair(evaluation.videos[0]).target.frames.items():
            assert path.read_bytes() == fresh.frames[stem].read_bytes()
        shutil.rmtree(out / "results")
    name = fresh.name
    (out / "ground_truth" / name / "00004.png").unlink()
    assert len(data.find()[0].open_truth(out / "ground_truth").frames) == 6


def test_generated_scenes_are_the_same_for_frames_and_truth(tmp_path):
    data = GeneratedData(count=2, frames=3, size=64)
    videos = data.find()
    files = videos[0].open_truth(tmp_path)
    assert files.stems == ["00000", "00001", "00002"]
    from surgjax.synthetic import generate_clip
    from surgjax.synthetic.config import PRESETS as SCENES

    clip = generate_clip(data.seed, 3, 64, SCENES["simple"])
    source = videos[0].open_frames()
    for t in range(3):
        np.testing.assert_array_equal(source[t], clip.frames_u8[t])
        label_map = read_palette_png(files.frames[f"{t:05d}"])
        np.testing.assert_array_equal(label_map, clip.label_maps[t])
    evaluation = evaluation_of(tmp_path / "out", data, prompts=PromptOptions("mask"))
    evaluation.track(say=quiet)
    report = finish(evaluation, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sequences"] == 2
    assert report["per_horizon"][0]["frames"] > 0
    with pytest.raises(ValueError, match="data.preset 'sunny': expected one of"):
        GeneratedData(preset="sunny").find()
