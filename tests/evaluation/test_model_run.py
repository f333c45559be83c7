"""A model over a data set: masks, scores, going on after a stop, shares, refusals."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation import evaluate_model, horizons, model_report, report_files, video_results
from surgjax.evaluation.davis_videos import DavisData
from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.mask_folders import MaskFolderError
from surgjax.evaluation.model_run import Evaluation, RunOptions
from surgjax.evaluation.model_tracking import PromptOptions
from surgjax.evaluation.set_videos import GeneratedData, PreparedData
from surgjax.evaluation.shares import Share
from surgjax.evaluation.video_results import VideoResult
from surgjax.inference.mask_writer import read_palette_png
from surgjax.inference.output_folder import OutputError, OutputFolder
from surgjax.metrics.object_scores import ABSENT, PRESETS, Row
from tests.evaluation import folders, tracked_folders
from tests.evaluation.tracked_folders import Still, model, truth, write_davis


@pytest.fixture
def davis(tmp_path):
    return DavisData(folder=str(write_davis(tmp_path / "davis")), split="val", fps=2.0)


def _evaluation(output, data, segmenter=None, **options):
    identity = options.pop("identity", {})
    made = model(segmenter, **identity)
    return Evaluation(output, data.find(), made, data.identity(), RunOptions(**options))


def _finish(evaluation, output):
    """Report, page and files, as the command writes them."""
    report = model_report.build_report(evaluation, "val")
    page = model_report.build_page(evaluation, report, "run")
    report_files.write_report(report, OutputFolder(output, report_files.FILES, True), page)
    return report


def _quiet(text):
    pass


def test_a_late_object_is_prompted_on_its_first_frame_and_has_no_mask_before(davis, tmp_path):
    segmenter, out = Still(), tmp_path / "out"
    evaluation = _evaluation(out, davis, segmenter)
    evaluation.track(say=_quiet)
    assert segmenter.prompts == [("a", 0, 1), ("a", 2, 2), ("b", 0, 1), ("b", 0, 2)]
    maps = truth()
    found = [read_palette_png(out / "masks" / "a" / f"{t:05d}.png") for t in range(5)]
    for t, label_map in enumerate(found):
        expected = np.where(maps[0] == 1, 1, maps[2] if t >= 2 else 0)
        np.testing.assert_array_equal(label_map, np.where(expected == 1, maps[0], expected))
    report = _finish(evaluation, out)
    # davis17 drops frames 0 and 4 of `a`, 0 and 3 of `b`; a shift by s leaves (10 - s) / (10 + s).
    ious = {s: (10 - s) / (10 + s) for s in (2, 4, 6)}
    scores = {(r["sequence"], r["object"]): r["J"] for r in report["per_object"]}
    assert scores == pytest.approx({
        ("a", 1): (ious[2] + ious[4] + ious[6]) / 3, ("a", 2): 1.0,
        ("b", 1): (ious[2] + ious[4]) / 2, ("b", 2): 1.0,
    })  # fmt: skip


def test_scores_are_those_of_experiments_evaluate_on_the_same_folders(davis, tmp_path):
    out = tmp_path / "out"
    evaluation = _evaluation(out, davis, protocol="sav")
    evaluation.track(say=_quiet)
    report = _finish(evaluation, out)
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
    evaluation = _evaluation(whole, davis)
    evaluation.track(say=_quiet)
    _finish(evaluation, whole)
    with pytest.raises(RuntimeError, match="the power went out"):
        _evaluation(stopped, davis, Still(fail_on="b")).track(say=_quiet)
    assert [path.name for path in (stopped / "results").iterdir()] == ["a.json"]
    assert not (stopped / "masks" / "b").exists()
    again, said = Still(), []
    evaluation = _evaluation(stopped, davis, again)
    evaluation.track(say=said.append)
    _finish(evaluation, stopped)
    assert again.opened == ["b"]
    assert said == ["videos: 2, 1 finished before, 4 frames to go"]
    for name in ("report.json", "report.html", "per_frame.csv", "per_horizon.csv"):
        text = (stopped / name).read_text().replace(str(stopped), str(whole))
        assert text == (whole / name).read_text(), name
    shutil.rmtree(stopped / "masks" / "a")  # lost masks are made again
    _evaluation(stopped, davis, again).track(say=_quiet)
    assert again.opened == ["b", "a"]
    (stopped / "masks" / "b" / "00002.png").unlink()  # also a single one
    _evaluation(stopped, davis, again).track(say=_quiet)
    assert again.opened == ["b", "a", "b"] and (stopped / "masks" / "b" / "00002.png").exists()


def test_shares_and_devices_make_one_run(davis, tmp_path):
    one, parts = tmp_path / "one", tmp_path / "parts"
    evaluation = _evaluation(one, davis)
    evaluation.track(say=_quiet)
    whole, waits = model_report.build_report(evaluation), []
    first, second = Still(), Still()
    half = _evaluation(parts, davis, first)
    half.track(Share(0, 2, waits.append), say=_quiet)
    with pytest.raises(ValueError, match="1 of 2 videos have no result, b first"):
        model_report.build_report(half)
    _evaluation(parts, davis, second).track(Share(1, 2, waits.append), say=_quiet)
    assert (first.opened, second.opened, len(waits)) == (["a"], ["b"], 2)
    merged = model_report.build_report(half)
    for key in ("J", "F", "per_object", "per_horizon", "tables"):
        np.testing.assert_equal(merged[key], whole[key])
    both = tmp_path / "both"
    threaded = _evaluation(both, davis)
    threaded.track(devices=jax.devices()[:1] * 2, say=_quiet)
    np.testing.assert_equal(model_report.build_report(threaded)["tables"], whole["tables"])
    failing = _evaluation(tmp_path / "failing", davis, Still(fail_on="a"))
    with pytest.raises(RuntimeError, match="the power went out"):
        failing.track(devices=jax.devices()[:1] * 2, say=_quiet)


@pytest.mark.parametrize(
    "changed, message",
    [
        (dict(identity={"weights": "ab12"}), "model.weights = 'none', this one has 'ab12'"),
        (dict(prompts=PromptOptions("box")), "prompts.kind = 'mask', this one has 'box'"),
        (dict(per_object_png=True), "per_object_png = False, this one has True"),
    ],
)
def test_another_run_does_not_mix_in(davis, tmp_path, changed, message):
    out = tmp_path / "out"
    _evaluation(out, davis).track(say=_quiet)
    with pytest.raises(ValueError, match=re.escape(message)):
        _evaluation(out, davis, **changed).track(say=_quiet)
    _evaluation(out, davis, protocol="resurg").track(say=_quiet)  # scoring may change


def test_a_video_that_changed_and_a_damaged_result_are_named(davis, tmp_path):
    out = tmp_path / "out"
    _evaluation(out, davis).track(say=_quiet)
    tracked_folders.write_frames(tmp_path / "davis" / "JPEGImages" / "a", 6)
    with pytest.raises(ValueError, match=r"results/a.json: the video had 5 frames.* has 6"):
        _evaluation(out, davis).track(say=_quiet)
    (out / "results" / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json: it cannot be read as JSON"):
        _evaluation(out, davis).track(say=_quiet)


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
        _evaluation(out, data, protocol="sav").track(say=_quiet)
    evaluation = _evaluation(out, data, protocol="sav", per_object_png=True)
    evaluation.track(say=_quiet)
    masks = [read_palette_png(out / "masks" / "v" / f"00{k}" / "00003.png") for k in (0, 1)]
    assert [set(np.unique(m)) for m in masks] == [{0, 1}] * 2
    assert (masks[0] & masks[1]).sum() == 60  # neither gives way to the other
    (out / "masks" / "v" / "001" / "00001.png").unlink()  # the video must be tracked again
    assert evaluation.result(evaluation.videos[0]) is None
    evaluation.track(say=_quiet)
    report = model_report.build_report(evaluation)
    assert [row["object"] for row in report["per_object"]] == [0, 1]
    assert "per_horizon" not in report
    assert report["notes"] == [
        "no frame rate, so not in per_horizon: 1 videos, v first; --fps gives one"
    ]


def test_all_masks_are_prompts_where_asked(davis, tmp_path):
    segmenter, out = Still(), tmp_path / "out"
    options = PromptOptions(use_all_masks=True)
    evaluation = _evaluation(out, davis, segmenter, prompts=options)
    evaluation.track(say=_quiet)
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
    evaluation = _evaluation(out, davis, segmenter, prompts=options, protocol="resurg")
    evaluation.track(say=_quiet)
    assert [p for p in segmenter.prompts if p[0] == "a"] == [
        ("a", 0, 1), ("a", 2, 2), ("a", 4, 1), ("a", 3, 1),
    ]  # fmt: skip
    report = _finish(evaluation, out)
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
    again = _evaluation(out, davis, Still(), prompts=options, protocol="resurg")
    again.track(say=_quiet)
    np.testing.assert_equal(model_report.build_report(again)["per_round"], rounds)
    with pytest.raises(ValueError, match="prompts.preset = 'resurg', this one has 'sav'"):
        _evaluation(out, davis, prompts=options, protocol="sav").track(say=_quiet)


def test_online_rounds_stop_where_the_score_falls(davis, tmp_path):
    segmenter, out = Still(answers={"a": truth(), "b": truth(0, 4)}), tmp_path / "out"
    options = PromptOptions("online", start="mask", threshold=0.6, rounds=2, clicks=1)
    evaluation = _evaluation(out, davis, segmenter, prompts=options, protocol="resurg")
    evaluation.track(say=_quiet)
    # A shift by 2 has IoU 0.67, one by 4 has 0.43: frame 2 is corrected, and no later one.
    assert [p for p in segmenter.prompts if p[:1] + p[2:] == ("a", 1)] == [("a", 0, 1), ("a", 2, 1)]
    report = model_report.build_report(evaluation)
    assert report["per_round"] == [
        {"round": 1, "clicks": 2, "stops": 2, "J": report["J"], "F": report["F"],
         "JF": report["JF"]}
    ]  # fmt: skip
    assert [r["seconds_since_prompt"] for r in report["tables"]["per_frame"]
            if (r["sequence"], r["object"]) == ("a", 1)] == [0, 0.5, 0, 0.5, 1]  # fmt: skip


def test_horizons_by_hand():
    bad, good = Row(0.2, 0.4, 0.3, True, True), Row(0.8, 0.6, 0.9, True, True)
    result = VideoResult(
        video="v",
        stems=tuple("abcdefgh"),
        annotated=(0, 2, 4, 6, 7),
        prompted={1: (0,), 2: (4,)},
        fps=2.0,  # 0, 1, 2, 3 and 3.5 s after the first prompt
        rows=({1: good}, {1: good}, {1: bad, 2: good}, {1: good, 2: bad}, {1: bad, 2: None}),
    )
    rows = horizons.per_horizon([result], PRESETS["resurg"], (1.0, 2.5))
    assert [(r["from_s"], r["objects"], r["frames"]) for r in rows] == [
        (0.0, 2, 2), (1.0, 1, 1), (2.5, 1, 2),
    ]  # fmt: skip
    assert [r["J"] for r in rows] == pytest.approx([(0.8 + 0.2) / 2, 0.2, (0.8 + 0.2) / 2])
    assert [r["F"] for r in rows] == pytest.approx([(0.6 + 0.4) / 2, 0.4, (0.6 + 0.4) / 2])
    assert rows[0]["JF"] == pytest.approx(0.5) and np.isnan(rows[2]["to_s"])
    # davis17 drops the last frame of object 1, and of object 2 the last one with a mask.
    rows = horizons.per_horizon([result], PRESETS["davis17"], (1.0, 2.5))
    assert [(r["objects"], r["frames"]) for r in rows] == [(1, 1), (1, 1), (1, 1)]
    again = horizons.per_horizon([result], PRESETS["resurg"], (0.4,))
    assert [r["frames"] for r in again] == [0, 5]
    for bounds in ((), (0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="ascending seconds above 0"):
            horizons.check_bounds(bounds)


@pytest.mark.parametrize(
    "output, message",
    [
        ("davis", "is the output folder too"),
        ("davis/Annotations/out", "out lies in the data, .*davis; results would be taken"),
        ("davis/out/deep", "lies in the data"),
        ("", "is not empty and holds no run"),  # above the data
    ],
)
def test_an_output_in_the_data_is_refused(davis, tmp_path, output, message):
    with pytest.raises(OutputError, match=message):
        evaluate_model.check_output(str(tmp_path / output), davis.folder)
    (tmp_path / "run" / "masks").mkdir(parents=True)
    shutil.move(davis.folder, tmp_path / "run" / "masks" / "davis")
    with pytest.raises(OutputError, match="lies in the results to be written"):
        evaluate_model.check_output(str(tmp_path / "run"), str(tmp_path / "run" / "masks"))
    evaluate_model.check_output(str(tmp_path / "beside"), str(tmp_path / "run"))


def test_results_are_the_same_from_a_file(tmp_path):
    row = Row(1 / 3, 0.1 + 0.2, 2 / 7, True, False)
    result = VideoResult("v", ("x", "y"), (0, 1), {3: (0,)}, 25.0, ({3: row}, {3: None}), ("n",))
    video_results.write_result(tmp_path, "run", result)
    assert video_results.read_result(tmp_path, "run", "v") == result
    assert video_results.read_result(tmp_path, "run", "w") is None
    with pytest.raises(ValueError, match="v.json: a result of another run"):
        video_results.read_result(tmp_path, "other", "v")
    assert ABSENT not in result.rows[0].values()


def _edit_list(root):
    (root / "ImageSets" / "val.txt").write_text("a\nzebra\n")


def _edit_size(root):
    Image.fromarray(np.ones((20, 30), np.uint8)).save(root / "Annotations" / "b" / "00002.png")


def _edit_empty(root):
    folders.write(root / "Annotations" / "b", [np.zeros((40, 60), np.uint8)] * 4)


def _edit_extra(root):
    folders.write(root / "Annotations" / "b", [truth()[0]], start=9)


def _edit_few(root):
    for t in (2, 3):
        (root / "Annotations" / "b" / f"0000{t}.png").unlink()


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda root: shutil.rmtree(root / "Annotations"), "davis: no folder Annotations"),
        (lambda root: shutil.rmtree(root / "JPEGImages" / "b"), "val.txt: video 'b' has no frames"),
        (lambda root: shutil.rmtree(root / "Annotations" / "b"), "val.txt: video 'b' has no masks"),
        (lambda root: (root / "Annotations" / "b" / "00000.png").unlink(),
         r"Annotations/b: the first frame of 'b', 00000, has no mask.*00001. --late_start"),
        (_edit_list, "val.txt: video 'zebra' has no frames"),
        (_edit_size, r"b/00002.png is 30x20 pixels .*frames of 'b' are 60x40"),
        (_edit_empty, "Annotations/b: no mask shows an object"),
        (_edit_extra, "b/00009.png: the video 'b' has no frame 00009"),
        (_edit_few, "Annotations/b: 2 annotated frames; the protocol needs at least 3"),
    ],
)  # fmt: skip
def test_bad_folders_are_refused_before_a_model_runs(davis, tmp_path, edit, message):
    edit(tmp_path / "davis")
    segmenter = Still()
    with pytest.raises(MaskFolderError, match=message):
        _evaluation(tmp_path / "out", davis, segmenter).track(say=_quiet)
    assert segmenter.opened == []


@pytest.mark.parametrize("fps", [-5.0, float("nan"), float("inf")])
def test_a_frame_rate_that_is_none_is_refused(davis, fps):
    for data in (davis, GeneratedData(count=1), PreparedData()):
        with pytest.raises(ValueError, match=f"--fps {fps:g}: frames per second expected"):
            dataclasses.replace(data, fps=fps).find()
    meta = Path(davis.folder) / "meta.json"
    meta.write_text(json.dumps({"b": {"fps": fps}}))
    with pytest.raises(ValueError, match=f"meta.json: fps of 'b' {fps:g}: frames per second"):
        dataclasses.replace(davis, fps=0.0).find()
    meta.write_text(json.dumps({"b": {"fps": 5}}))
    assert [v.fps for v in dataclasses.replace(davis, fps=0.0).find()] == [0, 5]


def test_options_that_do_not_fit_are_refused(davis, tmp_path):
    for options, message in [
        (dict(protocol="dice"), "--protocol dice: expected one of davis17, sav, resurg"),
        (dict(protocol="resurg", keep_first_and_last=True), "--keep_first_and_last: protocol"),
        (dict(prompts=PromptOptions("scribble")), "scribble"),
        (dict(prompts=PromptOptions("box", True)), "--use_all_masks: prompts are 'box'"),
    ]:
        with pytest.raises(ValueError, match=message):
            _evaluation(tmp_path / "out", davis, **options)
    assert not (tmp_path / "out").exists()


def test_ground_truth_of_other_settings_is_made_again(tmp_path):
    short = GeneratedData(count=1, frames=3, size=64)
    long = dataclasses.replace(short, frames=6)

    class Dies(Still):
        def open(self, frames):
            raise RuntimeError("the power went out")

    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="the power went out"):
        _evaluation(out, short, Dies()).track(say=_quiet)  # leaves truth and run.json, no result
    assert len(list((out / "ground_truth").glob("*/*.png"))) == 3
    for data in (long, dataclasses.replace(long, size=96)):
        evaluation = _evaluation(out, data)
        evaluation.track(say=_quiet)
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
    evaluation = _evaluation(tmp_path / "out", data, prompts=PromptOptions("mask"))
    evaluation.track(say=_quiet)
    report = _finish(evaluation, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sequences"] == 2
    assert report["per_horizon"][0]["frames"] > 0
    with pytest.raises(ValueError, match="data.preset 'sunny': expected one of"):
        GeneratedData(preset="sunny").find()
