"""Several processes as one run: how each finds the others, and what they agree on.

Path:    flags, environment of the scheduler -> [distributed] -> jax.distributed -> mesh
Units:   seconds; processes, tasks and devices count from 0.
Errors:  ValueError for settings that contradict each other or the scheduler; RollCallError where
         the processes do not come together (see `roll_call`).
Source:  jax.distributed, whose own detection finds the coordinator under SLURM, Open MPI 4 and on
         TPU pods; variables of the SLURM and Open MPI manuals.
Differs: a single process starts nothing. An allocation whose processes were not started by its
         launcher, where JAX would wait for tasks that never come, is an error here. A GPU process
         takes its share of the machine's GPUs, not always the one of its local index: that one is
         missing where the scheduler shows each task a single GPU, and is too few where there is
         one task per machine.
"""

import dataclasses
import hashlib
import importlib.util
import os
import pathlib
import sys
import threading
from collections.abc import Mapping
from typing import Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from surgjax.train.roll_call import roll_call, split_address

Kind = Literal["single", "explicit", "slurm", "ompi", "tpu"]
_GOOGLE = "0x1ae0"  # vendor of TPUs on the PCI bus


@dataclasses.dataclass(frozen=True)
class Start:
    """How this process begins; None is what JAX finds out."""

    kind: Kind
    count: int | None = 1
    index: int | None = 0
    address: str | None = None
    device_ids: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Processes:
    """What has begun."""

    kind: Kind
    index: int
    count: int
    local_devices: int
    devices: int
    platform: str

    def __str__(self) -> str:
        return (
            f"process {self.index} of {self.count} ({self.kind}): {self.local_devices} of "
            f"{self.devices} {self.platform} devices"
        )


def detect(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    environment: Mapping[str, str] | None = None,
    has_tpu: bool | None = None,
) -> Start:
    """What arguments and environment say, without starting anything.

    Arguments come first; then SLURM, Open MPI and TPU pods; else a single process. Under SLURM and
    Open MPI a coordinator address alone is enough, the rest is the scheduler's.
    """
    env = os.environ if environment is None else environment
    if num_processes == 1 and process_id in (None, 0):
        return Start("single")
    tasks = _slurm(env) or _open_mpi(env)
    if any(value is not None for value in (coordinator_address, num_processes, process_id)):
        return _explicit(coordinator_address, num_processes, process_id, tasks)
    if tasks is None:
        _refuse_outside_srun(env)
        tpu = _has_tpu(env) if has_tpu is None else has_tpu
        is_alone = "," not in env.get("TPU_WORKER_HOSTNAMES", ",")
        return Start("tpu", None, None) if tpu and not is_alone else Start("single")
    if tasks.count == 1:
        return Start("single")
    if tasks.kind == "ompi" and "OMPI_MCA_orte_hnp_uri" not in env:
        raise ValueError(
            "this Open MPI (5 or newer) does not say where process 0 is: pass "
            "--coordinator_address=HOST:PORT with the host of rank 0 (localhost if all ranks are "
            "on one machine) and a free port."
        )
    return tasks


def _explicit(
    address: str | None, count: int | None, index: int | None, tasks: Start | None
) -> Start:
    if tasks is not None:
        count = tasks.count if count is None else count
        index = tasks.index if index is None else index
    if address is None or count is None or index is None:
        named = dict(coordinator_address=address, num_processes=count, process_id=index)
        missing = ", ".join(name for name, value in named.items() if value is None)
        raise ValueError(
            f"{missing} missing: several processes need coordinator_address, num_processes and "
            "process_id, or a scheduler that sets them."
        )
    split_address(address)
    if count < 1 or not 0 <= index < count:
        raise ValueError(
            f"process_id must be 0..num_processes-1, found process_id {index} of num_processes "
            f"{count}."
        )
    if tasks is None or tasks.count == 1:
        return Start("explicit", count, index, address)
    if (tasks.count, tasks.index) != (count, index):
        raise ValueError(
            f"process {index} of {count} was asked for, but {tasks.kind} started this one as "
            f"{tasks.index} of {tasks.count}."
        )
    return Start("explicit", count, index, address, tasks.device_ids)


def _number(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "")
    if not text.isdigit():
        raise ValueError(f"environment variable {name}: a number expected, found {text!r}.")
    return int(text)


def _slurm_step_tasks(env: Mapping[str, str]) -> int:
    """Tasks that srun has started beside this process and with it; 0 outside srun."""
    if not {"SLURM_JOB_ID", "SLURM_PROCID", "SLURM_STEP_NODELIST"} <= env.keys():
        return 0
    # An interactive shell is a step of one task, but has SLURM_NTASKS of its allocation.
    name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in env else "SLURM_NTASKS"
    return _number(env, name)


def _slurm(env: Mapping[str, str]) -> Start | None:
    count = _slurm_step_tasks(env)
    if not count or count != _number(env, "SLURM_NTASKS"):
        return None
    # "4(x2)": tasks on the first machines of the step; launch scripts give all the same number.
    here = env.get("SLURM_STEP_TASKS_PER_NODE", "").split("(")[0].split(",")[0]
    local = _number(env, "SLURM_LOCALID")
    devices = _share_of_gpus(env, local, int(here) if here.isdigit() else None)
    return Start("slurm", count, _number(env, "SLURM_PROCID"), None, devices)


