"""Two JAX processes make the global batches that one makes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import prepared

ROOT = Path(__file__).resolve().parents[2]


def _run(count, folder, devices):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.data.two_processes"]
            + [str(value) for value in (port, count, index, 3, folder)],
            cwd=ROOT,
            env=os.environ | {"XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        done = [child.communicate(timeout=240) for child in children]
    finally:
        for child in children:
            child.kill()
    assert all(child.returncode == 0 for child in children), [errors[-2000:] for _, errors in done]
    return [output.splitlines()[-3:] for output, _ in done]


@pytest.mark.slow
def test_two_processes_see_the_batches_of_one(tmp_path):
    videos = [prepared.moving_square(f"m{i}", 6, 40, 40) for i in range(5)]
    folder = prepared.write_set(str(tmp_path), "squares", {"train": videos})
    alone = _run(1, folder, devices=2)[0]
    assert [line.split()[0] for line in alone] == ["0", "1", "2"]
    first, second = _run(2, folder, devices=1)
    assert first == second == alone
