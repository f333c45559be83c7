"""metrics.jsonl with each line once, pictures, TensorBoard's files, the progress line."""

import importlib.util
import json
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from surgjax.train import metrics_file, progress, recording, run_record


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_lines_beyond_the_restored_step_and_half_lines_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = [
        '{"step": 1, "loss": 0.5}',
        '{"step": 2, "loss": 0.25}',
        '{"step": 2, "eval": {"a": 1}}',
    ]
    path.write_text("\n".join([*whole, '{"step": 3, "loss": 1.0}', '{"step": 4, "lo']))
    file = metrics_file.MetricsFile(tmp_path, 2)
    assert file.evaluated == {2}
    file.write(3, {"loss": 0.125})
    file.close()
    assert path.read_text().splitlines() == [*whole, '{"step": 3, "loss": 0.125}']


def test_a_whole_file_is_not_rewritten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n')
    before = path.stat().st_ino
    metrics_file.MetricsFile(tmp_path, 1).close()
    assert path.stat().st_ino == before


def test_numbers_survive_as_float32_and_json_stays_json(tmp_path):
    value = float(np.float32(0.1) + np.float32(1e-8))
    file = metrics_file.MetricsFile(tmp_path, 0)
    file.write(1, {"loss": value, "iou": float("nan"), "eval": {"x": float("inf")}})
    file.close()
    (line,) = _lines(tmp_path)
    assert np.float32(line["loss"]) == np.float32(value)
    assert line["iou"] is None and line["eval"] == {"x": None}


def test_pictures_are_png_files(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    recorder = recording.Recorder(tmp_path, 0, tensorboard=False)
    recorder.evaluation(20, {"iou": 0.5}, {"first": picture})
    recorder.close()
    with Image.open(tmp_path / "pictures" / "step_0000020" / "first.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert recorder.is_evaluated(20) and not recorder.is_evaluated(40)


@pytest.mark.parametrize(
    ("name", "picture", "said"),
    [
        ("a", np.zeros((4, 4, 3), np.float32), "expected uint8 .* found float32"),
        ("a", np.zeros((4, 4, 4), np.uint8), r"found uint8 \(4, 4, 4\)"),
        ("../a", np.zeros((4, 4, 3), np.uint8), "'../a': expected a name"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_written(tmp_path, name, picture, said):
    recorder = recording.Recorder(tmp_path, 0, tensorboard=False)
    with pytest.raises(ValueError, match=said):
        recorder.evaluation(1, {"iou": 0.5}, {"good": np.zeros((4, 4, 3), np.uint8), name: picture})
    recorder.close()
    assert not _lines(tmp_path) and not (tmp_path / "pictures").exists()


def _events(folder):
    """Events of TensorBoard's files: length, its sum, the event, its sum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event()
            event.ParseFromString(data[at + 12 : at + 12 + length])
            yield event
            at += length + 16


def test_tensorboard_files_hold_scalars_and_pictures(tmp_path):
    if importlib.util.find_spec("tensorboardX") is None:
        pytest.skip("extra tb")
    had_torch = "torch" in sys.modules
    recorder = recording.Recorder(tmp_path, 7)
    recorder.means(10, "clip", {"loss": 0.5})
    recorder.evaluation(10, {"iou": 0.25}, {"first": np.zeros((4, 4, 3), np.uint8)})
    recorder.flush()
    recorder.close()
    found = list(_events(tmp_path / "tensorboard"))
    tags = {value.tag: event.step for event in found for value in event.summary.value}
    assert had_torch or "torch" not in sys.modules
    assert tags == {"clip/loss": 10, "eval/iou": 10, "first": 10}
    # A session log event of status START tells TensorBoard to drop what lies beyond.
    assert [event.step for event in found if event.HasField("session_log")] == [8]


def test_without_tensorboardx_the_rest_is_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(recording.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level("INFO"):
        recorder = recording.Recorder(tmp_path, 0)
    recorder.step(1, "clip", None, {"loss": 1.0})
    recorder.means(1, "clip", {"loss": 1.0})
    recorder.close()
    assert _lines(tmp_path) == [{"step": 1, "kind": "clip", "step_ms": None, "loss": 1.0}]
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3599.6, "1 h 00 min"),
        (7384, "2 h 03 min"), (100_000, "1 d 03 h"),
    ],
)  # fmt: skip
def test_times_in_words(seconds, text):
    assert progress.format_seconds(seconds) == text


def test_the_time_left_follows_the_pace_without_compilation(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = progress.Progress(begin=100, total=200)
    with shown.aside("compiling"):
        now[0] += 500.0
    for _ in range(10):
        now[0] += 2.0
        shown.step("clip", 2.0, {"loss": 1.0})
    assert shown.seconds_left(110) == pytest.approx(180.0)
    assert shown.report(110) == {"clip": {"loss": 1.0, "step_ms": 2000.0}}
    assert shown.report(110) == {}


def test_changes_of_a_config_are_named():
    before = {"a": 1, "b": {"c": [1, 2], "d": 3}}
    after = {"a": 1, "b": {"c": [1, 3]}, "e": 4}
    assert run_record.changes(before, after) == [
        "b.c: [1, 2] -> [1, 3]", "b.d: 3 -> None", "e: None -> 4",
    ]  # fmt: skip
