"""What a launch would do, compared with committed texts; the scripts run with stand-in tools."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest
import yaml

from experiments import launching
from experiments.launching import Command, File, LaunchOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = pathlib.Path(__file__).with_name("launch_texts")
COMMON = dict(
    name="tiny", workdir="/shared/runs/tiny", config="configs/promptable_sam2/generated_nano.py"
)
OPTIONS = {
    "slurm": dict(
        kind="slurm", code="/shared/surgjax", nodes=2, gpus_per_node=4, partition="gpu",
        setup=("source .venv/bin/activate",), arguments=("--data=/shared/data",),
    ),
    "tpu_vm": dict(
        kind="tpu_vm", zone="us-central2-b", project="my-project", create=True, spot=True,
        accelerator="v5litepod-16", runtime_version="v2-alpha-tpuv5-lite", commit="0123abc",
        repository="REPOSITORY", setup=("sudo mount -t nfs SERVER:/runs /shared",),
    ),
    "gke_tpu": dict(
        kind="gke", code="/surgjax", accelerator="tpu-v5-lite-podslice", topology="2x4", hosts=2,
        image="REGISTRY/surgjax:1", claim="runs", mount="/shared",
    ),
    "gke_gpu": dict(
        kind="gke", code="/surgjax", accelerator="nvidia-l4", hosts=2, chips=8,
        image="REGISTRY/surgjax:1", claim="runs", mount="/shared",
        arguments=("--data=/shared/a b",),
    ),
}  # fmt: skip


def options(case, **changes):
    return LaunchOptions(**(COMMON | OPTIONS[case] | changes))


def _flags(case):
    values = COMMON | OPTIONS[case]
    further = values.pop("arguments", ())
    for name, value in values.items():
        for item in value if isinstance(value, tuple) else (value,):
            yield f"--{name}" if item is True else f"--{name}={item}"
    if further:
        yield from ("--", *further)


@pytest.mark.parametrize("case", OPTIONS)
def test_dry_run_prints_the_committed_text(case, tmp_path):
    command = [sys.executable, "-m", "experiments.launch", "--dry_run", *_flags(case)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (TEXTS / f"{case}.txt").read_text()
    assert not list(tmp_path.iterdir())  # nothing is written


def test_every_template_has_a_text():
    used = {"slurm.sh", "tpu_vm.sh", "gke_jobset_tpu.yaml", "gke_jobset_gpu.yaml"}
    assert {path.name for path in launching.TEMPLATES.iterdir()} == used
    assert {path.stem for path in TEXTS.iterdir()} == set(OPTIONS)


def _text(case, **changes):
    steps = launching.plan(options(case, **changes))
    return next(step.text for step in steps if isinstance(step, File))


@pytest.mark.parametrize("case", ["gke_tpu", "gke_gpu"])
def test_jobset_holds_what_was_asked_for(case):
    spec = yaml.safe_load(_text(case))["spec"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    assert (job["parallelism"], job["completions"], job["backoffLimit"]) == (2, 2, 0)
    codes = job["podFailurePolicy"]["rules"][0]["onExitCodes"]
    pod = job["template"]["spec"]
    container = pod["containers"][0]
    assert codes["values"] == [75] and codes["containerName"] == container["name"]
    assert pod["restartPolicy"] == "Never"  # a pod failure policy needs it
    claim = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == claim.keys()
    assert container["command"][:3] == ["python", "-m", "experiments.promptable_sam2.main"]
    assert "--workdir=/shared/runs/tiny" in container["command"]
    if case == "gke_gpu":
        assert container["command"][-4:] == [
            "--data=/shared/a b",
            "--coordinator_address=tiny-train-0-0.tiny:8476",
            "--num_processes=2",
            "--process_id=$(PROCESS_ID)",
        ]
        assert container["env"][0]["name"] == "PROCESS_ID"
    alone = yaml.safe_load(_text(case, hosts=1))["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert "coordinator" not in str(alone["template"]["spec"]["containers"][0]["command"])


def test_a_job_without_gpus_or_partition_has_no_line_for_them():
    text = _text("slurm", gpus_per_node=0, partition="")
    assert "gres" not in text and "partition" not in text and "{{" not in text
    assert "--ntasks-per-node=1\n" in text


@pytest.fixture
def tools(tmp_path):
    """A folder of stand-ins for commands, first on the path; each call is written down."""
    folder = tmp_path / "tools"
    folder.mkdir()

    def add(name, body="exit 0"):
        path = folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{body}\n')
        path.chmod(0o755)

    add.environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    add.calls = lambda: [line for line in (tmp_path / "calls").read_text().splitlines()]
    return add


def _start_slurm(tools, tmp_path, body):
    tools("srun", body)
    tools("scontrol")
    script = tmp_path / "job.sh"
    script.write_text(_text("slurm", code=str(tmp_path), setup=("export MARK=set",)))
    environment = tools.environment | {"SLURM_JOB_ID": "4711"}
    return subprocess.Popen(["bash", str(script)], env=environment)


@pytest.mark.parametrize(("status", "is_requeued"), [(0, False), (75, True), (1, False)])
def test_a_saved_job_goes_back_to_the_queue(tools, tmp_path, status, is_requeued):
    job = _start_slurm(tools, tmp_path, f'[ "$MARK" = set ] && exit {status}')
    assert job.wait(20) == status
    assert tools.calls()[0].startswith("srun --cpus-per-task=8 --kill-on-bad-exit=0 python -m ")
    assert tools.calls()[1:] == (["scontrol requeue 4711"] if is_requeued else [])


def test_a_signal_to_the_job_waits_for_its_processes(tools, tmp_path):
    ready = tmp_path / "ready"
    job = _start_slurm(tools, tmp_path, f"touch {ready}; sleep 1; exit 75")
    for _ in range(200):
        if ready.exists():
            break
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 75
    assert tools.calls()[-1] == "scontrol requeue 4711"


def test_a_tpu_worker_goes_on_after_a_notice_and_ends_with_the_run(tools, tmp_path):
    venv = tmp_path / "surgjax" / ".venv" / "bin"
    venv.mkdir(parents=True)
    for name in ("python", "activate"):
        (venv / name).touch(0o755)
    for name in ("git", "pip", "sudo"):
        tools(name)
    count = tmp_path / "count"
    tools("python", f"echo >> {count}; [ $(wc -l < {count}) -ge 3 ] && exit 4; exit 75")
    script = tmp_path / "worker.sh"
    script.write_text(_text("tpu_vm"))
    done = subprocess.run(["bash", str(script)], cwd=tmp_path, env=tools.environment, timeout=20)
    assert done.returncode == 4
    calls = [call.split()[0] for call in tools.calls()]
    assert calls == ["sudo", "git", "git", "pip", *["python"] * 3]


def test_carrying_out_writes_and_runs_in_order(tools, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", tools.environment["PATH"])
    tools("sbatch")
    place = str(tmp_path / "new")
    steps = launching.plan(options("slurm", output=place, workdir=str(tmp_path / "run")))
    launching.carry_out(steps)
    script = pathlib.Path(place, "tiny.slurm.sh")
    assert script.read_text() == steps[0].text and (tmp_path / "run").is_dir()
    assert tools.calls() == [f"sbatch {script}"]
    assert shlex.join(["sbatch", str(script)]) in capsys.readouterr().out
    tools("sbatch", "exit 3")
    with pytest.raises(RuntimeError, match="sbatch .*: ended with status 3"):
        launching.carry_out(steps)


def test_a_missing_tool_is_named_before_anything_is_written(tmp_path):
    steps = [File(str(tmp_path / "file"), "text"), Command(("no-such-tool", "x"))]
    with pytest.raises(RuntimeError, match="no-such-tool: no such command here.*--dry_run"):
        launching.carry_out(steps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("slurm", dict(kind="pbs"), "--kind: one of slurm, tpu_vm, gke expected, found 'pbs'"),
        ("slurm", dict(code=""), "--code is needed for --kind=slurm"),
        ("slurm", dict(zone="z"), "--zone has no meaning for --kind=slurm"),
        ("slurm", dict(nodes=0), "--nodes must be 1 or more, found 0"),
        ("slurm", dict(name="Tiny_1"), "--name: .*found 'Tiny_1'"),
        ("slurm", dict(name="a" * 41), "--name: at most 40"),
        ("slurm", dict(workdir="runs/tiny"), "--workdir: a path from the root.*'runs/tiny'"),
        ("slurm", dict(partition="gpu --exclusive"), "--partition: no spaces"),
        ("slurm", dict(config="a\nb"), "--config must be one line"),
        ("tpu_vm", dict(repository=""), "--repository is needed"),
        ("tpu_vm", dict(create=False), "are for --create"),
        ("tpu_vm", dict(runtime_version=""), "--create needs --accelerator and --runtime_version"),
        ("gke_tpu", dict(topology=""), "--topology belongs to TPUs"),
        ("gke_gpu", dict(topology="2x4"), "--topology belongs to TPUs"),
        ("gke_gpu", dict(workdir="/elsewhere/tiny"), "--workdir must be inside --mount=/shared"),
        ("gke_gpu", dict(setup=("x",)), "--setup has no meaning for --kind=gke"),
    ],
)
def test_settings_that_cannot_be(case, changes, message):
    with pytest.raises(ValueError, match=message):
        launching.plan(options(case, **changes))


def test_templates_and_values_have_to_match(tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "TEMPLATES", tmp_path)
    (tmp_path / "a.sh").write_text("{{one}}\n{{two}}\nx {{two}}\n")
    assert launching.fill("a.sh", {"one": "1", "two": ""}) == "1\nx \n"
    with pytest.raises(ValueError, match=r"fields \['three', 'two'\] do not match"):
        launching.fill("a.sh", {"one": "", "three": ""})
    with pytest.raises(ValueError, match="no such template; start this from a checkout"):
        launching.fill("b.sh", {})
