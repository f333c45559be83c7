"""Writes the golden file: `python -m tests.golden.make` (needs torch and transformers).

Path:    transformers at the size of our `debug` variant -> [make] -> sam2_debug.npz -> test_golden.
Axes:    torch outputs are brought to our layout (channels last) before they are stored.
Units:   frames uint8 64 x 64, which is the model's input size, so nothing is resized.
Errors:  none of its own.
Source:  transformers 5.23 with the weights of tests.parity.reference, rounded to float16.
Differs: weights are stored by their torch names in 16 bits: half the size, and exact, since the
         reference itself runs with the rounded values.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Sam2VideoConfig, Sam2VideoModel

from tests.parity import reference

FILE = Path(__file__).with_name("sam2_debug.npz")
SEED, SCORE_BIAS, SIZE, FRAMES = 0, -3.0, 64, 6
CLICK = np.array([[20.0, 30.0]], np.float32)  # object 1, frame 0
BOX = np.array([12.0, 8.0, 50.0, 44.0], np.float32)  # object 1, frame 3, kept as conditioning
WIDTH, MEMORY = 32, 16


def settings() -> Sam2VideoConfig:
    """Our `debug` variant in transformers' words."""
    sizes = [[SIZE // s] * 2 for s in (4, 8, 16)]
    backbone = dict(
        model_type="sam2_hiera_det_model",
        hidden_size=8,
        num_attention_heads=1,
        image_size=[SIZE, SIZE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    return Sam2VideoConfig(
        vision_config=dict(
            model_type="sam2_vision_model",
            backbone_config=backbone,
            backbone_channel_list=[64, 32, 16, 8],
            backbone_feature_sizes=sizes,
            fpn_hidden_size=WIDTH,
        ),
        prompt_encoder_config=dict(image_size=SIZE, hidden_size=WIDTH),
        mask_decoder_config=dict(
            hidden_size=WIDTH, num_attention_heads=2, mlp_dim=64, iou_head_hidden_dim=WIDTH
        ),
        image_size=SIZE,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[SIZE // 16] * 2,
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=MEMORY,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=4 * WIDTH,
    )


def build() -> Sam2VideoModel:
    """The reference with its weights rounded to float16 values."""
    model = Sam2VideoModel(settings())
    for layer in model.memory_attention.layers:  # transformers fixes the memory width to 64
        layer.cross_attn_image.k_proj = torch.nn.Linear(MEMORY, WIDTH)
        layer.cross_attn_image.v_proj = torch.nn.Linear(MEMORY, WIDTH)
    reference.lively_weights(model, SEED, SCORE_BIAS)
    state = {key: value.half().float() for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def video() -> np.ndarray:
    """Six frames of smooth noise drifting to the right."""
    rng = np.random.default_rng(SEED)
    coarse = torch.from_numpy(rng.random((1, 3, 9, 16)))
    wide = torch.nn.functional.interpolate(coarse, (SIZE, 2 * SIZE), mode="bicubic")[0]
    pixels = (255 * wide.clamp(0, 1)).byte().permute(1, 2, 0).numpy()
    return np.stack([pixels[:, 8 * t : 8 * t + SIZE] for t in range(FRAMES)])


def mask() -> np.ndarray:
    """A disc, the prompt of object 2 on frame 1."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return (x - 36) ** 2 + (y - 28) ** 2 < 14**2


@torch.inference_mode()
def stages(model: Sam2VideoModel, frames: torch.Tensor) -> dict[str, Any]:
    """Outputs of every stage of one frame with a click, in our layout."""
    out: dict[str, Any] = {}
    trunk = model.vision_encoder.backbone(frames[:1]).intermediate_hidden_states
    out |= {f"trunk_{i}": x for i, x in enumerate(trunk)}
    flat = model.get_image_features(frames[:1], return_dict=True).fpn_hidden_states
    maps = [
        x.permute(1, 2, 0).reshape(1, -1, *s)
        for x, s in zip(flat, model.backbone_feature_sizes, strict=True)
    ]
    out |= dict(zip(("s4", "s8", "s16"), (x.permute(0, 2, 3, 1) for x in maps), strict=True))
    xy, labels = torch.from_numpy(CLICK)[None, None], torch.ones(1, 1, 1, dtype=torch.int32)
    low = torch.linspace(-6, 6, (SIZE // 4) ** 2).reshape(1, 1, SIZE // 4, SIZE // 4)
    sparse, dense = model.prompt_encoder(xy, labels, None, low)
    out |= dict(sparse=sparse[:, 0], dense=dense.permute(0, 2, 3, 1))
    embedding = maps[2] + model.no_memory_embedding.reshape(1, -1, 1, 1)
    decoder, position = model.mask_decoder, model.get_image_wide_positional_embeddings()
    masks, ious, tokens, score = decoder(embedding, position, sparse, dense, True, maps[:2])
    out |= dict(masks=masks[:, 0], ious=ious[:, 0], tokens=tokens[:, 0], score=score[:, 0, 0])
    high = torch.nn.functional.interpolate(masks[:, 0, :1], (SIZE, SIZE), mode="bilinear")
    memory, _ = model.memory_encoder(maps[2], 20 * torch.sigmoid(high) - 10)
    out["memory"] = memory.flatten(2).transpose(1, 2)
    return {f"stage/{key}": value.numpy() for key, value in out.items()}


def tracks(model: Sam2VideoModel, frames: torch.Tensor) -> dict[str, np.ndarray]:
    """Two objects through the clip: a click, a later box (a correction), a mask."""
    tracker = reference.Tracker(model, frames, (SIZE, SIZE))
    tracker.add_points_or_box(0, 1, CLICK.tolist(), [1])
    tracker.add_mask(1, 2, mask())
    results = tracker.propagate(0, FRAMES - 1, objects=[1])
    results |= tracker.propagate(1, FRAMES - 1, objects=[2])
    tracker.add_points_or_box(3, 1, box=BOX.tolist())
    results[1] |= tracker.propagate(3, FRAMES - 1, objects=[1])[1]
    out = {}
    for obj_id, by_frame in results.items():
        for frame, output in by_frame.items():
            where = f"track/{obj_id}/{frame}"
            out[f"{where}/low_res"] = output["pred_masks"].numpy()[0, 0]
            out[f"{where}/score"] = output["object_score_logits"].numpy().ravel()
            out[f"{where}/pointer"] = output["object_pointer"].numpy().ravel()
    return out


def main() -> None:
    model, clip = build(), video()
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    frames = torch.from_numpy((clip / np.float32(255) - mean) / std).permute(0, 3, 1, 2)
    state = model.state_dict()
    weights = {f"weight/{k}": v.numpy().astype(np.float16) for k, v in state.items()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    made_by = dict(
        seed=SEED, score_bias=SCORE_BIAS, commit=commit.stdout.strip(), numpy=np.__version__,
        torch=torch.__version__, transformers=transformers.__version__,
        config=json.loads(settings().to_json_string()),
    )  # fmt: skip
    arrays = weights | stages(model, frames) | tracks(model, frames)
    inputs = dict(frames=clip, click=CLICK, box=BOX, mask=mask())
    np.savez_compressed(FILE, made_by=json.dumps(made_by), **inputs, **arrays)
    for key, value in sorted(arrays.items()):
        if not key.startswith("weight/"):
            print(f"{key} {value.shape} std {value.std():.3f} first {value.ravel()[0]:.3f}")
    print(f"{FILE.name}: {FILE.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
