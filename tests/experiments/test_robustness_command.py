"""The command `experiments.robustness`: one line for bad input, before any weights are read."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data=nowhere"], "--data nowhere: no such folder."),
        (
            ["--data=generated:simple", "--images=1", "--clips=1", "--frames=2", "--size=64",
             "--corruptions=mist"],
            "--corruptions: 'mist' is unknown; expected some of gaussian_noise",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path, arguments, message):
    command = [sys.executable, "-m", "experiments.robustness", f"--output={tmp_path / 'out'}"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and done.stderr.startswith(f"robustness: {message}")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()
