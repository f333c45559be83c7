"""From a few settings to a job of several machines: the files to write, the commands to run.

Path:    settings, launch/* -> [launching] -> files, then sbatch, gcloud or kubectl
Errors:  ValueError naming the setting that is missing, unknown to the kind, or of the wrong form;
         RuntimeError naming the command that failed.
Differs: thin on purpose. It knows nothing of a job once it has been handed over.
"""

import dataclasses
import json
import pathlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence

TEMPLATES = pathlib.Path(__file__).resolve().parents[1] / "launch"
KINDS = ("slurm", "tpu_vm", "gke")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_PORT = 8476
_FIELD = re.compile(r"\{\{(\w+)\}\}")


@dataclasses.dataclass(frozen=True)
class LaunchOptions:
    """What to run and where; a setting that the kind does not use must stay as it is."""

    kind: str
    name: str  # of the job
    workdir: str  # on a file system that all machines share
    config: str = ""
    module: str = "experiments.promptable_sam2.main"
    arguments: tuple[str, ...] = ()  # further flags of the module
    code: str = ""  # the repository: on the cluster (slurm), in the image (gke)
    setup: tuple[str, ...] = ()  # shell lines before it (slurm, tpu_vm)
    grace_s: int = 300  # between the signal and the end (slurm, gke)
    output: str = "."  # where the file that is made goes
    # slurm
    nodes: int = 1
    gpus_per_node: int = 1
    cpus_per_task: int = 8
    time: str = "24:00:00"
    partition: str = ""
    account: str = ""
    # tpu_vm and gke
    accelerator: str = ""  # v5litepod-16; or the node's label, tpu-v5-lite-podslice, nvidia-l4
    # tpu_vm
    zone: str = ""
    project: str = ""
    create: bool = False  # the VM, too
    runtime_version: str = ""
    spot: bool = False
    repository: str = ""
    commit: str = ""
    python: str = "python3.11"
    # gke
    image: str = ""
    hosts: int = 1
    chips: int = 4  # or GPUs, of one host
    topology: str = ""
    claim: str = ""  # a persistent volume claim that many pods may write
    mount: str = ""  # where its volume appears; the workdir is inside
    namespace: str = "default"
    max_restarts: int = 3


_USED = {
    "slurm": "code setup grace_s nodes gpus_per_node cpus_per_task time partition account",
    "tpu_vm": "setup accelerator zone project create runtime_version spot repository commit python",
    "gke": "code grace_s accelerator image hosts chips topology claim mount namespace max_restarts",
}
_ALWAYS = "kind name workdir config module arguments output"
_NEEDED = {
    "slurm": "code",
    "tpu_vm": "zone repository commit",
    "gke": "code accelerator image claim mount",
}


