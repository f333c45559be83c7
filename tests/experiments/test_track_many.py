"""track_many: every video once, failures reported and passed over, what is missing done again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.many_videos import ManyVideos
from experiments.track_options import TrackOptions
from surgjax.evaluation.shares import Share
from surgjax.inference import frames
from surgjax.inference.video import VideoPredictor
from surgjax.testing import debug_config, lively_params
from tests.experiments.scripted_tracking import ScriptedPredictor, write_video

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = {"objects": [{"id": 1, "prompts": [{"frame": 2, "points": [[8, 9]]}]}]}
NAMES = ["a", "b", "c", "d", "e"]


class Scripted(ScriptedPredictor):
    """One predictor for many videos; `fail` is by the number of the video, then by frame."""

    def __init__(self, fail=None):
        super().__init__()
        self.videos, self.failures = 0, fail or {}

    def init_state(self, video, max_objects=4):
        self.first, self.last = {}, {}
        self.fail = self.failures.get(self.videos, {})
        self.videos += 1
        return super().init_state(video, max_objects)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4")
    for name in NAMES[1:]:
        shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
    return folder


@pytest.fixture
def listed(videos, tmp_path):
    """Five videos with one object each; each test may spoil its own prompts."""
    lines = []
    for name in NAMES:
        (tmp_path / f"{name}.json").write_text(json.dumps(PROMPTS))
        lines.append(f"{videos / name}.mp4,{name}.json")
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["video,prompts", *lines]) + "\n")
    return path


def _many(listed, predictor, share=None, **changes):
    loads = []

    def load(options):
        loads.append(options)
        return predictor

    options = TrackOptions("", "", "", **changes)
    many = ManyVideos.open(str(listed), str(listed.parent / "out"), options, share, load)
    many.loads = loads
    return many


def _run(many):
    said = []
    return many.run(said.append), "\n".join(said)


def _report(listed):
    return json.loads((listed.parent / "out" / "report.json").read_text())


def test_every_video_once_and_one_model(listed):
    predictor = Scripted()
    many = _many(listed, predictor)
    failed, said = _run(many)
    assert failed == 0 and predictor.videos == 5 and len(many.loads) == 1
    assert "videos: 5, 0 finished before, 5 to go" in said and "videos: 5/5, " in said
    assert "5 of 5 videos are done, 0 failed, 0 missing" in said
    out = listed.parent / "out"
    for name in NAMES:
        assert len(list((out / "videos" / name / "masks").iterdir())) == 10
    report = _report(listed)
    assert (report["done"], report["failed"], report["missing"]) == (5, 0, 0)
    row = report["videos"][2]
    assert (row["output"], row["frames"], row["status"]) == ("c", 10, "done")
    assert row["frames_per_second"] == pytest.approx(10 / row["seconds"], rel=0.01)
    # The percentiles are of this video alone: each has eight steps of 12 to 19 ms.
    summary = json.loads((out / "videos" / "e" / "summary.json").read_text())
    assert summary["step_ms_p50"] == 15.5

    again = Scripted()
    assert _run(_many(listed, again))[0] == 0 and again.videos == 0
    shutil.rmtree(out / "videos" / "d")
    (out / "results" / "b.json").unlink()  # the process ended before it wrote this
    failed, said = _run(_many(listed, again))
    assert failed == 0 and again.videos == 1  # b's folder is whole, so only d is tracked
    assert "3 finished before, 2 to go" in said and _report(listed)["done"] == 5


def test_shares_meet_in_one_report(listed):
    first, second = Scripted(), Scripted()
    assert _run(_many(listed, first, Share(0, 2)))[0] == 0 and first.videos == 3
    assert _report(listed)["missing"] == 2
    assert _run(_many(listed, second, Share(1, 2)))[0] == 0 and second.videos == 2
    assert _report(listed)["done"] == 5


def test_two_processes_at_the_same_time(listed):
    command = [sys.executable, "-m", "tests.experiments.many_child", str(listed)]
    out = str(listed.parent / "out")
    started = [
        subprocess.Popen([*command, out, f"{k}/2"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for k in range(2)
    ]
    said = [process.communicate(timeout=600)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said == [["tracks a", "tracks c", "tracks e"], ["tracks b", "tracks d"]]
    report = _report(listed)
    assert report["done"] + report["missing"] == 5  # the first to end knew of less
    many = _many(listed, Scripted())
    assert [many.result(video)["status"] for video in many.videos] == ["done"] * 5


def test_failures_are_reported_and_the_others_go_on(listed, videos):
    folder = listed.parent
    (folder / "bad.mp4").write_bytes(b"no video")
    text = listed.read_text().replace(f"{videos / 'b'}.mp4", "bad.mp4")
    listed.write_text(text.replace(f"{videos / 'e'}.mp4", "gone.mp4"))
    wrong = json.loads(json.dumps(PROMPTS))
    wrong["objects"][0]["prompts"][0]["points"] = [[640, 9]]
    (folder / "c.json").write_text(json.dumps(wrong))
    broken = {1: {6: frames.FrameReadError(6, "d.mp4", "its data is damaged")}}
    failed, said = _run(_many(listed, Scripted(broken)))
    assert failed == 4
    rows = {row["output"]: row for row in _report(listed)["videos"]}
    assert [rows[n]["status"] for n in ("a", "bad", "c", "d", "gone")] == ["done"] + ["failed"] * 4
    assert "bad.mp4" in rows["bad"]["reason"]
    assert "(640, 9) lies outside the frame" in rows["c"]["reason"]
    assert "frame 6 of d.mp4 cannot be read" in rows["d"]["reason"] and rows["d"]["frames"] == 6
    assert "gone.mp4 does not exist" in rows["gone"]["reason"]
    assert "1 of 5 videos are done, 4 failed" in said
    lines = said.splitlines()
    table = lines[next(k for k, text in enumerate(lines) if text.endswith("status   reason")) :]
    assert table[1].split()[:2] == ["a", "10"] and table[3].split()[:4] == ["c", "-", "-", "failed"]

    (folder / "c.json").write_text(json.dumps(PROMPTS))
    shutil.copy(videos / "a.mp4", folder / "gone.mp4")
    again = Scripted()
    failed, _ = _run(_many(listed, again))
    assert failed == 1 and again.videos == 3  # c, d, gone; a is done, bad still is no video
    assert [row["status"] for row in _report(listed)["videos"]].count("done") == 4


def test_a_fault_of_our_own_costs_one_video(listed, capsys):
    failed, _ = _run(_many(listed, Scripted({0: {2: IndexError("out of range")}})))
    assert failed == 1 and _report(listed)["done"] == 4
    assert "out of range" in _report(listed)["videos"][0]["reason"]
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_ends_the_run_with_a_report(listed):
    many = _many(listed, Scripted({1: {5: KeyboardInterrupt()}}))
    with pytest.raises(KeyboardInterrupt):
        _run(many)
    assert [row["status"] for row in _report(listed)["videos"]] == ["done"] + ["missing"] * 4


def test_what_does_not_belong_together_is_refused_before_work(listed, videos):
    predictor = Scripted()
    assert _run(_many(listed, predictor, Share(0, 5)))[0] == 0
    with pytest.raises(ValueError, match="holds a run with direction = 'forward', this one has"):
        _run(_many(listed, predictor, direction="both"))
    with pytest.raises(ValueError, match="--direction=sideways"):
        _many(listed, predictor, direction="sideways")
    moved = PROMPTS["objects"][0] | {"id": 3}
    (listed.parent / "a.json").write_text(json.dumps({"objects": [moved]}))
    with pytest.raises(ValueError, match="a.json: prompts_sha256 was .* remove this file and"):
        _many(listed, predictor)
    (listed.parent / "a.json").write_text(json.dumps(PROMPTS))
    listed.write_text(listed.read_text().replace(f"{videos / 'a'}.mp4", "other/a.mp4"))
    with pytest.raises(ValueError, match="a.json: video was '.*a.mp4' when this video was tracked"):
        _many(listed, predictor)
    inside = listed.parent / "out" / "videos" / "a" / "overlay.mp4"
    listed.write_text(f"video,prompts,output\n{inside},a.json,new\n")
    with pytest.raises(ValueError, match="video .*overlay.mp4 lies in the results"):
        _many(listed, predictor)
    assert predictor.videos == 1


def test_programs_serve_every_video_and_an_interrupted_one_goes_on(listed, monkeypatch):
    """The real predictor: one compilation for all, and no frame of a kept part tracked again."""
    config = debug_config()
    predictor = VideoPredictor(lively_params(config), config, keep_records=False)
    real, compiled, tracked = VideoPredictor._track_frames, [], []

    def track(self, state, tracks, frames, run, follows):
        (t,) = frames
        if len(tracked) == 11:  # the fourth tracked frame of b
            tracked.append(None)
            raise KeyboardInterrupt
        tracked.append(t)
        found = real(self, state, tracks, frames, run, follows)
        compiled.append(len(self.programs.compiled))
        return found

    monkeypatch.setattr(VideoPredictor, "_track_frames", track)
    with pytest.raises(KeyboardInterrupt):
        _run(_many(listed, predictor, snapshot_every=2))
    failed, _ = _run(_many(listed, predictor, snapshot_every=2))
    assert failed == 0 and len(set(compiled)) == 1
    # a: 3 to 9 (2 is prompted); b: 3 to 6, a stop, and on from the snapshot after its frame 5.
    assert tracked[:19] == [*range(3, 10), 3, 4, 5, 6, None, *range(6, 10), 3, 4, 5]
    masks = [
        [path.read_bytes() for path in sorted((listed.parent / "out/videos" / n).glob("masks/*"))]
        for n in NAMES
    ]
    assert len(masks[0]) == 10 and all(each == masks[0] for each in masks)
    assert len(set(masks[0])) > 5


def test_the_command(listed, tmp_path):
    """As a user in a SLURM array runs it: the share is stated, the status is 1 while one fails."""
    (tmp_path / "b.json").write_text("{}")
    env = os.environ | {
        f"SLURM_ARRAY_TASK_{name}": value
        for name, value in (("ID", "3"), ("MIN", "2"), ("MAX", "3"), ("COUNT", "2"))
    }
    command = [
        *(sys.executable, "-m", "experiments.track_many", f"--list={listed}"),
        *(f"--output={tmp_path / 'out'}", "--random_weights", "--image_size=64"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env, timeout=900)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "track_many: videos that failed: 1; the same command tries them again." in done.stderr
    assert "share: 1/2 (SLURM_ARRAY_TASK_ID)" in done.stdout
    assert "videos: 2 of 5 (share 1/2), 0 finished before, 2 to go" in done.stdout
    rows = {row["output"]: row["status"] for row in _report(listed)["videos"]}
    assert rows == {"a": "missing", "b": "failed", "c": "missing", "d": "done", "e": "missing"}
    (tmp_path / "b.json").write_text(json.dumps(PROMPTS))
    done = subprocess.run(
        [*command, "--share=1/5"], cwd=ROOT, capture_output=True, text=True, env=env, timeout=900
    )
    assert done.returncode == 0 and "share: 1/5 (--share)" in done.stdout, done.stderr
    assert _report(listed)["done"] == 2
    assert (
        np.mean([len(list((tmp_path / "out/videos" / n / "masks").iterdir())) for n in "bd"]) == 10
    )
