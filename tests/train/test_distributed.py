"""How a process finds out that it is one of several, and what it says where that fails."""

import json

import jax
import pytest

from surgjax.train import distributed
from surgjax.train.distributed import Start
from tests.train import children

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
}
MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
ALONE = {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
FOUR_GPUS = {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}


@pytest.mark.parametrize(
    ("arguments", "environment", "start"),
    [
        ((), {}, Start("single")),
        ((None, 1), SLURM, Start("single")),
        (("h:1", 1, 0), {}, Start("single")),
        (("h:1", 2, 1), {}, Start("explicit", 2, 1, "h:1")),
        (("h:1", 2, 0), SLURM | ALONE, Start("explicit", 2, 0, "h:1")),
        (("h:1",), SLURM, Start("explicit", 8, 5, "h:1")),
        (("h:1",), MPI | {"OMPI_MCA_orte_hnp_uri": ""}, Start("explicit", 4, 3, "h:1")),
        ((), SLURM, Start("slurm", 8, 5)),
        ((), SLURM | ALONE, Start("single")),
        ((), {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, Start("single")),
        ((), MPI, Start("ompi", 4, 3)),
        ((), MPI | {"OMPI_COMM_WORLD_SIZE": "1"}, Start("single")),
        # GPUs: all of them for one process per machine, a share, or the single one that is shown.
        ((), SLURM | FOUR_GPUS, Start("slurm", 8, 5, None, (1,))),
        ((), SLURM | {"SLURM_GPUS_ON_NODE": "4"}, Start("slurm", 8, 5, None, (1,))),
        ((), SLURM | {"CUDA_VISIBLE_DEVICES": "GPU-8f3a"}, Start("slurm", 8, 5, None, (0,))),
        ((), MPI | FOUR_GPUS, Start("ompi", 4, 3, None, (2, 3))),
        ((), MPI | FOUR_GPUS | {"JAX_PLATFORMS": "cpu"}, Start("ompi", 4, 3)),
        (
            (),
            SLURM | FOUR_GPUS | {"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x8)"},
            Start("slurm", 8, 5, None, (0, 1, 2, 3)),
        ),
    ],
)
def test_what_is_found(arguments, environment, start):
    assert distributed.detect(*arguments, environment=environment, has_tpu=False) == start


def test_tpus(tmp_path, monkeypatch):
    assert distributed.detect(environment={}, has_tpu=True) == Start("tpu", None, None)
    alone = {"TPU_WORKER_HOSTNAMES": "localhost"}
    assert distributed.detect(environment=alone, has_tpu=True) == Start("single")
    many = {"TPU_WORKER_HOSTNAMES": "w0,w1"}
    assert distributed.detect(environment=many, has_tpu=True).kind == "tpu"

    find = distributed.importlib.util.find_spec
    monkeypatch.setattr(
        distributed.importlib.util, "find_spec", lambda name: name == "libtpu" or find(name)
    )
    (tmp_path / "0000:00:04.0").mkdir()
    vendor = tmp_path / "0000:00:04.0" / "vendor"
    vendor.write_text("0x10de\n")
    assert not distributed._has_tpu({}, str(tmp_path))
    vendor.write_text("0x1ae0\n")
    assert distributed._has_tpu({}, str(tmp_path))
    assert distributed._has_tpu({"JAX_PLATFORMS": "tpu,cpu"}, str(tmp_path))
    assert not distributed._has_tpu({"JAX_PLATFORMS": "cpu"}, str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("h:1",), {}, "num_processes, process_id missing"),
        ((None, 2, 0), {}, "coordinator_address missing"),
        (("h:1", 2), {}, "^process_id missing"),
        (("h", 2, 0), {}, "coordinator address 'h': HOST:PORT expected"),
        (("h:1", 2, 2), {}, "process_id must be 0..num_processes-1, found process_id 2 of"),
        (("h:1", 1, 1), {}, "found process_id 1 of num_processes 1"),
        (("h:1", 4, 5), SLURM, "found process_id 5 of num_processes 4"),
        (
            ("h:1", 8, 4),
            SLURM,
            "process 4 of 8 was asked for, but slurm started this one as 5 of 8",
        ),
        ((), SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, "SLURM_NTASKS is 8, but srun has not started"),
        (
            (),
            {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
            "start it with `srun",
        ),
        ((), SLURM | {"SLURM_LOCALID": "x"}, "SLURM_LOCALID: a number expected, found 'x'"),
        ((), SLURM | {"CUDA_VISIBLE_DEVICES": "0,1,2"}, "4 processes on this machine cannot share"),
        ((), {k: v for k, v in MPI.items() if "orte" not in k}, "pass --coordinator_address=HOST"),
    ],
)
def test_contradictions_are_refused(arguments, environment, message):
    with pytest.raises(ValueError, match=message):
        distributed.detect(*arguments, environment=environment, has_tpu=False)


def test_alone_nothing_is_started_and_all_agree(capsys, monkeypatch):
    monkeypatch.setattr(distributed, "detect", lambda *_: Start("single"))
    found = distributed.initialize()
    assert not jax.distributed.is_initialized()
    devices = jax.device_count()
    text = f"process 0 of 1 (single): {devices} of {devices} cpu devices\n"
    assert capsys.readouterr().out == text == f"{found}\n"
    distributed.check_same("config", "any")


def _environments(kind, port):
    """Two tasks as their scheduler would describe them; nothing else of it is needed."""
    for index in range(2):
        common = {"JAX_COORDINATOR_PORT": str(port)}
        if kind == "slurm":
            yield (
                common
                | SLURM
                | {
                    "SLURM_NTASKS": "2",
                    "SLURM_STEP_NUM_TASKS": "2",
                    "SLURM_PROCID": str(index),
                    "SLURM_LOCALID": str(index),
                    "SLURM_STEP_NODELIST": "localhost",
                }
            )
        elif kind == "ompi":
            yield (
                common
                | MPI
                | {
                    "OMPI_COMM_WORLD_SIZE": "2",
                    "OMPI_COMM_WORLD_RANK": str(index),
                    "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
                    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
                }
            )
        else:
            yield {}


@pytest.mark.parametrize("kind", ["explicit", "slurm", "ompi"])
def test_two_processes_start_and_agree(kind, tmp_path):
    port, files = children.free_port(), [tmp_path / f"{i}.json" for i in range(2)]
    commands = [
        ["-m", "tests.train.process_start", str(file)]
        + ([f"localhost:{port}", "2", str(i)] if kind == "explicit" else [])
        for i, file in enumerate(files)
    ]
    done = children.run_all(commands, list(_environments(kind, port)), 120)
    assert [child.returncode for child in done] == [0, 0], [c.stderr[-3000:] for c in done]
    for index, child in enumerate(done):
        lines = child.stdout.splitlines()
        start = f"process {index} of 2 ({kind}): 2 of 4 cpu devices"
        assert lines[:2] == [start, start]
        said = json.loads(files[index].read_text())
        assert said["same"] == "no error"
        assert said["differs"].startswith("config of processes [1] differs from that of process 0")
        assert "a batch of 3 on a mesh of data=1, fsdp=4 cannot be shared by 2" in said["rows"]
        assert said["placed"] == [True, True]
        assert "(10, 2)" in said["short"]  # 5 of 8 rows from each


def test_a_scheduler_whose_processes_do_not_come_is_named():
    (environment, _) = _environments("slurm", children.free_port())
    command = ["-c", "from surgjax.train import distributed; distributed.initialize(timeout_s=3)"]
    (done,) = children.run_all([command], [environment], 120)
    assert done.returncode == 1
    assert "(slurm, this is 0 of 2) did not come together within 3 s" in done.stderr
    assert "Check failure stack trace" not in done.stderr
