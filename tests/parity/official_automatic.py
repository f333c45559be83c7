"""The original's automatic mask generator of sam2 1.1.0, at the sizes of any of our variants.

Path:    a checkout (tests.parity.official_training), weights by official names
         -> [official_automatic] -> make_automatic_masks, test_automatic_masks
Axes:    images uint8 (H, W, 3).
Errors:  RuntimeError of torch, naming the keys, where the weights do not fit.
Source:  sam2 1.1.0: sam2/automatic_mask_generator.py, sam2/sam2_image_predictor.py.
Differs: its predictor writes out the sizes of features at 1024 px, which are replaced. Connected
         components come from OpenCV: the original has them in its CUDA extension alone. Where
         torchvision is not installed, the four parts of it that are called are stand-ins here;
         their suppression of boxes is written out pair by pair.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from experiments.video_benchmark import official_peer
from surgjax.checkpoints import export_official
from surgjax.models.variants import Sam2Config
from tests.parity import official, official_model


class _ToTensor:
    def __call__(self, image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255


class _Resize(torch.nn.Module):
    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.height, self.width = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = [self.height, self.width]
        return torch.nn.functional.interpolate(x[None], size, mode="bilinear", antialias=True)[0]


class _Normalize(torch.nn.Module):
    def __init__(self, mean: list[float], std: list[float]):
        super().__init__()
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


def _box_area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    assert not idxs.any()
    kept: list[int] = []
    for j in scores.sort(descending=True, stable=True)[1].tolist():
        for i in kept:
            left, top = torch.maximum(boxes[i, :2], boxes[j, :2])
            right, bottom = torch.minimum(boxes[i, 2:], boxes[j, 2:])
            shared = (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
            areas = _box_area(boxes[[i, j]])
            if (shared / (areas[0] + areas[1] - shared)).double() > iou_threshold:
                break
        else:
            kept.append(j)
    return torch.tensor(kept, dtype=torch.int64)


def _stand_ins() -> None:
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    for name, content in {
        "torchvision": {},
        "torchvision.ops": {},
        "torchvision.ops.boxes": dict(batched_nms=_batched_nms, box_area=_box_area),
        "torchvision.transforms": dict(Normalize=_Normalize, Resize=_Resize, ToTensor=_ToTensor),
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module


def _components(masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """8-connected components of masks (N, 1, H, W): labels from 1 and areas, 0 outside."""
    labels, areas = np.zeros(masks.shape, np.int32), np.zeros(masks.shape, np.int32)
    for row, (mask,) in enumerate(masks.numpy().astype(np.uint8)):
        _, found, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        labels[row, 0] = found
        areas[row, 0] = np.where(found > 0, stats[:, cv2.CC_STAT_AREA][found], 0)
    return torch.from_numpy(labels), torch.from_numpy(areas)


def prepare(checkout: Path) -> None:
    """Makes sam2.automatic_mask_generator importable."""
    official.fetch(checkout)
    _stand_ins()


def build(checkout: Path, config: Sam2Config, params: dict[str, Any], **options: Any) -> Any:
    """SAM2AutomaticMaskGenerator with weights of ours; `options` are its own."""
    prepare(checkout)
    tree = official_model.settings(checkout, config) | dict(
        sam_mask_decoder_extra_args=dict(
            dynamic_multimask_via_stability=True,
            dynamic_multimask_stability_delta=0.05,
            dynamic_multimask_stability_thresh=0.98,
        )
    )
    parts = {name: official_peer.made_of(value) for name, value in tree.items()}
    with official_model.decoder_sizes(config):
        model = importlib.import_module("sam2.modeling.sam2_base").SAM2Base(**parts)
    state = export_official(params, config)
    model.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    importlib.import_module("sam2.utils.misc").get_connected_components = _components
    module = importlib.import_module("sam2.automatic_mask_generator")
    generator = module.SAM2AutomaticMaskGenerator(model.eval(), **options)
    sides = [config.image_size // stride for stride in (4, 8, 16)]
    generator.predictor._bb_feat_sizes = [(side, side) for side in sides]
    return generator
