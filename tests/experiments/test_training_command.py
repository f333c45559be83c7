"""The training command itself: interrupted, spread over devices and processes, tracked with.

All of it is slow: each child compiles, or at least traces, the step of SAM 2.
Losses of layouts differ by the order in which float32 numbers are added, and AdamW carries that
into the parameters in full where gradients are small: TOLERANCE is for 12 steps of it, about
a hundred times what was measured.
"""

import json
import os
import random
import signal
import time

import cv2
import numpy as np
import pytest

from experiments.promptable_sam2 import debug_data
from surgjax.synthetic import generate_clip
from surgjax.train import PREEMPTED_STATUS
from surgjax.train.checkpointing import steps_in
from tests.experiments import training_launches as launches
from tests.train import children

pytestmark = pytest.mark.slow
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """(folder, words of the command but the workdir's) and the undisturbed run's curve."""
    folder = tmp_path_factory.mktemp("training")
    debug_data.write_sets(folder / "data", ["davis_folder"])
    config = launches.write_config(folder)

    def command(name, *more):
        return launches.command(config, folder / "data", folder / name, folder / "cache", *more)

    whole = launches.start(command("whole"))
    out, err = whole.communicate(timeout=1800)
    assert whole.returncode == 0, err[-3000:]
    assert "finished; averaged parameters" in out
    found = launches.curve(folder / "whole")
    assert [line["step"] for line in found] == list(range(1, launches.STEPS + 1))
    return folder, command, found


def test_sigterm_and_kill_do_not_change_the_curve(setting):
    folder, command, whole = setting
    rng, workdir = random.Random(4), folder / "parts"
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        known = max(steps_in(workdir), default=0)
        process = launches.start(command("parts"))
        end = time.monotonic() + 900
        while max(steps_in(workdir), default=0) <= known and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.5))
        before = max(steps_in(workdir))
        process.send_signal(number)
        _, err = process.communicate(timeout=900)
        expected = PREEMPTED_STATUS if number == signal.SIGTERM else -number
        assert process.returncode in (expected, 0), err[-3000:]
        assert max(steps_in(workdir)) >= before
    last = launches.start(command("parts"))
    _, err = last.communicate(timeout=900)
    assert last.returncode == 0, err[-3000:]
    assert launches.curve(workdir) == whole


@pytest.mark.parametrize(
    "name, devices, processes, mesh",
    [
        ("data", 8, 1, ("data=8", "fsdp=1")),
        ("both", 8, 1, ("data=2", "fsdp=4")),
        ("processes", 2, 2, ("data=2", "fsdp=2")),
    ],
)
def test_other_layouts_have_the_same_losses(setting, name, devices, processes, mesh):
    folder, command, whole = setting
    port = children.free_port()
    words = [f"--config.mesh.{each}" for each in mesh]
    runs = []
    for index in range(processes):
        joined = [f"--coordinator_address=localhost:{port}", f"--num_processes={processes}"]
        joined = [*joined, f"--process_id={index}"] if processes > 1 else []
        environment = {"JAX_NUM_CPU_DEVICES": str(devices)}
        runs.append(launches.start(command(name, *words, *joined), environment))
    for run in runs:
        _, err = run.communicate(timeout=2400)
        assert run.returncode == 0, err[-3000:]
    found = launches.curve(folder / name)
    losses = [line["loss"] for line in found]
    np.testing.assert_allclose(losses, [line["loss"] for line in whole], rtol=TOLERANCE)
    assert np.ptp(losses) > 1e-2 * losses[0]  # training changes more than layouts do
    print(name, max(abs(a / b["loss"] - 1) for a, b in zip(losses, whole, strict=True)))


def test_the_export_is_what_track_takes(setting):
    folder, _, _ = setting
    frames = folder / "frames"
    frames.mkdir()
    for t, frame in enumerate(generate_clip(3, 3, 64).frames_u8):
        cv2.imwrite(os.fspath(frames / f"{t:05d}.png"), frame[..., ::-1])
    asked = {"objects": [{"id": 1, "prompts": [{"frame": 0, "box": [10, 10, 40, 40]}]}]}
    (folder / "prompts.json").write_text(json.dumps(asked))
    words = ["-m", "experiments.track", f"--video={frames}"]
    words += [f"--prompts={folder / 'prompts.json'}"]
    words += [f"--checkpoint={folder / 'whole' / 'export'}", f"--output={folder / 'tracked'}"]
    (done,) = children.run_all([words], timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((folder / "tracked" / "masks").glob("*.png"))) == 3
