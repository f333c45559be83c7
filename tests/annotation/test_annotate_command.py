"""The launcher: what it refuses before anything is written, what it prints, how it ends."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from experiments.annotation import serving
from experiments.annotation.launcher import AnnotateOptions, allow_open_files, run
from experiments.annotation.serving import bound, listen, port_of

ROOT = Path(__file__).resolve().parents[2]
CLIP = str(ROOT / "surgjax" / "assets" / "demo_clip.mp4")


def refuse(options, message):
    def load(tracking):
        raise AssertionError("a model was loaded")

    with pytest.raises((ValueError, OSError), match=message):
        run(options, load=load, say=lambda line: None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with inputs that cannot be used."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video at all" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "frames" / "0.png")
    far = {"objects": [{"id": 1, "prompts": [{"frame": 9999, "points": [[1, 1]]}]}]}
    (tmp_path / "far.json").write_text(json.dumps(far))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": "gone.mp4"}, "video gone.mp4 does not exist"),
        ({"video": "broken.mp4"}, "broken.mp4"),
        ({"video": "empty.mp4"}, "empty.mp4 is empty: 0 bytes"),
        ({"prompts": "gone.json"}, "prompts gone.json does not exist"),
        ({"prompts": "far.json"}, "frame 9999: the video has"),
        ({"output": "broken.mp4"}, "--output=broken.mp4 is a file; a folder expected"),
        ({"video": "frames", "output": "frames"}, "--output=frames is the folder of the video"),
        ({"checkpoint": "a.pt", "random_weights": True}, "contradict each other"),
        ({"model": "tiny"}, "--model=tiny needs --checkpoint=PATH"),
        ({"image_size": 100}, "--image_size=100: a multiple of 32"),
        ({"precision": "fp16"}, "--precision=fp16: one of"),
        ({"memory": "last"}, "memory 'last': expected one of"),
        ({"memory_options": "delta=3"}, "memory_options delta: not known"),
        ({"port": 0}, "--port=0: a port from 1 to 65535"),
        ({"port": 65536}, "--port=65536: a port from 1 to 65535"),
    ],
)
def test_refusals(folder, changes, message):
    before = sorted(folder.rglob("*"))
    refuse(AnnotateOptions(**{"video": CLIP} | changes), message)
    assert sorted(folder.rglob("*")) == before


def test_a_port_that_is_taken(folder, monkeypatch):
    before = sorted(folder.rglob("*"))
    with bound(0) as other:
        port = port_of(other)
        message = f"--port={port}: address already in use; leave --port out for a free one"
        refuse(AnnotateOptions(video=CLIP, port=port), message)
        monkeypatch.setattr(serving, "DEFAULT_PORT", port)
        with listen(None) as free:
            assert port_of(free) not in (0, port)
    assert sorted(folder.rglob("*")) == before


def test_the_output_is_named_after_the_video(monkeypatch, tmp_path):
    assert AnnotateOptions("/videos/case 3.mp4").folder == Path("case 3_annotations")
    (tmp_path / "frames").mkdir()
    monkeypatch.chdir(tmp_path / "frames")
    assert AnnotateOptions(".").folder == Path("frames_annotations")
    assert AnnotateOptions("a.mp4", output="b").folder == Path("b")


def _python(*arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_ends_with_one_message_and_status_1(tmp_path):
    process = _python("-m", "experiments.annotate", "--video=gone.mp4", cwd=tmp_path)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert error == "annotate: video gone.mp4 does not exist.\n"
    assert not list(tmp_path.iterdir())


_LAUNCH = """
import sys, types
from experiments.annotation.launcher import AnnotateOptions, allow_open_files, run
from tests.annotation.fake_session import FakeSession

predictor = types.SimpleNamespace(
    config=types.SimpleNamespace(name="fake", image_size=256),
    programs=types.SimpleNamespace(compile_seconds=1.25),
)
session = FakeSession("out", delay=float(sys.argv[2]))
options = AnnotateOptions(video=sys.argv[1], output="out")
run(options, load=lambda options: predictor, open_on=lambda *given: session)
assert session.is_closed and session.calls[:1] == ["warm_up"], session.calls
print("closed after", session.calls[-2])
"""


def _post(address, path, token, body):
    headers = {"X-Surgjax-Token": token}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _printed(process):
    """What it prints until it can be used, and the address, the port and the token in that."""
    lines = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    text = "".join(lines)
    found = re.search(r"open: (http://127\.0\.0\.1:(\d+))/\?token=([\w-]{32})\n", text)
    assert found, text
    return text, *found.groups()


def _begin_tracking(address, token):
    point = {"op": "add_point", "id": None, "frame": 0, "x": 9, "y": 9, "label": 1}
    _post(address, "/api/edit", token, point)
    _post(address, "/api/track", token, {"direction": "forward"})


def test_it_says_where_to_look_and_ends_cleanly_while_tracking(tmp_path):
    process = _python("-c", _LAUNCH, CLIP, "0.02", cwd=tmp_path)
    try:
        text, address, port, token = _printed(process)
        assert "device: " in text and "model: fake (bundled weights), 256 px, fp32" in text
        assert re.search(r"video: .*demo_clip.mp4, \d+ frames, \d+x\d+, [\d.]+ fps", text)
        assert "compiling...\ncompiling... done 1.2 s (cached for next time)" in text
        assert re.search(rf"ssh -L {port}:127\.0\.0\.1:{port} \S+@\S+, then open the same", text)
        _begin_tracking(address, token)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0 and error == "", error
    assert "stopped; the annotations are in out\nclosed after _track_frame\n" in out


def test_ctrl_c_waits_for_the_frame_at_work_and_a_second_one_does_not(tmp_path):
    process = _python("-c", _LAUNCH, CLIP, "1.5", cwd=tmp_path)
    try:
        _, address, _, token = _printed(process)
        _begin_tracking(address, token)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=1) == 1
    finally:
        process.kill()
        process.communicate()


def test_many_objects_find_enough_open_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        allow_open_files()
        allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert allowed == min(4096, most if most > 0 else 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
