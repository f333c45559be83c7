"""The torch side of the parity tests: transformers' SAM 2 with seeded, lively random weights.

Path:    Sam2VideoModel -> [lively_weights] -> Tracker -> tests of modules, test_clip, official.
Axes:    torch layout (B, C, H, W); frames (T, 3, S, S), normalised.
Units:   points and boxes in pixels of the original video; frame indices count from 0.
Errors:  KeyError for a variant that is not in SIZES; ValueError for a parameter without a recipe.
Source:  SAM 2, arXiv:2408.00714; transformers 5.23, models/sam2 and models/sam2_video.
Differs: transformers departs from the original predictor in five places, and Tracker restores the
         original in each, from transformers' own modules: a mask prompt's pointer comes from the
         single-mask token; the memory of a prompted frame is encoded from its low-res mask when
         tracking begins; only that object's mask is binarised then; the previous logits of a
         corrected frame are fed back; an object's prompts do not make the others track that frame.
         tests/parity/official.py checks the same flow against the original code itself.

Random weights as libraries draw them (0.02, zero embeddings, layer scale 1e-6) leave most paths
without effect: a parity test on them passes with the memory missing. Here every weight is drawn
per key from (seed, crc32 of the key), so the values depend on no library's generator, at gains
that keep features of order 1, let the memory decide and let the object come and go.
"""

import contextlib
import zlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

SIZES: dict[str, dict[str, Any]] = {
    "tiny": dict(embed=96, heads=1, stages=(1, 2, 7, 2), global_blocks=(5, 7, 9), grid=7),
    "base_plus": dict(
        embed=112, heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), grid=14
    ),
}
NO_OBJECT = -1024.0


