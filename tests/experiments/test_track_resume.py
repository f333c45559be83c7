"""track --resume: killed at any moment, it goes on, and nobody can tell from the results."""

import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import tracking
from experiments.track_options import TrackOptions
from experiments.track_settings import SettingsDiffer
from experiments.tracking import TrackStopped
from surgjax.inference.output_folder import OutputError
from surgjax.inference.video import VideoPredictor
from surgjax.testing import debug_config, lively_params, moving_squares
from surgjax.viz.video_writer import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
FRAMES, HEIGHT, WIDTH, EVERY = 9, 48, 80, 2
TIMES = {"compile_seconds", "step_ms_p50", "step_ms_p95", "total_ms_p50", "total_ms_p95", "seconds"}
# Object 4 is prompted again on a later frame, which every earlier frame knows of.
PROMPTS = {
    "objects": [
        {
            "id": 4,
            "prompts": [
                {"frame": 1, "box": [3, 5, 16, 18]},
                {"frame": 6, "points": [[16, 17]]},
            ],
        },
        {"id": 9, "name": "hook", "prompts": [{"frame": 3, "box": [36, 18, 50, 33]}]},
    ]
}


class Killed(BaseException):
    """What no part of the program catches."""


@pytest.fixture(scope="module")
def predictor():
    config = debug_config()
    return VideoPredictor(lively_params(config), config, keep_records=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    writer = VideoWriter(folder / "clip.mp4", 5, HEIGHT, WIDTH)
    for frame in moving_squares(FRAMES, HEIGHT, WIDTH):
        writer.write(frame)
    writer.close()
    (folder / "prompts.json").write_text(json.dumps(PROMPTS))
    return folder


def _options(clip, output, **changes):
    values = {"per_object_masks": True, "snapshot_every": EVERY} | changes
    return TrackOptions(str(clip / "clip.mp4"), str(clip / "prompts.json"), str(output), **values)


def _run(options, predictor):
    said = []
    summary = tracking.run(options, lambda _: predictor, said.append)
    return summary, "\n".join(said)


def _contents(output):
    """Every byte that must be equal, by path; the overlay by its size alone."""
    found = {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name not in ("summary.json", "overlay.mp4")
    }
    summary = json.loads((output / "summary.json").read_text())
    found["summary"] = {key: value for key, value in summary.items() if key not in TIMES}
    assert (output / "overlay.mp4").stat().st_size > 0
    return found


@pytest.fixture(scope="module")
def whole(clip, predictor, tmp_path_factory):
    """What an uninterrupted run writes, by direction."""
    found = {}

    def make(direction, chunk=1):
        key = direction, chunk
        if key not in found:
            output = tmp_path_factory.mktemp("whole") / "out"
            _run(_options(clip, output, direction=direction, chunk=chunk), predictor)
            found[key] = _contents(output)
        return found[key]

    return make


def _kill_after(monkeypatch, commits, before):
    """The process ends at a rename, which every file and folder gets its name by."""
    real, left = os.replace, [commits]

    def replace(source, target):
        left[0] -= 1
        if left[0] < 0 and before:
            raise Killed
        real(source, target)
        if left[0] < 0:
            raise Killed

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize(
    ("direction", "seed", "chunk"),
    [("forward", 0, 1), ("both", 2, 1), ("backward", 1, 1), ("forward", 3, 3)],
)
def test_killed_again_and_again(
    clip, predictor, whole, tmp_path, monkeypatch, direction, seed, chunk
):
    """Six kills between any two files, then to the end: the same bytes."""
    asked = functools.partial(_options, clip, tmp_path / "out", direction=direction, chunk=chunk)
    rng, output = np.random.default_rng(seed), tmp_path / "out"
    monkeypatch.setattr(predictor, "chunk", chunk)
    expected, went_on = whole(direction, chunk), 0
    for number in range(6):
        with monkeypatch.context() as patched:
            _kill_after(patched, int(rng.integers(1, 24)), bool(number % 2))
            try:
                options = asked(resume=number > 0)
                _, said = _run(options, predictor)
            except Killed:
                continue
            went_on += "going on in" in said
            break
    else:
        _, said = _run(asked(resume=True), predictor)
        went_on += "going on in" in said
    assert went_on  # the last part did not begin again
    assert _contents(output) == expected
    assert not list(output.glob(".unfinished-*"))
    assert len({x for name, x in expected.items() if name.startswith("masks/")}) > FRAMES // 2


def test_killed_between_results_that_are_moved_out(clip, predictor, whole, tmp_path, monkeypatch):
    """The last renames of a run put masks, overlay and the rest in their place one by one."""
    output, old = tmp_path / "out", b"of an earlier run"
    output.mkdir()
    (output / "sheet.png").write_bytes(old)
    calls = []
    real = os.replace
    with monkeypatch.context() as patched:

        def replace(source, target):
            real(source, target)
            calls.append(Path(target))
            if Path(target) == output / "masks":
                raise Killed

        patched.setattr(os, "replace", replace)
        with pytest.raises(Killed):
            _run(_options(clip, output, overwrite=True), predictor)
    assert (output / "masks").is_dir() and not (output / "summary.json").exists()
    steps = len(predictor.programs.step_ms)
    _, said = _run(_options(clip, output, resume=True), predictor)
    assert "only drawing is left" in said and len(predictor.programs.step_ms) == steps
    assert _contents(output) == whole("forward")


def test_no_more_than_a_snapshot_is_tracked_again(clip, predictor, whole, tmp_path, monkeypatch):
    output = tmp_path / "out"
    real = VideoPredictor._track_frames
    seen = []

    def track(self, state, tracks, frames, run, follows):
        (t,) = frames
        if t == 7 and 7 not in seen:
            seen.append(t)
            raise Killed
        seen.append(t)
        return real(self, state, tracks, frames, run, follows)

    monkeypatch.setattr(VideoPredictor, "_track_frames", track)
    with pytest.raises(Killed):
        _run(_options(clip, output), predictor)
    (work,) = output.glob(".unfinished-*")
    assert (work / "masks" / "00006.png").exists()
    first = (work / "masks" / "00001.png").stat().st_mtime_ns
    seen[:] = [7]
    _run(_options(clip, output, resume=True), predictor)
    assert seen == [7, 7, 8]  # frame 6 is the sixth: a snapshot was taken after it
    assert (output / "masks" / "00001.png").stat().st_mtime_ns == first
    assert _contents(output) == whole("forward")


def test_a_run_that_was_interrupted_by_hand_goes_on(clip, predictor, whole, tmp_path, monkeypatch):
    output, real = tmp_path / "out", VideoPredictor._track_frames

    def track(self, state, tracks, frames, run, follows):
        (t,) = frames
        if t == 5:
            raise KeyboardInterrupt
        return real(self, state, tracks, frames, run, follows)

    with monkeypatch.context() as patched:
        patched.setattr(VideoPredictor, "_track_frames", track)
        with pytest.raises(TrackStopped, match="stopped: interrupted; .* --resume goes on"):
            _run(_options(clip, output, direction="both"), predictor)
    summary = json.loads((output / "summary.json").read_text())
    assert summary["stopped"] == "interrupted" and len(list((output / "masks").iterdir())) == 4
    _run(_options(clip, output, direction="both", resume=True), predictor)
    assert _contents(output) == whole("both")


@pytest.fixture
def unfinished(clip, predictor, tmp_path, monkeypatch):
    """A run that was killed after its fourth frame; the predictor's sum is set to be found."""
    monkeypatch.setattr(predictor, "checkpoint_sha256", "ab" * 32)
    with monkeypatch.context() as patched:
        _kill_after(patched, 14, True)
        with pytest.raises(Killed):
            _run(_options(clip, tmp_path / "out"), predictor)
    return tmp_path / "out"


def test_another_command_is_refused_and_loses_nothing(
    clip, predictor, unfinished, tmp_path, monkeypatch
):
    (work,) = unfinished.glob(".unfinished-*")
    before = {path.name: path.stat().st_mtime_ns for path in work.rglob("*.png")}
    with pytest.raises(OutputError, match="--resume goes on with it, --overwrite begins again"):
        _run(_options(clip, unfinished), predictor)
    other = shutil.copytree(clip, tmp_path / "other")
    changed = json.loads(json.dumps(PROMPTS))
    changed["objects"][1]["prompts"][0]["box"][0] = 35
    (other / "prompts.json").write_text(json.dumps(changed))
    with (other / "clip.mp4").open("ab") as file:
        file.write(b"\0")
    cases = [
        ({"direction": "both"}, "direction was 'forward' and is 'both' now"),
        ({"per_object_masks": False}, "per_object_masks was True and is False now"),
        ({"memory": "divemem"}, "memory.policy was 'recent' and is 'divemem' now"),
        ({"prompts": str(other / "prompts.json")}, "prompts_sha256 was"),
        ({"video": str(other / "clip.mp4")}, "video.sample_sha256 was"),
    ]
    for change, message in cases:
        options = dataclasses.replace(_options(clip, unfinished, resume=True), **change)
        with pytest.raises(SettingsDiffer, match=message):
            _run(options, predictor)
    with monkeypatch.context() as patched:
        patched.setattr(predictor, "checkpoint_sha256", "cd" * 32)
        with pytest.raises(SettingsDiffer, match="weights_sha256 was 'abab.* is 'cdcd.* now"):
            _run(_options(clip, unfinished, resume=True), predictor)
    assert before == {path.name: path.stat().st_mtime_ns for path in work.rglob("*.png")}
    with pytest.raises(ValueError, match="--resume and --overwrite contradict"):
        _run(_options(clip, unfinished, resume=True, overwrite=True), predictor)
    # The video has a rate of its own: --fps changes nothing.
    _, said = _run(_options(clip, unfinished, resume=True, fps=30.0), predictor)
    assert "going on in" in said


def test_what_cannot_be_gone_on_from_is_named(clip, predictor, unfinished):
    (work,) = unfinished.glob(".unfinished-*")
    (mask,) = work.glob("masks/00002.png")
    whole = mask.read_bytes()
    mask.write_bytes(b"")
    with pytest.raises(ValueError, match="masks/00002.png was written by the earlier part"):
        _run(_options(clip, unfinished, resume=True), predictor)
    mask.write_bytes(whole)
    snapshot = work / "snapshot.safetensors"
    snapshot.write_bytes(snapshot.read_bytes()[:200])
    with pytest.raises(ValueError, match="snapshot.safetensors cannot be gone on from"):
        _run(_options(clip, unfinished, resume=True), predictor)
    _, said = _run(_options(clip, unfinished, overwrite=True), predictor)
    assert "going on" not in said and not list(unfinished.glob(".unfinished-*"))


def test_a_finished_folder_says_so_and_stays_as_it_is(clip, predictor, tmp_path):
    output = tmp_path / "out"
    first, said = _run(_options(clip, output, resume=True), predictor)  # nothing there: from 0
    assert "nothing was begun" in said
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    steps = len(predictor.programs.step_ms)
    again, said = _run(_options(clip, output, resume=True), predictor)
    assert again == first and "is finished: 9 frames; nothing to do" in said
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert len(predictor.programs.step_ms) == steps
    with pytest.raises(SettingsDiffer, match="direction was 'forward' and is 'backward' now"):
        _run(_options(clip, output, resume=True, direction="backward"), predictor)
    (output / "summary.json").unlink()
    with pytest.raises(OutputError, match="--resume: output .* holds other things"):
        _run(_options(clip, output, resume=True), predictor)


def _command(clip, output, *more):
    return [
        *(sys.executable, "-m", "experiments.track", "--random_weights", "--image_size=64"),
        *(f"--video={clip / 'clip.mp4'}", f"--prompts={clip / 'prompts.json'}"),
        *(f"--output={output}", "--snapshot_every=2", "--direction=both", *more),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("masks", [3, 8])
def test_a_real_kill(clip, tmp_path, masks):
    """SIGKILL once so many masks are there; the same command with --resume gives the same bytes."""
    whole = subprocess.run(_command(clip, tmp_path / "whole"), cwd=ROOT, capture_output=True)
    assert whole.returncode == 0, whole.stderr
    output = tmp_path / "out"
    process = subprocess.Popen(_command(clip, output), cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(list(output.glob(".unfinished-*/masks/0*.png"))) < masks:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "summary.json").exists()
    done = subprocess.run(
        _command(clip, output, "--resume"), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "going on in" in done.stdout or "nothing was begun" in done.stdout
    assert _contents(output) == _contents(tmp_path / "whole")