def _refuse_outside_srun(env: Mapping[str, str]) -> None:
    if "SLURM_JOB_ID" in env and env.get("SLURM_NTASKS", "1") != "1":
        raise ValueError(
            f"SLURM_NTASKS is {env['SLURM_NTASKS']}, but srun has not started this process: start "
            "it with `srun python -m ...`, or pass --num_processes=1 for a run of this process "
            "alone."
        )


def _open_mpi(env: Mapping[str, str]) -> Start | None:
    if "OMPI_COMM_WORLD_SIZE" not in env:
        return None
    local = _number(env, "OMPI_COMM_WORLD_LOCAL_RANK")
    devices = _share_of_gpus(env, local, _number(env, "OMPI_COMM_WORLD_LOCAL_SIZE"))
    count, index = _number(env, "OMPI_COMM_WORLD_SIZE"), _number(env, "OMPI_COMM_WORLD_RANK")
    return Start("ompi", count, index, None, devices)


def _share_of_gpus(
    env: Mapping[str, str], local_index: int, tasks_here: int | None
) -> tuple[int, ...] | None:
    """Which of the visible GPUs a task takes; None where the environment does not say."""
    if env.get("JAX_PLATFORMS", "cuda") not in ("cuda", "gpu", "cuda,cpu", "gpu,cpu"):
        return None
    shown = env.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        visible = len([name for name in shown.split(",") if name.strip()])
    else:
        visible = int(env.get("SLURM_GPUS_ON_NODE", "0") or 0)
    if not visible or tasks_here is None:
        return None
    if visible == 1:  # the scheduler shows each task its own, always as number 0
        return (0,)
    if visible % tasks_here:
        raise ValueError(
            f"{tasks_here} processes on this machine cannot share its {visible} GPUs equally: "
            "start one process per GPU, or one per machine."
        )
    each = visible // tasks_here
    return tuple(range(local_index * each, (local_index + 1) * each))


def _has_tpu(env: Mapping[str, str], bus: str = "/sys/bus/pci/devices") -> bool:
    """Whether JAX will find TPUs: its library is here, and so is a chip."""
    platforms = env.get("JAX_PLATFORMS", "")
    if importlib.util.find_spec("libtpu") is None or (platforms and "tpu" not in platforms):
        return False
    return any(
        vendor.read_text().strip() == _GOOGLE for vendor in pathlib.Path(bus).glob("*/vendor")
    )


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout_s: float = 300,
) -> Processes:
    """Joins the other processes, before the first use of a device; prints what is there.

    Call it once per process, first thing. Alone it starts nothing. With others, JAX takes SIGTERM
    from here on, for its preemption service. See `detect` for the arguments.
    """
    start = detect(coordinator_address, num_processes, process_id)
    if start.kind != "single" and not jax.distributed.is_initialized():
        if start.address and start.count is not None and start.index is not None:
            roll_call(start.address, start.count, start.index, timeout_s)
        start = _join(start, timeout_s)
    found = Processes(
        start.kind,
        jax.process_index(),
        jax.process_count(),
        jax.local_device_count(),
        jax.device_count(),
        jax.devices()[0].platform,
    )
    if start.count is not None and found.count != start.count:
        raise ValueError(
            f"{start.count} processes were to be started, but JAX has found {found.count}."
        )
    if found.devices != found.local_devices * found.count:
        logging.warning("processes have different numbers of devices: %s", found)
    print(found, flush=True)
    return found


def _join(start: Start, timeout_s: float) -> Start:
    """jax.distributed.initialize, with words where JAX would end the process without."""

    def give_up() -> None:  # from a thread: the main one is inside JAX and cannot raise
        print(
            f"surgjax: the processes of this run ({start.kind}, this is {start.index} of "
            f"{start.count}) did not come together within {timeout_s:.0f} s. Has every one been "
            "started, and can their machines reach the port of process 0? JAX_COORDINATOR_PORT "
            "chooses another.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)

    methods = {"explicit": "deactivate", "slurm": "slurm", "ompi": "ompi"}
    watch = threading.Timer(timeout_s, give_up)
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            start.address,
            start.count,
            start.index,
            local_device_ids=start.device_ids,
            cluster_detection_method=methods.get(start.kind),
            initialization_timeout=int(timeout_s) + 60,  # ours comes first
        )
    except ValueError as error:
        if start.kind == "tpu" and "coordinator_address" in str(error):
            return Start("single")  # chips without a pod around them
        raise
    finally:
        watch.cancel()
    return start


def check_same(what: str, text: str) -> None:
    """ValueError, in every process, unless all have the same text (a config, versions)."""
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    gathered = np.asarray(multihost_utils.process_allgather(digest))
    others = np.flatnonzero((gathered != gathered[0]).any(-1)).tolist()
    if others:
        raise ValueError(
            f"{what} of processes {others} differs from that of process 0: start all processes of "
            "a run with the same code and settings."
        )


def wait_for_all(what: str, timeout_s: float = 3600.0) -> None:
    """Until every process has come here with the same `what`.

    It waits in the coordination service, without a device: a collective on the CPU's would have
    Gloo begin, whose own patience ends after 30 s.
    """
    wait = ocp.multihost.get_barrier_sync_fn()
    wait(key=f"surgjax/{what}", timeout_ms=int(timeout_s * 1000))
