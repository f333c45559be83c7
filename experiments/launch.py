r"""Hands a training run to SLURM, a TPU VM or GKE; with --dry_run prints exactly what it would do.

  python -m experiments.launch --kind=slurm --name=tiny --code=/shared/surgjax \
    --config=configs/promptable_sam2/generated_nano.py --workdir=/shared/runs/tiny \
    --nodes=2 --gpus_per_node=4 --dry_run -- --data=/shared/data

What follows `--` goes to the training command. The templates are in `launch/`.
"""

import dataclasses
import sys
from typing import Any

from absl import app, flags

from experiments import launching

_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print files and commands; write and run nothing.")
_HELP = {
    "name": "Of the job.",
    "workdir": "Of the run, on a file system that all machines share.",
    "config": "Of the run.",
    "module": "The launcher to run.",
    "code": "The repository, on the cluster (slurm) or in the image (gke).",
    "setup": "A shell line before the run; may be repeated (slurm, tpu_vm).",
    "grace_s": "Seconds between the signal to save and the end (slurm, gke).",
    "output": "Where the file that is made goes.",
    "accelerator": "TPU type of the VM (tpu_vm), or of the nodes' label (gke).",
    "hosts": "Pods of the run (gke).",
    "chips": "TPU chips or GPUs of one host (gke).",
    "claim": "Persistent volume claim that many pods may write (gke).",
    "mount": "Where its volume appears; --workdir is inside (gke).",
    "create": "Create the VM first (tpu_vm).",
}


def _define() -> None:
    flags.DEFINE_enum("kind", None, launching.KINDS, "Where to run.", required=True)
    for field in dataclasses.fields(launching.LaunchOptions):
        text, default = _HELP.get(field.name, f"See {field.name} in launching.py."), field.default
        if field.name in ("kind", "arguments"):
            continue
        if field.name == "setup":
            flags.DEFINE_multi_string("setup", [], text)
        elif isinstance(default, bool):
            flags.DEFINE_bool(field.name, default, text)
        elif isinstance(default, int):
            flags.DEFINE_integer(field.name, default, text)
        else:
            flags.DEFINE_string(field.name, "" if default is dataclasses.MISSING else default, text)


_define()


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    names = {field.name for field in dataclasses.fields(launching.LaunchOptions)} - {"arguments"}
    values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    values["setup"] = tuple(values["setup"])
    try:
        steps = launching.plan(launching.LaunchOptions(**values, arguments=tuple(argv[1:])))
        if _DRY_RUN.value:
            print(launching.show(steps), end="")
        else:
            launching.carry_out(steps)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"launch: {error}")


if __name__ == "__main__":
    app.run(main)
