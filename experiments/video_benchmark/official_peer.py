"""The original SAM 2 code with our weights, driven through its own video predictor.

Path:    a checkout of facebookresearch/sam2 -> [official_peer] -> torch_peer -> rounds
Axes:    see torch_peer.
Errors:  ValueError for a checkout without the model's YAML file; RuntimeError of torch where the
         weights do not fit.
Source:  sam2 1.1.0: its YAML files and `sam2_video_predictor.py`, run as they are.
Differs: the checkout is only imported, never installed. hydra and iopath, which it imports to read
         its YAML files and to download, have stand-ins here where they are missing; the predictor
         gets the settings that the original's builder gives it, but no hole filling, which needs a
         compiled extension and is off on our side. Frames come as one tensor, not from its loader.
         Without autocast its first tracked frames mix bf16 memories with fp32 weights and fail, so
         memories are cast to fp32 where attention reads them.
"""

import importlib
import re
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.video_benchmark.torch_peer import TorchPeer
from surgjax.models.variants import Sam2Config

LETTERS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


def add_to_path(repository: str | Path) -> None:
    """Makes `import sam2` find the checkout, with stand-ins for what it imports and never calls."""
    folder = str(Path(repository).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    hydra = types.SimpleNamespace(is_initialized=lambda: True)
    needed: dict[str, dict[str, Any]] = {
        "hydra": dict(initialize_config_module=None),
        "hydra.core": {},
        "hydra.core.global_hydra": dict(GlobalHydra=types.SimpleNamespace(instance=lambda: hydra)),
        "iopath": {},
        "iopath.common": {},
        "iopath.common.file_io": dict(g_pathmgr=None),
    }
    for name, content in needed.items():
        try:
            importlib.import_module(name)
        except ImportError:
            module = types.ModuleType(name)
            module.__dict__.update(content)
            sys.modules[name] = module


def made_of(node: Any) -> Any:
    """A node of the YAML tree as an object: `_target_` names its class, the rest are arguments."""
    if isinstance(node, list):
        return [made_of(item) for item in node]
    if not isinstance(node, dict):
        return node
    arguments = {name: made_of(value) for name, value in node.items() if name != "_target_"}
    if "_target_" not in node:
        return arguments
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


def read_model(path: Path) -> dict[str, Any]:
    """The tree of the model in one of the original's YAML files."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 takes 1e-6 for a text."""

    number = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return yaml.load(path.read_text(), Loader)["model"]


def settings(repository: str | Path, config: Sam2Config) -> dict[str, Any]:
    """The model's YAML tree with the image size and the builder's settings for videos."""
    folder, stem = ("sam2.1", "sam2.1") if config.version == "2.1" else ("sam2", "sam2")
    name = f"{stem}_hiera_{LETTERS[config.name]}.yaml"
    path = Path(repository) / "sam2" / "configs" / folder / name
    if not path.is_file():
        raise ValueError(f"--official_repo={repository}: {path} expected, not found.")

    return read_model(path) | {
        "_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor",
        "image_size": config.image_size,
        "binarize_mask_from_pts_for_mem_enc": True,
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": config.dynamic_multimask,
            "dynamic_multimask_stability_delta": config.stability_delta,
            "dynamic_multimask_stability_thresh": config.stability_threshold,
        },
    }


class OfficialPeer(TorchPeer):
    """state: weights by the official names; None leaves them as torch draws them."""

    def __init__(
        self,
        repository: str | Path,
        config: Sam2Config,
        state: Mapping[str, np.ndarray] | None,
        threads: int,
        autocast: str | None = None,
        where: str = "cpu",
        compiled: bool = False,
    ):
        super().__init__(threads, autocast, where)
        import torch

        self.name = "official"
        self.device = f"{where}, torch {torch.__version__}, sam2 of facebookresearch"
        add_to_path(repository)
        self.model = made_of(settings(repository, config)).eval()
        if state is not None:
            tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
            self.model.load_state_dict(tensors)
        self.model.to(where)
        if compiled:
            self.compile(self.model, "image_encoder", "memory_attention", "memory_encoder")
            self.compile(self.model, "sam_prompt_encoder", "sam_mask_decoder")
        self.module: Any = importlib.import_module("sam2.sam2_video_predictor")
        if autocast is None:
            self._read_memories_as_float32()
        for owner, method, part in (
            (self.model, "forward_image", "image_encoder"),
            (self.model.memory_attention, "forward", "memory_attention"),
            (self.model, "_forward_sam_heads", "mask_decoder"),
            (self.model, "_encode_new_memory", "memory_encoder"),
            (self.model, "_get_orig_video_res_output", "video_masks"),
        ):
            self.time_calls(owner, method, part)

    def _read_memories_as_float32(self) -> None:
        def cast(_: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            return args, kwargs | {"memory": kwargs["memory"].float()}

        self.model.memory_attention.register_forward_pre_hook(cast, with_kwargs=True)

    def start(self, frames: Any, size: tuple[int, int], boxes: list[list[float]]) -> Iterator[Any]:
        self.module.load_video_frames = lambda **_: (frames.to(self.where), *size)
        self.module.tqdm = lambda order, **_: order
        state = self.model.init_state(video_path="given frames")
        for k, box in enumerate(boxes):
            self.model.add_new_points_or_box(state, 0, k + 1, box=np.array(box, np.float32))
        return iter(self.model.propagate_in_video(state))

    def masks_of(self, output: Any) -> np.ndarray:
        _, _, logits = output
        return (logits[:, 0] > 0).cpu().numpy()
