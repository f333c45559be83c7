"""Classes of tracked objects in what `experiments.track` writes, with a scripted predictor."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import class_report, tracking
from experiments.track_options import TrackOptions, bank_of, load_predictor
from surgjax.checkpoints.text_bank_file import save_bank
from surgjax.text.text_bank import ORTHOGONAL, TextBank
from tests.experiments.scripted_tracking import FRAMES, ScriptedPredictor, write_video

BANK = TextBank(("grasper", "hook"), np.eye(2, 512, dtype=np.float32), "made up", np.ones(2, bool))
SURE, UNSURE = np.array([0.9, 0.1], np.float32), np.array([0.4, 0.6], np.float32)


class Classifying(ScriptedPredictor):
    """Object 1 is a grasper on even frames and looks like a hook on odd ones."""

    def __init__(self, **options):
        super().__init__(**options)
        self.classifier = SimpleNamespace(bank=BANK)

    def _yield(self, state, frame_idx, live):
        self.said = {1: SURE if frame_idx % 2 == 0 else UNSURE}
        return super()._yield(state, frame_idx, live)

    def class_probabilities(self, state):
        return self.said


@pytest.fixture
def track(tmp_path):
    """Runs the command's library part; returns the summary and the output folder."""
    write_video(tmp_path / "video.mp4")
    prompts = {
        "objects": [
            {"id": 1, "name": "left", "prompts": [{"frame": 2, "points": [[8, 9]]}]},
            {"id": 2, "prompts": [{"frame": 3, "box": [1, 2, 30, 40]}]},
        ]
    }
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))

    def run(predictor=None, say=lambda _: None, **changes):
        paths = {name: str(tmp_path / name) for name in ("video.mp4", "prompts.json", "out")}
        values = dict(zip(("video", "prompts", "output"), paths.values(), strict=True))
        options = TrackOptions(**{**values, **changes})
        chosen = predictor or Classifying()
        return tracking.run(options, lambda _: chosen, say), tmp_path / "out"

    return run


def test_summary_and_table(track):
    summary, out = track(text_bank="bank.safetensors", per_frame_classes=True)
    first, second = summary["objects"]
    # Frames 2 to 9: four even ones, four odd ones.
    assert first["class"] == "grasper"
    assert first["class_probabilities"] == {"grasper": 0.65, "hook": 0.35}
    assert second["class"] is None and second["class_probabilities"] is None
    assert summary["text_bank"] == {"kind": "made up", "classes": 2, "sha256": BANK.sha256()}
    with open(out / "classes.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["frame", "object", "class", "grasper", "hook"]
    assert [int(row[0]) for row in rows[1:]] == list(range(2, FRAMES))
    assert rows[1][1:] == ["1", "grasper", "0.9000", "0.1000"] and rows[2][2] == "hook"


def test_the_table_is_written_where_it_is_asked_for(track):
    _, out = track(text_bank="bank.safetensors")
    assert not (out / "classes.csv").exists()
    with pytest.raises(ValueError, match="--per_frame_classes needs --text_bank"):
        track(per_frame_classes=True, overwrite=True)


def test_without_a_bank_nothing_is_said(track):
    summary, _ = track(predictor=ScriptedPredictor())
    assert "text_bank" not in summary and "class" not in summary["objects"][0]


def test_labels_carry_the_class():
    report = class_report.ClassReport(BANK, per_frame=False)
    shown, hidden = np.ones((1, 1, 2, 2)), -np.ones((1, 1, 2, 2))
    report.add(0, [4], shown, {4: SURE})
    report.add(1, [4], hidden, {4: UNSURE})  # out of sight: it does not count
    assert report.label(4, "left") == "left [grasper 0.90]"
    assert report.label(4, None) == "[grasper 0.90]"
    assert report.label(5, "right") == "right" and report.label(5, None) is None


def test_a_model_without_a_token_cannot_be_asked(tmp_path):
    save_bank(tmp_path / "bank.safetensors", BANK)
    for value in (str(tmp_path / "bank.safetensors"), "fallback:generated"):
        options = TrackOptions("", "", "", text_bank=value)
        with pytest.raises(ValueError, match="nano has no semantic token"):
            load_predictor(options)


def test_the_fallback_says_what_it_is(track):
    bank = bank_of(TrackOptions("", "", "", text_bank="fallback:hook,grasper"))
    assert bank is not None and bank.kind == ORTHOGONAL and bank.names == ("hook", "grasper")
    said = []
    predictor = Classifying()
    predictor.classifier = SimpleNamespace(bank=bank)
    summary, _ = track(predictor, said.append, text_bank="fallback:hook,grasper")
    assert summary["text_bank"]["kind"] == ORTHOGONAL
    assert [line for line in said if ORTHOGONAL in line and "names mean nothing" in line]


def test_an_interrupted_run_counts_every_frame_once(track, tmp_path):
    options = {"text_bank": "bank.safetensors", "per_frame_classes": True, "snapshot_every": 3}
    with pytest.raises(tracking.TrackStopped, match="interrupted"):
        track(Classifying(fail={7: KeyboardInterrupt()}), **options)
    summary, out = track(resume=True, **options)
    parts = (out / class_report.FILE).read_bytes()
    whole, out = track(overwrite=True, **options)
    assert summary["objects"] == whole["objects"] and summary["step_ms_p50"] == 15.5
    assert parts == (out / class_report.FILE).read_bytes()
