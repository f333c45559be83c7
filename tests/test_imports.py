"""surgjax imports, tracks and loads its weights where torch and TensorFlow cannot be imported."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Importing one of these raises as if it were not installed, whether or not it is.
_BLOCK = """
import sys

FORBIDDEN = ("torch", "tensorflow", "transformers")

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{name} is blocked in this test")

sys.meta_path.insert(0, Blocked())
"""

_TRACK = """
import numpy as np
from surgjax.inference import ImagePredictor, VideoPredictor

frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
predictor = VideoPredictor.from_checkpoint("debug", random_weights=True)
state = predictor.init_state(frames)
predictor.add_new_points_or_box(state, frame_idx=0, obj_id=1, box=[8, 8, 40, 40])
shapes = [logits.shape for _, _, logits in predictor.propagate_in_video(state)]
assert shapes == [(1, 1, 48, 64)] * 3, shapes

image = ImagePredictor.from_checkpoint("debug", random_weights=True)
image.set_image(frames[0])
image.predict(box=np.array([8, 8, 40, 40]))
"""

_NANO = """
import surgjax.checkpoints
assert surgjax.checkpoints.load("nano").config.name == "nano"
"""

_ALL = """
import importlib, pkgutil
import surgjax

names = [module.name for module in pkgutil.walk_packages(surgjax.__path__, "surgjax.")]
assert len(names) > 40, names
for name in names:
    importlib.import_module(name)
"""

_LIGHT = """
import sys
import surgjax

loaded = {"jax", "cv2", "av", "orbax", "PIL", "tensorflow_datasets"} & set(sys.modules)
assert not loaded, loaded
"""


def _run(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", [_ALL, _NANO], ids=["every module", "nano"])
def test_works_without_torch_and_tensorflow(code):
    _run(_BLOCK + code)


def test_tracking_loads_neither_even_where_they_are_installed():
    # No block here: it would hide a guarded `try: import torch`.
    check = "assert not {'torch', 'tensorflow', 'transformers'} & set(sys.modules)"
    _run(f"import sys\n{_TRACK}\n{check}")


def test_the_block_blocks():
    with pytest.raises(AssertionError, match="torch is blocked"):
        _run(_BLOCK + "import torch.nn")


def test_importing_the_package_loads_nothing_heavy():
    _run(_LIGHT)


def _launchers():
    files = sorted((ROOT / "experiments").rglob("*.py"))
    return [
        ".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files if "__" not in f.name
    ]


def _import_blocked(name):
    names = {}
    exec(_BLOCK, names)
    assert not set(names["FORBIDDEN"]) & set(sys.modules)
    importlib.import_module(name)


@pytest.mark.parametrize("launcher", _launchers())
def test_launcher_imports_alone_without_torch_and_tensorflow(launcher, aside):
    aside.submit(_import_blocked, launcher).result(300)


def test_the_block_blocks_there_too(aside):
    with pytest.raises(ModuleNotFoundError, match="torch is blocked"):
        aside.submit(_import_blocked, "torch.nn").result(300)