def config(
    variant: str, image_size: int, kind: type = Sam2VideoConfig, version: str = "2.1"
) -> Any:
    """The transformers configuration of a variant, with every size that depends on the image's."""
    size = SIZES[variant]
    dims = [size["embed"] * 2**i for i in range(4)]
    backbone = dict(
        model_type="sam2_hiera_det_model",
        hidden_size=dims[0],
        num_attention_heads=size["heads"],
        image_size=[image_size, image_size],
        blocks_per_stage=list(size["stages"]),
        embed_dim_per_stage=dims,
        num_attention_heads_per_stage=[size["heads"] * 2**i for i in range(4)],
        window_size_per_stage=[8, 4, 14, 7],
        global_attention_blocks=list(size["global_blocks"]),
        window_positional_embedding_background_size=[size["grid"]] * 2,
    )
    vision = dict(
        model_type="sam2_vision_model",
        backbone_config=backbone,
        backbone_channel_list=dims[::-1],
        backbone_feature_sizes=[[image_size // s] * 2 for s in (4, 8, 16)],
    )
    extra: dict[str, Any] = {}
    if kind is Sam2VideoConfig:
        extra = dict(
            image_size=image_size,
            memory_attention_rope_feat_sizes=[image_size // 16] * 2,
            enable_occlusion_spatial_embedding=version == "2.1",
            enable_temporal_pos_encoding_for_object_pointers=version == "2.1",
        )
    return kind(vision_config=vision, prompt_encoder_config=dict(image_size=image_size), **extra)


# Gains by the end of a key, first match: residual branches damped, read-outs sharpened.
_GAINS = (
    ("memory_attention.layers.cross_attn_image.q_proj.weight", 1.3),
    ("memory_attention.layers.cross_attn_image.k_proj.weight", 1.3),
    ("cross_attn_image.o_proj.weight", 1.5),
    ("token_to_image.q_proj.weight", 2.0),  # tokens look at places, so frames differ in score
    ("token_to_image.k_proj.weight", 1.5),
    ("mask_downsampler.final_conv.weight", 1.5),
    ("attn.proj.weight", 0.4),
    ("mlp.proj_out.weight", 0.5),
    ("o_proj.weight", 0.7),
    ("linear2.weight", 0.5),
    ("output_hypernetworks_mlps.proj_out.weight", 1.6),
    ("pred_obj_score_head.proj_out.weight", 8.0),
    ("iou_prediction_head.proj_out.weight", 2.0),
    ("mask_downsample.weight", 4.0),
    ("mask_embed.conv3.weight", 0.4),
)


def _draw(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """One parameter, from the seed and its key alone."""
    noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(shape)
    plain = ".".join(part for part in key.split(".") if not part.isdigit())
    if "norm" in plain:
        return (1.0 if key.endswith("weight") else 0.0) + 0.1 * noise
    if key.endswith(".scale"):
        return 0.5 + 0.1 * noise
    if key.endswith("bias"):
        return 0.1 * noise
    if key.endswith(("positional_embedding", "embed.weight", "token.weight", "tokens.weight")):
        return noise
    if len(shape) == 4 and "upscale_conv" in plain:  # transposed: (in, out, 2, 2), no overlap
        return noise / np.sqrt(shape[0])
    if key.endswith("weight") and len(shape) >= 2:
        gain = next((g for end, g in _GAINS if plain.endswith(end)), 1.0)
        return gain * noise / np.sqrt(np.prod(shape[1:]))
    if "." not in key or "pos_embed" in key:  # bare parameters
        return 0.5 * noise
    raise ValueError(f"no recipe for parameter {key} of shape {shape}")


def lively_weights(model: torch.nn.Module, seed: int, score_bias: float = 0.0) -> torch.nn.Module:
    """Fills every parameter and the random-Fourier buffer; score_bias shifts the object score."""
    state = model.state_dict()
    for key, tensor in state.items():
        source = (
            "shared_image_embedding.positional_embedding"
            if key.endswith("shared_embedding.positional_embedding")
            else key
        )
        value = _draw(source, tuple(tensor.shape), seed)
        if key == "mask_decoder.pred_obj_score_head.proj_out.bias":
            value = value + score_bias
        state[key] = torch.from_numpy(value.astype(np.float32))
    model.load_state_dict(state)
    return model.eval()


def build(
    variant: str, image_size: int, seed: int = 0, score_bias: float = 0.0, version: str = "2.1"
) -> Sam2VideoModel:
    """The video model in float32, evaluation mode, lively weights."""
    settings = config(variant, image_size, Sam2VideoConfig, version)
    return lively_weights(Sam2VideoModel(settings), seed, score_bias)


def build_image(variant: str, image_size: int, seed: int = 0, score_bias: float = 0.0) -> Sam2Model:
    """The image-only model; shared keys get the same values as in build."""
    return lively_weights(Sam2Model(config(variant, image_size, Sam2Config)), seed, score_bias)


class Tracker:
    """The original predictor's flow (one object at a time, section 8 of its code) on HF modules.

    frames are the normalised tensors (T, 3, S, S); video_size is (height, width), the pixels in
    which prompts are given. keep_corrections stores a corrected frame as a conditioning frame;
    the original's default is False. Outputs: {object: {frame: dict of torch tensors}}.
    """

    def __init__(
        self,
        model: Sam2VideoModel,
        frames: torch.Tensor,
        video_size: tuple[int, int],
        keep_corrections: bool = True,
    ):
        self.model, self.size, self.video_size = model, frames.shape[-1], video_size
        self.keep_corrections = keep_corrections
        self.session = Sam2VideoInferenceSession(
            video=frames,
            video_height=video_size[0],
            video_width=video_size[1],
            max_vision_features_cache_size=len(frames),
            dtype=torch.float32,
        )
        self.temp: dict[int, dict[str, dict[int, dict]]] = {}
        self.clicks: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self.drop_slot: int | None = None  # control: leave this recent memory (1 = last) unread

    @torch.inference_mode()
    def add_points_or_box(self, frame, obj_id, points=(), labels=(), box=None, clear_old=True):
        """Prompts in video pixels; a box comes first, as two points labelled 2 and 3."""
        xy = [] if box is None else [box[:2], box[2:]]
        scale = np.array([self.size / self.video_size[1], self.size / self.video_size[0]])
        coords = torch.tensor(np.array([*xy, *points]) * scale, dtype=torch.float32)[None, None]
        marks = torch.tensor([*([2, 3] if box is not None else []), *labels], dtype=torch.int32)
        marks = marks[None, None]
        old = self.clicks.get((obj_id, frame))
        if old is not None and not clear_old:
            coords, marks = torch.cat([old[0], coords], 2), torch.cat([old[1], marks], 2)
        self.clicks[obj_id, frame] = coords, marks
        return self._prompt(frame, obj_id, dict(point_coords=coords, point_labels=marks), None)

    @torch.inference_mode()
    def add_mask(self, frame, obj_id, mask: np.ndarray):
        """A bool mask of the video's size."""
        grid = torch.from_numpy(mask.astype(np.float32))[None, None]
        if grid.shape[-1] != self.size or grid.shape[-2] != self.size:
            grid = F.interpolate(grid, (self.size, self.size), mode="bilinear", antialias=True)
            grid = (grid >= 0.5).float()
        return self._prompt(frame, obj_id, None, grid)

    def _prompt(self, frame, obj_id, points, mask):
        idx = self.session.obj_id_to_idx(obj_id)
        temp = self.temp.setdefault(idx, dict(cond_frame_outputs={}, non_cond_frame_outputs={}))
        tracked, stored = self.session.frames_tracked_per_obj[idx], self._stored(idx)
        is_first = frame not in tracked
        is_cond = is_first or self.keep_corrections
        key = "cond_frame_outputs" if is_cond else "non_cond_frame_outputs"
        known = (temp[key], stored["cond_frame_outputs"], stored["non_cond_frame_outputs"])
        before = next((place[frame] for place in known if frame in place), None)
        previous = None
        if mask is None and before is not None:
            previous = before["pred_masks"].clamp(-32.0, 32.0)
        reverse = False if is_first else tracked[frame]["reverse"]
        temp[key][frame] = self._step(frame, idx, is_first, points, mask, reverse, previous)
        return temp[key][frame]

    def _stored(self, idx):
        return self.session.output_dict_per_obj[idx]

    def _step(self, frame, idx, is_first, points=None, mask=None, reverse=False, previous=None):
        with single_mask_pointer(self.model), slot_dropped(self.model, self.drop_slot):
            return self.model._run_single_frame_inference(
                self.session, frame, idx, 1, is_first, points, mask, reverse, previous
            )

    def _encode(self, frame, idx, output, from_prompt):
        del idx
        high = F.interpolate(
            output["pred_masks"], (self.size, self.size), mode="bilinear", align_corners=False
        )
        features, _ = self.model._prepare_vision_features(self.session, frame, 1)
        memory, position = self.model._encode_new_memory(
            features[-1], high, output["object_score_logits"], from_prompt
        )
        output["maskmem_features"], output["maskmem_pos_enc"] = memory, position

    def _preflight(self):
        for idx, temp in self.temp.items():
            stored = self._stored(idx)
            for key in ("non_cond_frame_outputs", "cond_frame_outputs"):
                for frame, output in temp[key].items():
                    self._encode(frame, idx, output, from_prompt=True)
                    stored[key][frame] = output
                temp[key].clear()
            for frame in stored["cond_frame_outputs"]:
                stored["non_cond_frame_outputs"].pop(frame, None)

    def forget_tracked(self, obj_id):
        """Drops what tracking wrote, keeps the conditioning frames: the start of a second pass."""
        idx = self.session.obj_id_to_idx(obj_id)
        self._stored(idx)["non_cond_frame_outputs"].clear()

    @torch.inference_mode()
    def propagate(self, start, end, reverse=False, objects=None):
        """Tracks from start to end (inclusive); returns {object: {frame: output}}."""
        self._preflight()
        order = range(start, end - 1, -1) if reverse else range(start, end + 1)
        results: dict[int, dict[int, dict]] = {}
        for frame in order:
            for obj_id in objects or self.session.obj_ids:
                idx = self.session.obj_id_to_idx(obj_id)
                stored = self._stored(idx)
                if frame in stored["cond_frame_outputs"]:
                    output = stored["cond_frame_outputs"][frame]
                else:
                    output = self._step(frame, idx, False, reverse=reverse)
                    self._encode(frame, idx, output, from_prompt=False)
                    stored["non_cond_frame_outputs"][frame] = output
                self.session.frames_tracked_per_obj[idx][frame] = dict(reverse=reverse)
                results.setdefault(obj_id, {})[frame] = output
        return results


@contextlib.contextmanager
def single_mask_pointer(model):
    """A mask prompt's pointer from the single-mask token, as in the original."""
    forward = model._single_frame_forward

    def single(*args, **kwargs):
        kwargs.setdefault("multimask_output", False)  # tracking steps always pass their own
        return forward(*args, **kwargs)

    model._single_frame_forward = single
    try:
        yield
    finally:
        del model._single_frame_forward


@contextlib.contextmanager
def slot_dropped(model, offset):
    """Leaves the memory written `offset` frames ago unread; None leaves everything in place."""
    if offset is None:
        yield
        return
    gather = model._gather_memory_frame_outputs

    def dropped(*args, **kwargs):
        return [pair for pair in gather(*args, **kwargs) if pair[0] != offset]

    model._gather_memory_frame_outputs = dropped
    try:
        yield
    finally:
        del model._gather_memory_frame_outputs


class HeadSpy:
    """Records every decoder call's score, IoU gap and stability: the distances to ties."""

    def __init__(self, model: Sam2VideoModel):
        self.calls: list[dict[str, Any]] = []
        decoder = model.mask_decoder
        plain = decoder.forward

        def forward(*args, **kwargs):
            choose = decoder._dynamic_multimask_via_stability
            seen = {}

            def spied(masks, ious):
                seen["stability"] = decoder._get_stability_scores(masks[:, :, :1]).flatten()
                seen["ious"] = ious[0, 0, 1:]
                return choose(masks, ious)

            decoder._dynamic_multimask_via_stability = spied
            try:
                masks, ious, tokens, score = plain(*args, **kwargs)
            finally:
                del decoder._dynamic_multimask_via_stability
            seen.setdefault("ious", ious[0, 0])
            top = seen["ious"].sort(descending=True).values
            self.calls.append(
                dict(
                    score=score.item(),
                    gap=(top[0] - top[1]).item(),
                    stability=seen["stability"].item() if "stability" in seen else None,
                    low=masks.min().item(),
                    high=masks.max().item(),
                )
            )
            return masks, ious, tokens, score

        decoder.forward = forward
