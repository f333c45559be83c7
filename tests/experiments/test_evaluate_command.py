"""The command `experiments.evaluate`: what it prints and writes, and one line for bad input."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation import folders

ROOT = Path(__file__).parents[2]


def _run(*arguments):
    command = [sys.executable, "-m", "experiments.evaluate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture
def both(tmp_path):
    predictions, truth = folders.two_sequences(tmp_path)
    return [f"--predictions={predictions}", f"--ground_truth={truth}"]


def test_scores_are_written_and_the_table_names_what_made_them(both, tmp_path):
    output = tmp_path / "out"
    stated = ["--prompt_source=3 clicks", "--split=fold0"]
    done = _run(*both, "--protocol=davis17", f"--output={output}", *stated)
    assert done.returncode == 0, done.stderr
    assert "preset: davis17" in done.stdout
    assert "prompts: 3 clicks   split: fold0" in done.stdout
    report = json.loads((output / "report.json").read_text())
    assert report["J"] == pytest.approx((1 + 72 / 216 + 1 + 1) / 4)
    assert (report["prompt_source"], report["split"]) == ("3 clicks", "fold0")
    with (output / "per_object.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["J"]) for row in rows] == [row["J"] for row in report["per_object"]]
    with (output / "per_frame.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 5 * 2


def test_bad_input_is_one_message_and_writes_nothing(both, tmp_path):
    (tmp_path / "pred" / "a" / "00003.png").unlink()
    done = _run(*both, "--protocol=davis17", f"--output={tmp_path / 'out'}")
    assert done.returncode == 1 and done.stderr.startswith("evaluate: ")
    assert "pred/a/00003.png" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    done = _run(*both, "--protocol=davis17", f"--output={tmp_path / 'pred'}")
    assert done.returncode == 1 and "is the output folder too" in done.stderr
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "report.json").write_text("{}")
    done = _run(*both, "--protocol=davis17", "--missing=empty", f"--output={tmp_path / 'run'}")
    assert done.returncode == 1 and "holds a run of experiments.evaluate_model" in done.stderr
    assert (tmp_path / "run" / "report.json").read_text() == "{}"
    cases = {
        ("davis17", "--frames=/nowhere"): "--frames /nowhere: no such folder",
        ("davis17", "--prompted=first,77"): "--prompted 77: no sequence of",
        ("hota", "--prompted=first"): "--prompted: the page of protocol hota shows no frames",
        ("temporal", "--missing=empty"): "--missing=empty: protocol temporal has no ground truth",
    }
    for (protocol, flag), message in cases.items():
        done = _run(*both, f"--protocol={protocol}", flag, f"--output={tmp_path / 'out'}")
        assert done.returncode == 1 and message in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
