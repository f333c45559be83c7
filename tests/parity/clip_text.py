"""The torch side of CLIP's text tower: transformers with seeded, lively random weights.

Path:    ClipTextConfig -> [clip_text] -> CLIPTextModelWithProjection, CLIPModel -> test_clip_text
Axes:    token ids (N, L).
Units:   none.
Errors:  none of its own.
Source:  transformers 5.23.
Differs: weights drawn as the library does (0.02) hardly move the output from text to text; here
         scores spread and residual branches are of order 1.
"""

import zlib
from typing import Any

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection

from surgjax.text.clip_text_encoder import ClipTextConfig


def settings(config: ClipTextConfig) -> dict[str, Any]:
    """Our config in transformers' words."""
    return dict(
        vocab_size=config.vocabulary,
        max_position_embeddings=config.context,
        hidden_size=config.width,
        intermediate_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        projection_dim=config.projection,
        hidden_act=config.activation,
        layer_norm_eps=config.epsilon,
        bos_token_id=config.vocabulary - 2,
        eos_token_id=config.vocabulary - 1,
    )


def build(config: ClipTextConfig, seed: int = 0) -> CLIPTextModelWithProjection:
    """The text tower alone."""
    return lively(CLIPTextModelWithProjection(CLIPTextConfig(**settings(config))), seed)


def build_whole(config: ClipTextConfig, seed: int = 0) -> CLIPModel:
    """Both towers, as the released files hold them; the image tower is tiny here."""
    image = dict(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        image_size=32, patch_size=16, projection_dim=config.projection,
    )  # fmt: skip
    whole = CLIPConfig(
        text_config=settings(config), vision_config=image, projection_dim=config.projection
    )
    return lively(CLIPModel(whole), seed)


def lively(model: Any, seed: int) -> Any:
    """Every parameter by its own name and the seed, at gains that keep features of order 1."""
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(
                tuple(tensor.shape)
            )
            if "norm" in key:
                noise = 0.2 * noise + (1.0 if key.endswith("weight") else 0.0)
            elif key.endswith("bias"):
                noise = 0.2 * noise
            elif "embedding" not in key and noise.ndim == 2:
                gain = 1.6 if "q_proj" in key or "k_proj" in key else 1.0
                noise = gain * noise / np.sqrt(noise.shape[1])
            tensor.copy_(torch.from_numpy(np.asarray(noise, np.float32)))
    return model.eval()
