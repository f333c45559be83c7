"""An exported tracker gives the masks of the model, from its file and folder alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from surgjax.inference import exported
from surgjax.inference.export import FILES, check, export_tracker
from surgjax.inference.exported import ExportedTracker, nested
from surgjax.inference.stream import Stream
from surgjax.testing import debug_config, lively_params, moving_squares

CONFIG = debug_config()
SIDE = CONFIG.image_size
FRAMES = moving_squares(10, SIDE, SIDE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    stream = Stream.create(CONFIG, memory="divemem", memory_options="gamma=-9,delta=2")
    params = lively_params(CONFIG)
    export_tracker(folder, stream, params, objects=2, points=3, about={"model": "debug"})
    return folder, stream, params


def test_what_is_reloaded_tracks_as_the_model(made):
    folder, stream, params = made
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert check(folder, stream, params, list(FRAMES), 1e-4) <= 1e-4


def test_the_check_can_fail(made):
    folder, stream, _ = made
    with pytest.raises(ValueError, match="masks differ by"):
        check(folder, stream, lively_params(CONFIG, 1), list(FRAMES[:2]), 1e-4)


SCRIPT = """
import json, sys
import numpy as np
from exported import ExportedTracker
frames = np.load("frames.npy")
tracker = ExportedTracker("tracker")
state, found = tracker.init(), []
for t, frame in enumerate(frames):
    prompts = tracker.no_prompts()
    if t == 0:
        tracker.add_box(prompts, 0, [8, 8, 40, 40])
    if t == 2:
        mask = np.zeros((64, 64), bool)
        mask[30:50, 10:30] = True
        tracker.add_mask(prompts, 1, mask)
    state, output = tracker.track(state, tracker.encode(frame), prompts)
    found.append(np.asarray(output["low_res"]))
    print(t, np.asarray(output["ran"]).tolist())
np.save("found.npy", np.stack(found))
print(json.dumps(sorted(m for m in sys.modules if m.split(".")[0] in ("surgjax", "flax"))))
"""


def test_it_runs_without_the_code_of_the_model(made, tmp_path):
    """Another process, elsewhere, with the one file and the folder beside it."""
    folder, _, _ = made
    shutil.copytree(folder, tmp_path / "tracker")
    shutil.copy(exported.__file__, tmp_path / "exported.py")
    np.save(tmp_path / "frames.npy", FRAMES[:4])
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    *ran, modules = done.stdout.strip().splitlines()
    assert json.loads(modules) == []
    assert ran == ["0 [True, False]", "1 [True, False]", "2 [True, True]", "3 [True, True]"]
    found = np.load(tmp_path / "found.npy")
    assert found.shape == (4, 2, SIDE // 4, SIDE // 4)
    assert np.abs(found[3] - found[2]).max() > 0.01


def test_what_does_not_fit_is_named(made, tmp_path):
    tracker = ExportedTracker(made[0])
    prompts = tracker.no_prompts()
    with pytest.raises(ValueError, match=r"frame: uint8 \(64, 64, 3\) expected, float32 \(64"):
        tracker.encode(np.zeros((64, 64, 3), np.float32))
    with pytest.raises(ValueError, match="slot 2: this tracker has slots 0 to 1"):
        tracker.add_box(prompts, 2, [0, 0, 5, 5])
    with pytest.raises(ValueError, match="n from 1 to 3"):
        tracker.add_points(prompts, 0, np.zeros((4, 2)), [1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"mask: 64 squared expected, \(16, 16\)"):
        tracker.add_mask(prompts, 0, np.zeros((16, 16), bool))
    copy = Path(shutil.copytree(made[0], tmp_path / "copy"))
    (copy / "track.jax").write_bytes((copy / "track.jax").read_bytes()[:-1])
    with pytest.raises(ValueError, match="track.jax: sha256 .* expected"):
        ExportedTracker(copy)
    with pytest.raises(ValueError, match="not an exported tracker"):
        ExportedTracker(tmp_path)
    with pytest.raises(ValueError, match="platforms of cpu, cuda"):
        export_tracker(tmp_path, *made[1:], platforms=["abacus"])


def test_programs_are_of_a_platform(tmp_path):
    stream = Stream.create(CONFIG)
    export_tracker(tmp_path, stream, lively_params(CONFIG), objects=1, points=2, platforms=["tpu"])
    with pytest.raises(ValueError, match="made for tpu, not cpu"):
        ExportedTracker(tmp_path)


def test_names_are_paths():
    assert nested({"a/b": 1, "a/c/d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