@dataclasses.dataclass(frozen=True)
class File:
    """A file to be written."""

    path: str
    text: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A command to be run."""

    words: tuple[str, ...]


Step = File | Command


def plan(options: LaunchOptions) -> list[Step]:
    """Everything that will be done, in order."""
    _check(options)
    return {"slurm": _slurm, "tpu_vm": _tpu_vm, "gke": _gke}[options.kind](options)


def _check(options: LaunchOptions) -> None:
    if options.kind not in KINDS:
        raise ValueError(f"--kind: one of {', '.join(KINDS)} expected, found {options.kind!r}.")
    used = {*_ALWAYS.split(), *_USED[options.kind].split()}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name not in used and value != field.default:
            raise ValueError(f"--{field.name} has no meaning for --kind={options.kind}.")
        is_number = field.name in used and isinstance(value, int)
        least = 0 if field.name in ("gpus_per_node", "max_restarts", "create", "spot") else 1
        if is_number and value < least:
            raise ValueError(f"--{field.name} must be {least} or more, found {value}.")
        if isinstance(value, str) and "\n" in value:
            raise ValueError(f"--{field.name} must be one line, found {value!r}.")
    for name in ("name", "workdir", *_NEEDED[options.kind].split()):
        if not getattr(options, name):
            raise ValueError(f"--{name} is needed for --kind={options.kind}.")
    if not _NAME.fullmatch(options.name):
        raise ValueError(
            "--name: at most 40 lower-case letters, digits and hyphens, a letter first, expected; "
            f"found {options.name!r}."
        )
    for name in ("time", "partition", "account"):  # they stand in #SBATCH lines
        value = getattr(options, name)
        if not re.fullmatch(r"[\w:,.@-]*", value):
            raise ValueError(f"--{name}: no spaces or quotes expected, found {value!r}.")
    for name in ("workdir", "code", "mount"):
        value = getattr(options, name)
        if value and not re.fullmatch(r"/[\w./-]*", value):
            raise ValueError(
                f"--{name}: a path from the root without spaces expected, found {value!r}."
            )


def _program(options: LaunchOptions, *further: str) -> list[str]:
    config = [f"--config={options.config}"] if options.config else []
    words = ["python", "-m", options.module, *config, f"--workdir={options.workdir}"]
    return [*words, *options.arguments, *further]


def fill(template: str, values: Mapping[str, str]) -> str:
    """The text of a template; a line of one field that is empty is left out.

    ValueError for a field without a value, or a value without a field.
    """
    path = TEMPLATES / template
    if not path.is_file():
        raise ValueError(f"{path}: no such template; start this from a checkout of surgjax.")
    text = path.read_text(encoding="utf-8")
    fields = set(_FIELD.findall(text))
    if fields != values.keys():
        raise ValueError(f"{path}: fields {sorted(fields ^ values.keys())} do not match.")
    lines = []
    for line in text.splitlines(keepends=True):
        alone = _FIELD.fullmatch(line.strip())
        if not alone or values[alone[1]]:
            lines.append(_FIELD.sub(lambda found: values[found[1]], line))
    return "".join(lines)


def _slurm(options: LaunchOptions) -> list[Step]:
    gpus = options.gpus_per_node
    text = fill(
        "slurm.sh",
        dict(
            name=options.name,
            workdir=options.workdir,
            code=options.code,
            setup="\n".join(options.setup),
            command=shlex.join(_program(options)),
            nodes=str(options.nodes),
            tasks_per_node=str(max(gpus, 1)),
            cpus_per_task=str(options.cpus_per_task),
            gpu_line=f"#SBATCH --gres=gpu:{gpus}" if gpus else "",
            time=options.time,
            partition_line=f"#SBATCH --partition={options.partition}" if options.partition else "",
            account_line=f"#SBATCH --account={options.account}" if options.account else "",
            grace_s=str(options.grace_s),
        ),
    )
    path = str(pathlib.Path(options.output, f"{options.name}.slurm.sh"))
    make = Command(("mkdir", "-p", options.workdir))  # SLURM opens its log there before the job
    return [File(path, text), make, Command(("sbatch", path))]


def _tpu_vm(options: LaunchOptions) -> list[Step]:
    text = fill(
        "tpu_vm.sh",
        dict(
            setup="\n".join(options.setup),
            repository=shlex.quote(options.repository),
            commit=shlex.quote(options.commit),
            python=shlex.quote(options.python),
            command=shlex.join(_program(options)),
        ),
    )
    file = f"{options.name}.tpu_vm.sh"
    path = str(pathlib.Path(options.output, file))
    tool = ("gcloud", "compute", "tpus", "tpu-vm")
    place = (f"--zone={options.zone}",)
    place += (f"--project={options.project}",) if options.project else ()
    steps: list[Step] = [File(path, text)]
    if options.create:
        if not options.accelerator or not options.runtime_version:
            raise ValueError("--create needs --accelerator and --runtime_version.")
        kind = (f"--accelerator-type={options.accelerator}", f"--version={options.runtime_version}")
        spot = ("--spot",) if options.spot else ()
        steps.append(Command((*tool, "create", options.name, *place, *kind, *spot)))
    elif options.spot or options.accelerator or options.runtime_version:
        raise ValueError("--accelerator, --runtime_version and --spot are for --create.")
    # Detached, so that the run does not end with the connection.
    start = f"nohup bash {file} > {options.name}.log 2>&1 < /dev/null &"
    steps.append(Command((*tool, "scp", path, f"{options.name}:{file}", *place, "--worker=all")))
    ssh = (*tool, "ssh", options.name, *place, "--worker=all", f"--command={start}")
    return [*steps, Command(ssh)]


def _gke(options: LaunchOptions) -> list[Step]:
    mount = pathlib.PurePosixPath(options.mount)
    if not pathlib.PurePosixPath(options.workdir).is_relative_to(mount):
        raise ValueError(
            f"--workdir must be inside --mount={options.mount}, found {options.workdir}: what a "
            "pod writes elsewhere is lost with it."
        )
    is_tpu = options.accelerator.startswith("tpu")
    if is_tpu != bool(options.topology):
        raise ValueError(
            "--topology belongs to TPUs and they need it (2x4): found "
            f"--accelerator={options.accelerator}, --topology={options.topology}."
        )
    processes = []
    if not is_tpu and options.hosts > 1:
        host = f"{options.name}-train-0-0.{options.name}"  # JobSet's name of the first pod
        processes = [
            f"--coordinator_address={host}:{_PORT}",
            f"--num_processes={options.hosts}",
            "--process_id=$(PROCESS_ID)",
        ]
    values = dict(
        name=options.name,
        accelerator=json.dumps(options.accelerator),
        image=json.dumps(options.image),
        code=json.dumps(options.code),
        command=json.dumps(_program(options, *processes)),
        hosts=str(options.hosts),
        chips=str(options.chips),
        claim=json.dumps(options.claim),
        mount=json.dumps(options.mount),
        grace_s=str(options.grace_s),
        max_restarts=str(options.max_restarts),
    )
    if is_tpu:
        values["topology"] = json.dumps(options.topology)
    text = fill(f"gke_jobset_{'tpu' if is_tpu else 'gpu'}.yaml", values)
    path = str(pathlib.Path(options.output, f"{options.name}.jobset.yaml"))
    submit = ("kubectl", "create", f"--namespace={options.namespace}", f"--filename={path}")
    return [File(path, text), Command(submit)]


def show(steps: Sequence[Step]) -> str:
    """What `carry_out` would do."""
    parts = []
    for number, step in enumerate(steps, 1):
        if isinstance(step, File):
            parts.append(f"--- {number}. writes {step.path}\n{step.text}")
        else:
            parts.append(f"--- {number}. runs\n{shlex.join(step.words)}\n")
    return "".join(parts)


def carry_out(steps: Sequence[Step]) -> None:
    """Writes and runs, in order; stops at the first failure."""
    for step in steps:  # before anything is written
        if isinstance(step, Command) and shutil.which(step.words[0]) is None:
            raise RuntimeError(
                f"{step.words[0]}: no such command here; start this where jobs are submitted, or "
                "look at it with --dry_run."
            )
    for step in steps:
        if isinstance(step, File):
            path = pathlib.Path(step.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text(step.text, encoding="utf-8")
            temporary.replace(path)
            print(f"wrote {path}", flush=True)
        else:
            print(shlex.join(step.words), flush=True)
            status = subprocess.run(step.words).returncode
            if status:
                raise RuntimeError(f"{shlex.join(step.words)}: ended with status {status}.")
