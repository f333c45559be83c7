"""The command `experiments.evaluate_model`: one line for bad input; a run of untrained weights."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.tracked_folders import write_davis

ROOT = Path(__file__).parents[2]
DEBUG = "--config=configs/evaluation/generated.py:debug"
DAVIS = "--config=configs/evaluation/davis.py"


def _start(*arguments):
    command = [sys.executable, "-m", "experiments.evaluate_model", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def _run(*arguments):
    process = _start(*arguments)
    output, errors = process.communicate(timeout=900)
    return process.returncode, output, errors


def test_bad_input_is_one_message_and_writes_nothing(tmp_path):
    davis, output = write_davis(tmp_path / "davis"), tmp_path / "out"
    (davis / "Annotations" / "b" / "00000.png").unlink()
    cases = {
        (): "--config=FILE of configs/evaluation, or --davis_root=DIR, is missing",
        (f"--davis_root={davis}",): "Annotations/b: the first frame of 'b', 00000, has no mask",
        (DEBUG, f"--davis_root={davis}"): "--davis_root: the config's data are of another kind",
        # Values arrive, with and without a config: each message is about the last one.
        (f"--davis_root={davis}", "--prompts=online", "--start=box", "--rounds=2", "--clicks=1",
         "--threshold=1.5"): "--threshold 1.5: an IoU, 0 to 1, expected",
        (DAVIS, f"--davis_root={davis}", "--prompts=offline", "--config.prompts.start=2-click",
         "--config.prompts.rounds=0"): "--rounds 0: 1 or more expected",
    }  # fmt: skip
    for arguments, message in cases.items():
        status, _, errors = _run(*arguments, f"--output={output}")
        last = errors.strip().splitlines()[-1]
        assert status == 1 and last.startswith("evaluate_model: "), errors
        assert message in last and "Traceback" not in errors
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    status, _, errors = _run(DEBUG, f"--output={output}")
    assert status == 1 and "holds no run to go on with: thesis.txt is there" in errors
    assert [path.name for path in output.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_untrained_weights_on_generated_scenes_and_the_same_again(tmp_path):
    status, output, errors = _run(DEBUG, f"--output={tmp_path}")
    assert status == 0, errors
    assert "videos: 2, 0 finished before, 8 frames to go" in output
    report = (tmp_path / "report.json").read_text()
    assert json.loads(report)["sequences"] == 2
    status, output, errors = _run(DEBUG, f"--output={tmp_path}")
    assert status == 0 and "videos: 2, 2 finished before, 0 frames to go" in output, errors
    assert (tmp_path / "report.json").read_text() == report
    status, _, errors = _run(DEBUG, f"--output={tmp_path}", "--prompts=box")
    assert status == 1 and "prompts.kind = 'mask', this one has 'box'" in errors


@pytest.mark.slow
def test_rounds_are_set_by_flags_alone(tmp_path):
    davis = write_davis(tmp_path / "davis")
    status, output, errors = _run(
        f"--davis_root={davis}", "--checkpoint=debug", "--random_weights", "--image_size=64",
        "--videos=a", "--prompts=offline", "--start=1-click", "--rounds=2", "--clicks=1",
        f"--output={tmp_path / 'out'}",
    )  # fmt: skip
    assert status == 0, errors
    assert "offline: 1-click at first, up to 1 clicks on each corrected frame" in output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["round"] for row in report["per_round"]] == [1, 2]


@pytest.mark.slow
def test_two_processes_write_the_report_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = [f"--coordinator_address=localhost:{port}", "--num_processes=2"]
    both = [
        _start(DEBUG, f"--output={tmp_path / 'two'}", *shared, f"--process_id={index}")
        for index in (0, 1)
    ]
    texts = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    for index, (output, _) in enumerate(texts):
        assert f"videos: 1 of 2 (part {index + 1} of 2), 0 finished before" in output
    status, _, errors = _run(DEBUG, f"--output={tmp_path / 'one'}")
    assert status == 0, errors
    one = (tmp_path / "one" / "report.json").read_text()
    two = (tmp_path / "two" / "report.json").read_text()
    assert two.replace(str(tmp_path / "two"), str(tmp_path / "one")) == one
