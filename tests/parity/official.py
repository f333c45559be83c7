"""Parity with the original PyTorch code, `sam2` 1.1.0 from PyPI: `python -m tests.parity.official`.

Path:    reference.build -> names.official -> sam2's own modules and predictor; ours beside them.
Units:   the clip of clip.py, given to every side as the same normalised tensors.
Errors:  AssertionError, naming stage, frame and object, where a limit is passed.
Source:  sam2 1.1.0, its YAML files read as they are; CUDA extension off.
Differs: hydra, iopath and torchvision are only needed to build sam2's objects, so three small
         stand-ins take their place here; sam2's video loader is replaced by the given tensors.
"""

import importlib
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

PACKAGE = "sam2==1.1.0"
FOLDER = Path(__file__).resolve().parents[2] / "parity_output" / "sam2"
YAML = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def fetch(folder: Path = FOLDER) -> None:
    """Installs the pure-Python part of sam2 into its own folder; nothing else sees it."""
    if not (folder / "sam2").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run(
            [*pip, "--no-build-isolation", "--target", str(folder), PACKAGE],
            check=True,
            env={**os.environ, "SAM2_BUILD_CUDA": "0"},
        )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    _stand_ins()


def _stand_ins() -> None:
    """What sam2 imports but never calls on this path."""

    class _Set:
        @staticmethod
        def instance():
            return types.SimpleNamespace(is_initialized=lambda: True)

    for name, content in {
        "hydra": dict(initialize_config_module=None),
        "hydra.core": {},
        "hydra.core.global_hydra": dict(GlobalHydra=_Set),
        "iopath": {},
        "iopath.common": {},
        "iopath.common.file_io": dict(g_pathmgr=None),
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules.setdefault(name, module)


def _instantiate(node: Any) -> Any:
    """The part of hydra that sam2's files use: `_target_` with keyword arguments, nested."""
    if isinstance(node, list):
        return [_instantiate(item) for item in node]
    if isinstance(node, str) and re.fullmatch(r"\d+e-\d+", node):
        return float(node)  # YAML 1.1 reads 1e-6 as text
    if not isinstance(node, dict):
        return node
    arguments = {key: _instantiate(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


def build(
    variant: str,
    image_size: int,
    state: dict[str, np.ndarray],
    version: str = "2.1",
    keep_corrections: bool = False,
) -> Any:
    """sam2's video predictor from its own YAML with the builder's post-processing flags.

    Hole filling stays off: it needs the CUDA extension, and ours is off by default.
    """
    fetch()
    package = importlib.import_module("sam2")
    stem = "sam2.1_hiera_" if version == "2.1" else "sam2_hiera_"
    path = Path(package.__path__[0]) / "configs" / f"sam{version.rstrip('.0')}"
    tree = yaml.safe_load((path / f"{stem}{YAML[variant]}.yaml").read_text())["model"]
    tree.update(
        _target_="sam2.sam2_video_predictor.SAM2VideoPredictor",
        image_size=image_size,
        binarize_mask_from_pts_for_mem_enc=True,
        add_all_frames_to_correct_as_cond=keep_corrections,
        sam_mask_decoder_extra_args=dict(
            dynamic_multimask_via_stability=True,
            dynamic_multimask_stability_delta=0.05,
            dynamic_multimask_stability_thresh=0.98,
        ),
    )
    model = _instantiate(tree)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    # Without autocast a bank that holds no pointer yet is bf16 and meets fp32 weights.
    model.memory_attention.register_forward_pre_hook(
        lambda _, args, kwargs: (args, {**kwargs, "memory": kwargs["memory"].float()}),
        with_kwargs=True,
    )
    return model.eval()


def open_clip(model: Any, frames: torch.Tensor, video_size: tuple[int, int]) -> dict[str, Any]:
    """sam2's inference state on given normalised tensors."""
    module = importlib.import_module("sam2.sam2_video_predictor")
    load = module.load_video_frames
    module.load_video_frames = lambda **_: (frames, *video_size)
    try:
        return model.init_state(video_path="given tensors")
    finally:
        module.load_video_frames = load
