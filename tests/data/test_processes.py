"""Two JAX processes make the global batches that one makes."""

import os

import pytest

from tests.data import prepared
from tests.train import children


def _run(count, folder, devices, results):
    port, files = children.free_port(), [results / f"{count}_{index}" for index in range(count)]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    commands = [
        ["-m", "tests.data.two_processes"]
        + [str(value) for value in (port, count, index, 3, folder, file)]
        for index, file in enumerate(files)
    ]
    done = children.run_all(commands, [{"XLA_FLAGS": flags}] * count, timeout=240)
    assert all(child.returncode == 0 for child in done), [c.stderr[-2000:] for c in done]
    return [file.read_text().splitlines() for file in files]


@pytest.mark.slow
def test_two_processes_see_the_batches_of_one(tmp_path):
    videos = [prepared.moving_square(f"m{i}", 6, 40, 40) for i in range(5)]
    folder = prepared.write_set(str(tmp_path), "squares", {"train": videos})
    alone = _run(1, folder, devices=2, results=tmp_path)[0]
    assert [line.split()[0] for line in alone] == ["0", "1", "2"]
    first, second = _run(2, folder, devices=1, results=tmp_path)
    assert first == second == alone
