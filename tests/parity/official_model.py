"""The original's own training model, SAM2Train of sam2 1.1.0, at the sizes of any of our variants.

Path:    a checkout (tests.parity.official_training), weights by official names -> [official_model]
         -> tests.parity.official_clip_loss, tests.benchmarks.train_step
Axes:    torch layout (B, C, H, W).
Errors:  RuntimeError of torch, naming the keys, where the weights do not fit.
Source:  sam2 1.1.0: training/model/sam2.py, the sizes of sam2.1_hiera_t.yaml.
Differs: the sizes of the YAML are replaced by those of a config of ours, and so are three that the
         original writes out in its code (heads and MLP of the decoder, its IoU head's width).
"""

import contextlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.video_benchmark import official_peer
from surgjax.models.variants import Sam2Config
from tests.parity import official, official_training

YAML = "sam2/configs/sam2.1/sam2.1_hiera_t.yaml"
IOU_WIDTH = 256  # of the original's IoU head at its hidden size of 256


def settings(checkout: Path, config: Sam2Config) -> dict[str, Any]:
    """The YAML's tree of the model with our sizes."""
    tree = official_peer.read_model(checkout / YAML)
    del tree["_target_"], tree["compile_image_encoder"]
    width, memory = config.hidden_dim, config.memory_dim
    encoder, attention = tree["image_encoder"], tree["memory_attention"]
    encoder["trunk"] |= dict(
        embed_dim=config.embed_dim,
        num_heads=config.num_heads,
        stages=list(config.stages),
        global_att_blocks=list(config.global_blocks),
        window_spec=list(config.window_spec),
        window_pos_embed_bkg_spatial_size=[config.pos_embed_grid] * 2,
        drop_path_rate=config.drop_path_rate,
    )
    encoder["neck"] |= dict(
        d_model=width, backbone_channel_list=[config.embed_dim * 2**i for i in (3, 2, 1, 0)]
    )
    encoder["neck"]["position_encoding"]["num_pos_feats"] = width
    layer = attention["layer"]
    attention |= dict(d_model=width, num_layers=config.memory_layers)
    layer |= dict(d_model=width, dim_feedforward=config.ffn_dim, dropout=config.dropout)
    for name in ("self_attention", "cross_attention"):
        sizes = dict(embedding_dim=width, feat_sizes=[config.grid] * 2, dropout=config.dropout)
        layer[name] |= sizes
    layer["cross_attention"]["kv_in_dim"] = memory
    encoder = tree["memory_encoder"]
    encoder |= dict(out_dim=memory, in_dim=width)
    encoder["position_encoding"]["num_pos_feats"] = memory
    encoder["mask_downsampler"]["embed_dim"] = width
    encoder["fuser"]["layer"]["dim"] = width
    return tree | dict(image_size=config.image_size, num_maskmem=config.num_maskmem)


@contextlib.contextmanager
def decoder_sizes(config: Sam2Config):
    """The sizes that the original's constructor does not ask for."""
    base = importlib.import_module("sam2.modeling.sam2_base")
    transformer, decoder = base.TwoWayTransformer, base.MaskDecoder
    sizes = dict(num_heads=config.decoder_heads, mlp_dim=config.decoder_mlp_dim)
    width = dict(iou_head_hidden_dim=IOU_WIDTH * config.hidden_dim // 256)
    base.TwoWayTransformer = lambda **given: transformer(**{**given, **sizes})
    base.MaskDecoder = lambda **given: decoder(**{**given, **width})
    try:
        yield
    finally:
        base.TwoWayTransformer, base.MaskDecoder = transformer, decoder


def build(
    checkout: Path, config: Sam2Config, state: dict[str, np.ndarray], **training: Any
) -> torch.nn.Module:
    """SAM2Train with the given weights; `training` are settings of its constructor.

    Pointers' distances are divided by 15 as in a long video, not by the clip's length: the clip is
    said to have 16 frames where the original asks, which is for that alone.
    """
    official.fetch(checkout)
    tree = settings(checkout, config) | training
    parts = {name: official_peer.made_of(value) for name, value in tree.items()}
    with decoder_sizes(config):
        model = official_training.module(checkout, "model/sam2").SAM2Train(**parts)
    model.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    plain = model.track_step
    model.track_step = lambda **given: plain(**{**given, "num_frames": 16})
    return model


def criterion(checkout: Path) -> torch.nn.Module:
    """The original's loss with the weights of its fine-tuning."""
    chosen = dict(official_training.recipe(checkout)["loss"]["all"])
    chosen.pop("_target_")
    return official_training.module(checkout, "loss_fns").MultiStepMultiMasksAndIous(**chosen)
