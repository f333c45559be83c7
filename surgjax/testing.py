"""Debug-size models and scenes for tests, and the lively weights that make a test able to fail.

Units:   frames uint8 RGB.
Source:  ours.
"""

import copy

import numpy as np

from surgjax.models.sam2 import init_params
from surgjax.models.variants import Sam2Config, get_config


def debug_config(image_size: int = 64, version: str = "2.1") -> Sam2Config:
    """The smallest model with every part of the real ones."""
    return get_config("debug", version, image_size)


def lively_params(config: Sam2Config, seed: int = 0, object_bias: float = 2.0) -> dict:
    """Random weights whose masks differ from frame to frame: fresh ones answer near zero all over.

    Weights are doubled (PyTorch's default shrinks what passes), biases get noise, layer scales are
    raised so the memory encoder's blocks matter, mask logits are spread, and the object score is
    moved so that objects are present.
    """
    rng = np.random.default_rng(seed)
    params = copy.deepcopy(init_params(config, seed))

    def visit(node: dict) -> None:
        for name, value in node.items():
            if isinstance(value, dict):
                visit(value)
            elif name == "bias":
                node[name] = rng.normal(0, 0.1, value.shape).astype(np.float32)
            elif name == "kernel":
                node[name] = value * 2.0
            elif name == "gamma":
                node[name] = np.full_like(value, 0.5)
            elif name in ("maskmem_tpos_enc", "no_obj_ptr", "no_mem_embed", "no_obj_embed_spatial"):
                node[name] = rng.normal(0, 0.5, value.shape).astype(np.float32)

    visit(params)
    decoder = params["sam_mask_decoder"]
    for i in range(4):
        decoder[f"output_hypernetworks_mlps_{i}"]["layers_2"]["kernel"] *= 10.0
    decoder["pred_obj_score_head"]["layers_2"]["bias"] += object_bias
    return params


def moving_squares(frames: int, height: int = 48, width: int = 80, seed: int = 0) -> np.ndarray:
    """A textured clip [T, H, W, 3] with two bright moving squares; enough to tell frames apart."""
    rng = np.random.default_rng(seed)
    clip = np.repeat(rng.integers(0, 90, (1, height, width, 3), dtype=np.uint8), frames, 0)
    for t in range(frames):
        for i, colour in enumerate(((230, 200, 190), (60, 220, 120))):
            y, x = (5 + t + 13 * i) % (height - 12), (3 + 2 * t + 31 * i) % (width - 12)
            clip[t, y : y + 12, x : x + 12] = colour
    return clip
