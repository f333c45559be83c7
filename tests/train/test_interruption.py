"""SIGTERM and kill -9 at any point: the resumed run equals the undisturbed one, line by line."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from surgjax.train import PREEMPTED_STATUS
from surgjax.train.averaged import load_weights
from surgjax.train.checkpointing import steps_in

ROOT = Path(__file__).resolve().parents[2]


def _start(workdir, steps, pause):
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "tests.train.interrupted_run",
        str(workdir),
    ]
    command += ["--steps", str(steps), "--pause", str(pause)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finish(process):
    try:
        out, err = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # faulthandler prints where every thread is
        raise AssertionError(process.communicate()[1][-6000:]) from None
    return process.returncode, out, err


def _lines(workdir):
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _curve(workdir):
    """All that must not depend on interruptions: everything but times."""
    timed = ("step_ms",)
    return [{k: v for k, v in line.items() if k not in timed} for line in _lines(workdir)]


def _interrupt(workdir, number, beyond, delay, steps, pause):
    """Starts the run, waits for a checkpoint `beyond` steps further, then `delay`; signals it.

    Returns the checkpoints that were committed just before the signal.
    """
    known = max(steps_in(workdir), default=0)
    process = _start(workdir, steps, pause)
    end = time.monotonic() + 200
    while max(steps_in(workdir), default=0) < known + beyond and process.poll() is None:
        assert time.monotonic() < end, "no checkpoint in time"
        time.sleep(0.002)
    time.sleep(delay)
    before = steps_in(workdir)
    process.send_signal(number)
    status, out, err = _finish(process)
    return before, status, out, err


def _check_interruption(number, workdir, before, status, out, err):
    """False if the run had finished before the signal came."""
    if "finished at step" in out:
        assert status == 0
        return False
    after = steps_in(workdir)
    assert after and max(after) >= max(before, default=0), "a saved step was lost"
    if number == signal.SIGTERM:
        assert status == PREEMPTED_STATUS, err[-3000:]
        assert "SIGTERM: saved at step" in err and "Traceback" not in err
        assert max(line["step"] for line in _lines(workdir)) == max(after), "a step was lost"
    else:
        assert status == -signal.SIGKILL
    return True


def _assert_same(workdir, whole):
    assert _curve(workdir) == _curve(whole)
    for item in ("params", "ema_params"):
        found, wanted = load_weights(workdir, item), load_weights(whole, item)
        assert found[1] == wanted[1]
        for name, value in wanted[0].items():
            np.testing.assert_array_equal(found[0][name], value)


def _interrupted_run(tmp_path, plan, steps, pause):
    """Follows a plan of (signal, steps to wait for, delay) to the end; returns how many hit."""
    undisturbed = _start(tmp_path / "whole", steps, 0.0)
    workdir, hits = tmp_path / "parts", []
    for number, beyond, delay in plan:
        found = _interrupt(workdir, number, beyond, delay, steps, pause)
        if _check_interruption(number, workdir, *found):
            hits.append(number)
    status, out, err = _finish(_start(workdir, steps, 0.0))
    assert status == 0 and f"finished at step {steps}" in out, err[-3000:]
    assert _finish(undisturbed)[0] == 0
    _assert_same(workdir, tmp_path / "whole")
    assert [line["step"] for line in _lines(workdir) if "loss" in line] == list(range(1, steps + 1))
    return hits


def test_two_sigterm_and_two_kills(tmp_path):
    term, kill = signal.SIGTERM, signal.SIGKILL
    plan = [(term, 1, 0.03), (kill, 1, 0.01), (term, 8, 0.0), (kill, 8, 0.04)]
    assert _interrupted_run(tmp_path, plan, steps=80, pause=0.02) == [term, kill, term, kill]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_twenty_random_interruptions(tmp_path, number):
    rng = random.Random(int(number))
    plan = [(number, rng.randint(1, 8), rng.uniform(0, 0.3)) for _ in range(20)]
    hits = _interrupted_run(tmp_path, plan, steps=450, pause=0.02)
    assert len(hits) == 20


def test_a_signal_before_the_first_checkpoint(tmp_path):
    process = _start(tmp_path, 40, 0.05)
    end = time.monotonic() + 200
    while not (tmp_path / "starts.jsonl").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # schedulers repeat themselves
    status, _, err = _finish(process)
    assert status == PREEMPTED_STATUS, err[-3000:]
    saved = steps_in(tmp_path)
    assert len(saved) == 1 and saved[0] < 7
    assert not os.listdir(tmp_path / "checkpoints") == []


def _start_two(workdir, *more):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.train.two_processes", str(port)]
    return [
        subprocess.Popen(
            [*command, str(number), str(workdir), *more],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(2)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_saves_both(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for status, out, err in map(_finish, _start_two(whole)):
        assert status == 0 and "finished at step 60" in out, err[-3000:]
    processes = _start_two(parts)
    end = time.monotonic() + 200
    while not steps_in(parts):
        assert time.monotonic() < end and processes[0].poll() is None
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    for status, _, err in map(_finish, processes):
        assert status == PREEMPTED_STATUS, err[-3000:]
    saved = steps_in(parts)[-1]
    assert 20 < saved < 60 and max(line["step"] for line in _lines(parts)) == saved
    for status, _, err in map(_finish, _start_two(parts)):
        assert status == 0, err[-3000:]
    _assert_same(parts, whole)
    assert len((parts / "starts.jsonl").read_text().splitlines()) == 2  # process 0 alone writes


@pytest.mark.slow
def test_a_process_that_compiles_longer_than_gloo_waits(tmp_path):
    """Gloo gives up after 30 s; without the barrier after compilation process 0 fails here."""
    for status, out, err in map(_finish, _start_two(tmp_path, "40")):
        assert status == 0 and "finished at step 60" in out, err[-3000:]
