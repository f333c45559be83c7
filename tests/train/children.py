"""Child processes of the tests: device counts and jax.distributed are fixed per process."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def run_all(
    commands: Sequence[Sequence[str]],
    environments: Sequence[Mapping[str, str]] | None = None,
    timeout: float = 300,
) -> list[subprocess.CompletedProcess[str]]:
    """Python with each of the arguments, at once; all are ended if one takes too long."""
    environments = environments or [{}] * len(commands)
    common = os.environ | {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    children = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=common | dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, environment in zip(commands, environments, strict=True)
    ]
    done = []
    try:
        for child, command in zip(children, commands, strict=True):
            output, errors = child.communicate(timeout=timeout)
            done.append(subprocess.CompletedProcess(command, child.returncode, output, errors))
    finally:
        for child in children:
            child.kill()
    return done
