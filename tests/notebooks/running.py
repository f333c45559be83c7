r"""Runs the notebooks as a reader would, from top to bottom in fresh kernels: `make notebooks`.

  python -m tests.notebooks.running                     all, at full size
  python -m tests.notebooks.running --debug track_your_video

Executed copies, with their pictures, go to notebooks/executed/; so does what the notebooks write.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NAMES = (
    "track_your_video",
    "evaluate_and_read_the_report",
    "fine_tune_on_your_frames",
    "sam2s_on_long_clips",
    "import_an_official_checkpoint",
)
DEBUG = "SURGJAX_NOTEBOOK_DEBUG"
_KERNEL = "surgjax-notebooks"


class Executed(NamedTuple):
    """What running one notebook gave."""

    notebook: nbformat.NotebookNode
    result: dict  # of its result.json
    wall_seconds: float
    cpu_seconds: float


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _kernel_manager(folder: Path) -> KernelManager:
    """A kernel of this very interpreter, whatever kernels are installed."""
    spec = folder / _KERNEL
    spec.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv.append("--log-level=ERROR")
    about = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(about))
    specs = KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)
    return KernelManager(
        kernel_name=_KERNEL,
        kernel_spec_manager=specs,
        connection_file=str(folder / "connection.json"),
    )


def execute(name: str, folder: Path, debug: bool, timeout: int = 3600) -> Executed:
    """Runs a notebook in `folder`, where it and its executed copy write; raises as a cell does."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    # The checkout that is tested, not another one that may be installed.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, DEBUG: "1" if debug else "0"}
    environment["IPYTHONDIR"] = str(folder / ".kernel" / "ipython")
    environment.pop("MPLBACKEND", None)  # inline
    if debug:  # on pictures this small, compiling takes most of the time
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    manager = _kernel_manager(folder / ".kernel" / "specs")
    where = {"metadata": {"path": str(folder)}}
    start, cpu = time.perf_counter(), _cpu_seconds()
    try:
        NotebookClient(notebook, manager, timeout=timeout, resources=where).execute(env=environment)
    finally:
        nbformat.write(notebook, folder / f"{name}.ipynb")
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    wall, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    result = json.loads((folder / "results" / name / "result.json").read_text())
    return Executed(notebook, result, wall, cpu)


def main(argv: list[str] | None = None) -> None:
    """Runs those that are named, or all; prints the time of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--debug", action="store_true", help="at the size of the tests")
    flags = parser.parse_args(argv)
    if unknown := sorted(set(flags.names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(NAMES)}")
    folder = FOLDER / "executed"
    folder.mkdir(exist_ok=True)
    for name in flags.names or NAMES:
        done = execute(name, folder, flags.debug)
        size = "debug" if flags.debug else "full"
        print(
            f"{name:<32} {size} size: {done.wall_seconds:6.0f} s, {done.cpu_seconds:6.0f} s of CPU",
            flush=True,
        )
    print(f"executed copies are in {folder.relative_to(ROOT)}/")


if __name__ == "__main__":
    main()
