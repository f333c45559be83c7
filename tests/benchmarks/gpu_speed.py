r"""Speed on an accelerator over models, sizes, objects, streams and chunks: one run, one table.

  python -m tests.benchmarks.gpu_speed --output gpu.json

Path:    a process of `experiments.benchmark_video` for each row -> a file of rows, a table
Units:   milliseconds; frames a second over all streams; shares of the measured matmul peak.
Errors:  SystemExit where JAX has no accelerator, unless --cpu is given; a row that fails is printed
         with the end of its messages, kept as such, and makes the exit status 1.
Source:  ours.
Differs: nothing is measured here; each row is what the command prints alone. The file is written
         after every row, and a second run goes on where the first one stopped.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.video_benchmark.options import BenchmarkOptions
from surgjax.checkpoints.atomic import atomic_file

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("model", "image_size", "precision", "objects", "streams", "chunk")


def rows(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """What is run: one stream frame by frame and in chunks, then several streams."""
    found = []
    for model, size, objects in itertools.product(flags.models, flags.sizes, flags.objects):
        for streams, chunk in ((1, 1), (1, flags.chunk), (flags.streams, 1)):
            row = (model, size, flags.precision, objects, streams, chunk)
            found.append(dict(zip(COLUMNS, row, strict=True)))
    return found


def measure(row: dict[str, Any], steps: int) -> dict[str, Any]:
    """The figures of one row, or its `error`."""
    chunk = row["chunk"]
    warm = BenchmarkOptions(chunk=chunk).warm_frames
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.json"
        command = [sys.executable, "-m", "experiments.benchmark_video", f"--output={output}"]
        command += [f"--{name}={value}" for name, value in row.items()]
        command += [f"--frames={warm + steps * chunk}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            return row | {"error": done.stderr.strip()[-800:]}
        return row | json.loads(output.read_text())


def line(one: dict[str, Any]) -> str:
    """A row of a Markdown table."""
    head = " | ".join(str(one[name]) for name in COLUMNS)
    if "error" in one:
        return f"| {head} | failed: {one['error'].splitlines()[-1] if one['error'] else ''} |"
    share, peak = one["roofline_share"], one["peak_memory_mib"]
    return (
        f"| {head} | {one['step_ms_p50']:.2f} | {one['step_ms_p95']:.2f} | {one['fps']:.1f} | "
        f"{'-' if share is None else f'{share:.0%}'} | {'-' if peak is None else f'{peak:.0f}'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["tiny", "small", "base_plus", "large"])
    parser.add_argument("--sizes", nargs="*", type=int, default=[512, 1024])
    parser.add_argument("--objects", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40, help="frames (or chunks) that count")
    parser.add_argument("--cpu", action="store_true", help="measure a CPU all the same")
    parser.add_argument("--output", required=True)
    flags = parser.parse_args()
    probe = "from surgjax.inference.devices import *; print(has_accelerator(), describe_devices())"
    found = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True)
    there, _, device = found.stdout.strip().partition(" ")
    if there != "True" and not flags.cpu:
        sys.exit(f"gpu_speed: JAX has no accelerator here: {device or found.stderr[-300:]}")
    path = Path(flags.output)
    done = json.loads(path.read_text()) if path.exists() else []
    print(device)
    print("| " + " | ".join(COLUMNS) + " | step p50 | step p95 | frames/s | of peak | MiB |")
    print("|---" * (len(COLUMNS) + 5) + "|")
    for row in rows(flags):
        known = [one for one in done if all(one.get(k) == v for k, v in row.items())]
        if not known:
            known = [measure(row, flags.steps) | {"chunk": row["chunk"], "device": device}]
            done += known
            with atomic_file(str(path)) as temporary:
                temporary.write_text(json.dumps(done, indent=2) + "\n")
        print(line(known[0]), flush=True)
    sys.exit(any("error" in one for one in done))


if __name__ == "__main__":
    main()
