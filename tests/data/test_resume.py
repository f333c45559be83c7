"""Killed at any moment and started again, the sequence of batches is that of one long run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data import iterate, prepared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    data_dir = str(tmp_path_factory.mktemp("sets"))
    videos = [prepared.moving_square(f"m{i}", 8 + 3 * i, 40, 40) for i in range(7)]
    return [
        prepared.write_set(data_dir, "one", {"train": videos[:5]}),
        prepared.write_set(data_dir, "two", {"train": videos[5:]}),
    ]


def _lines(log) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _start(log, steps, folders):
    command = [sys.executable, "-m", "tests.data.iterate", str(log), str(steps), *folders]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def _kill_somewhere(rng, log, steps, folders):
    """Starts a run, lets it make a few batches, kills it without warning. Returns the lines."""
    goal = _lines(log) + int(rng.integers(1, 8))  # an epoch is a little over two batches
    child = _start(log, steps, folders)
    deadline = time.monotonic() + 120
    while _lines(log) < goal:
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline, "no batch within two minutes"
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.01))  # between batches, or in the middle of one
    child.kill()
    assert child.wait() == -9 and child.stderr is not None
    child.stderr.close()
    return _lines(log)


def _killed_and_undisturbed(log, kills, steps, folders):
    rng = np.random.default_rng()  # other moments in every run: any of them must do
    reached = [_kill_somewhere(rng, log, steps, folders) for _ in range(kills)]
    assert 0 < reached[0] and reached == sorted(set(reached)) and reached[-1] < steps
    last = _start(log, steps, folders)
    assert last.wait(120) == 0, last.communicate()[1]
    last.communicate()
    with iterate.open_at(0, folders) as batches:
        want = [iterate.line_of(next(batches)) for _ in range(steps)]
    return log.read_text().splitlines(), want


def test_two_kills(tmp_path, folders):
    found, want = _killed_and_undisturbed(tmp_path / "log", 2, 60, folders)
    assert found == want
    assert len({line.split()[1] for line in found}) == 60  # all different batches


@pytest.mark.slow
def test_twenty_kills(tmp_path, folders):
    found, want = _killed_and_undisturbed(tmp_path / "log", 20, 400, folders)
    assert found == want


def test_a_line_that_was_cut_is_made_again(tmp_path, folders):
    with iterate.open_at(0, folders) as batches:
        want = [iterate.line_of(next(batches)) for _ in range(4)]
    log = tmp_path / "log"
    log.write_text("\n".join(want[:2]) + "\n" + want[2][:20])
    iterate.main(os.fspath(log), "4", *folders)
    assert log.read_text().splitlines() == want
