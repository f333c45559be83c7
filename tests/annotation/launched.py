"""`python -m experiments.annotate` in a process of its own, for tests and benchmarks."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class LaunchedServer:
    """Starts the command, waits for its address, and speaks to it as the page does."""

    def __init__(self, *flags: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "experiments.annotate", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        while "Ctrl-C" not in self.said:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server did not start:\n{self.said}")
            self.said += line
        found = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", self.said)
        assert found is not None
        self.address, self.token = found.groups()
        self.session = self  # what a `browser.Tab` asks

    def ask(self, path: str, body: Any = None) -> bytes:
        """The body of an answer; with a body it is a POST."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Surgjax-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, headers)
        with urllib.request.urlopen(request, timeout=600) as answer:
            content = answer.read()
            packed = answer.headers.get("Content-Encoding") == "deflate"
        return zlib.decompress(content) if packed else content

    def describe(self) -> dict[str, Any]:
        return json.loads(self.ask("/api/session"))

    def edit(self, op: str, **arguments: Any) -> dict[str, Any]:
        return json.loads(self.ask("/api/edit", {"op": op, **arguments}))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=20)

    def stop(self) -> str:
        """As Ctrl-C does; what it said last."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=60)
        if self.process.returncode:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{said}")
        return said
