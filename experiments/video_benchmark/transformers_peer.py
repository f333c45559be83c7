"""transformers' Sam2VideoModel with our weights, driven through its own session and iterator.

Path:    params, Sam2Config -> [transformers_peer] -> torch_peer -> rounds
Axes:    see torch_peer.
Errors:  CheckpointError where the model has parts that transformers has not.
Source:  transformers 5.23, models/sam2_video.
Differs: nothing of its flow is changed; hole filling is not part of it. Its masks come at low
         resolution and are enlarged here, outside the step, as its processor would.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.video_benchmark.torch_peer import TorchPeer
from surgjax.models.variants import Sam2Config


def video_config(c: Sam2Config) -> Any:
    """transformers' configuration of one of ours, with every size that follows from the image's."""
    from transformers import Sam2VideoConfig

    widths = [c.embed_dim * 2**stage for stage in range(4)]
    heads = [c.num_heads * 2**stage for stage in range(4)]
    width, side = c.hidden_dim, c.image_size
    backbone = dict(
        model_type="sam2_hiera_det_model",
        hidden_size=c.embed_dim,
        num_attention_heads=c.num_heads,
        image_size=[side, side],
        blocks_per_stage=list(c.stages),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=heads,
        window_size_per_stage=list(c.window_spec),
        global_attention_blocks=list(c.global_blocks),
        window_positional_embedding_background_size=[c.pos_embed_grid] * 2,
    )
    vision = dict(
        model_type="sam2_vision_model",
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)],
        fpn_hidden_size=width,
    )
    decoder = dict(
        hidden_size=width,
        mlp_dim=c.decoder_mlp_dim,
        num_attention_heads=c.decoder_heads,
        iou_head_hidden_dim=width,
        dynamic_multimask_via_stability=c.dynamic_multimask,
        dynamic_multimask_stability_delta=c.stability_delta,
        dynamic_multimask_stability_thresh=c.stability_threshold,
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=dict(hidden_size=width, image_size=side),
        mask_decoder_config=decoder,
        image_size=side,
        num_maskmem=c.num_maskmem,
        max_object_pointers_in_encoder=c.max_object_pointers,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=c.memory_layers,
        memory_attention_feed_forward_hidden_size=c.ffn_dim,
        memory_attention_rope_feat_sizes=[c.grid] * 2,
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=c.memory_dim,
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=4 * width,
        sigmoid_scale_for_mem_enc=c.mask_scale,
        sigmoid_bias_for_mem_enc=c.mask_bias,
        enable_occlusion_spatial_embedding=c.has_occlusion_embedding,
        enable_temporal_pos_encoding_for_object_pointers=c.has_pointer_positions,
    )


class TransformersPeer(TorchPeer):
    """state: weights by transformers' names; None leaves them as the library draws them."""

    def __init__(
        self,
        config: Sam2Config,
        state: Mapping[str, np.ndarray] | None,
        threads: int,
        autocast: str | None = None,
        where: str = "cpu",
        compiled: bool = False,
    ):
        super().__init__(threads, autocast, where)
        import torch
        import transformers

        self.name = "transformers"
        self.device = f"{where}, torch {torch.__version__}, transformers {transformers.__version__}"
        self.model: Any = transformers.Sam2VideoModel(video_config(config)).eval()
        if state is not None:
            tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
            self.model.load_state_dict(tensors)
        self.model.to(where)
        if compiled:
            self.compile(
                self.model, "vision_encoder", "memory_attention", "mask_decoder", "memory_encoder"
            )
        for owner, method, part in (
            (self.model, "get_image_features", "image_encoder"),
            (self.model.memory_attention, "forward", "memory_attention"),
            (self.model, "_single_frame_forward", "mask_decoder"),
            (self.model, "_encode_new_memory", "memory_encoder"),
        ):
            self.time_calls(owner, method, part)

    def start(self, frames: Any, size: tuple[int, int], boxes: list[list[float]]) -> Iterator[Any]:
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self._size, (height, width) = size, size
        session = Sam2VideoInferenceSession(
            frames.to(self.where), height, width, inference_device=self.where, dtype=torch.float32
        )
        scale = np.array([frames.shape[-1] / width, frames.shape[-1] / height])
        for k, box in enumerate(boxes):
            corners = np.reshape(box, (2, 2)) * scale
            prompt = dict(
                point_coords=torch.tensor(corners, dtype=torch.float32, device=self.where)[
                    None, None
                ],
                point_labels=torch.tensor([[[2, 3]]], dtype=torch.int32, device=self.where),
            )
            session.add_point_inputs(session.obj_id_to_idx(k + 1), 0, prompt)
        session.obj_with_new_inputs = [k + 1 for k in range(len(boxes))]
        self.model(session, frame_idx=0)
        return iter(self.model.propagate_in_video_iterator(session, 0))

    def masks_of(self, output: Any) -> np.ndarray:
        import torch.nn.functional as F

        logits = output.pred_masks.float()
        return (F.interpolate(logits, self._size, mode="bilinear")[:, 0] > 0).cpu().numpy()
