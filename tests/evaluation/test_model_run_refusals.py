"""A model over a data set: folders, options and outputs that are refused, before a model runs."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation import evaluate_model
from surgjax.evaluation.mask_folders import MaskFolderError
from surgjax.evaluation.model_tracking import PromptOptions
from surgjax.evaluation.set_videos import GeneratedData, PreparedData
from surgjax.inference.output_folder import OutputError
from tests.evaluation import folders, tracked_folders
from tests.evaluation.tracked_folders import (
    Still,
    evaluation_of,
    quiet,
    truth,
)


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
    evaluation_of(out, davis).track(say=quiet)
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluation_of(out, davis, **changed).track(say=quiet)
    evaluation_of(out, davis, protocol="resurg").track(say=quiet)  # scoring may change


def test_a_video_that_changed_and_a_damaged_result_are_named(davis, tmp_path):
    out = tmp_path / "out"
    evaluation_of(out, davis).track(say=quiet)
    tracked_folders.write_frames(tmp_path / "davis" / "JPEGImages" / "a", 6)
    with pytest.raises(ValueError, match=r"results/a.json: the video had 5 frames.* has 6"):
        evaluation_of(out, davis).track(say=quiet)
    (out / "results" / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json: it cannot be read as JSON"):
        evaluation_of(out, davis).track(say=quiet)


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
        evaluation_of(tmp_path / "out", davis, segmenter).track(say=quiet)
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
            evaluation_of(tmp_path / "out", davis, **options)
    assert not (tmp_path / "out").exists()
