"""The command that segments everything: files, what they hold, refusals."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import everything
from surgjax.inference import mask_writer
from surgjax.ops import run_lengths
from tests.golden import automatic_masks_case as case

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def paths(tmp_path):
    Image.fromarray(case.image()).save(tmp_path / "image.png")
    return {"image": str(tmp_path / "image.png"), "output": str(tmp_path / "out")}


def _run(paths, say=lambda _: None, **options):
    chosen = case.BASE | options
    chosen.pop("output_mode")
    given = everything.EverythingOptions(**paths, **chosen)
    return everything.run(given, lambda _: (case.predictor(), "abc"), say)


def test_results_are_the_generators(paths):
    said = []
    _run(paths, said.append)
    out = Path(paths["output"])
    assert {path.name for path in out.iterdir()} == {"overlay.png", "label_map.png", "masks.json"}
    held = json.loads((out / "masks.json").read_text())
    want = case.ours("plain")
    assert [a["id"] for a in held["annotations"]] == list(range(1, len(want) + 1)) and want
    for found, record in zip(held["annotations"], want, strict=True):
        mask = case.unpacked(record["segmentation"])
        np.testing.assert_array_equal(run_lengths.to_mask(found["segmentation"]), mask)
        for key in ("area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"):
            assert found[key] == record[key]
    assert held["image"] == {"file_name": "image.png", "width": case.WIDTH, "height": case.HEIGHT}
    assert held["checkpoint_sha256"] == "abc" and held["options"]["mask_threshold"] == 10.3
    label_map = mask_writer.read_palette_png(out / "label_map.png")
    covered = np.any([case.unpacked(r["segmentation"]) for r in want], 0)
    np.testing.assert_array_equal(label_map > 0, covered)
    with Image.open(out / "overlay.png") as overlay:
        assert overlay.size == (case.WIDTH, case.HEIGHT)
    text = "\n".join(said)
    assert "compiling..." in text and f"{len(want)} masks in " in text and "masks.json" in text


def test_more_masks_than_a_palette_holds(paths, monkeypatch):
    monkeypatch.setattr(everything, "MOST_PALETTE_MASKS", 3)
    _run(paths)
    with Image.open(Path(paths["output"]) / "label_map.png") as image:
        assert image.mode == "I;16"


def test_no_mask_says_what_to_try(paths):
    said = []
    held = _run(paths, said.append, pred_iou_thresh=2.0)
    assert held["annotations"] == []
    assert any("lower --pred_iou_thresh" in line for line in said)


def test_a_failure_leaves_nothing(paths, monkeypatch):
    monkeypatch.setattr(everything, "draw_masks", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _run(paths)
    assert not Path(paths["output"]).exists()


def test_foreign_folders_are_refused(paths):
    out = Path(paths["output"])
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty; --overwrite"):
        _run(paths)
    _run(paths, overwrite=True)
    assert (out / "mine.txt").read_text() == "mine" and (out / "masks.json").exists()


@pytest.mark.parametrize(
    "given,message",
    [
        (dict(image="absent.png"), "--image absent.png does not exist"),
        (dict(image="."), "--image . is a folder"),
        (dict(image="setup.py"), "--image setup.py: one of .jpg"),
        (dict(points_per_side=0), "points_per_side=0: 1 or more"),
        (dict(image_size=100), "--image_size=100: a multiple of 32"),
        (dict(model="tiny"), "--model=tiny needs --checkpoint"),
    ],
)
def test_bad_input_is_refused(paths, given, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=message):
        everything.run(everything.EverythingOptions(**paths | given), say=lambda _: None)
    assert not Path(paths["output"]).exists()


def test_a_damaged_image_is_refused(paths):
    Path(paths["image"]).write_bytes(b"\x89PNG nothing")
    with pytest.raises(ValueError, match="image.png cannot be read: it is not an image"):
        _run(paths)


def test_command_end_to_end(paths):
    flags = ["--random_weights", "--image_size=64", "--points_per_side=2", "--points_per_batch=4"]
    given = [f"--{name}={value}" for name, value in paths.items()]
    command = [sys.executable, "-m", "experiments.segment_everything", *given, *flags]
    done = subprocess.run(
        [*command, "--pred_iou_thresh=0", "--stability_score_thresh=0"],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nano (random weights" in done.stdout and "label_map.png" in done.stdout
    assert "masks: 1/1 batches" in done.stderr
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert again.returncode == 1
    assert again.stderr.strip().startswith("segment_everything: output")
