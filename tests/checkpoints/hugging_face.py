"""transformers' configuration of the model that a Sam2Config describes.

Path:    Sam2Config -> [hugging_face] -> transformers.Sam2VideoConfig
Units:   none.
Errors:  ImportError without transformers.
Source:  the field names of transformers 5.23.
"""

from typing import Any

from surgjax.checkpoints.tables.sam2 import stage_widths
from surgjax.models.variants import Sam2Config


def video_config(c: Sam2Config) -> Any:
    """Only what decides names and shapes."""
    from transformers import Sam2VideoConfig

    widths = stage_widths(c)
    return Sam2VideoConfig(
        vision_config={
            "backbone_channel_list": widths[::-1],
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": c.embed_dim,
                "num_attention_heads": c.num_heads,
                "blocks_per_stage": list(c.stages),
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [c.num_heads * 2**i for i in range(4)],
                "window_size_per_stage": list(c.window_spec),
                "global_attention_blocks": list(c.global_blocks),
                "window_positional_embedding_background_size": [c.pos_embed_grid] * 2,
            },
        },
        enable_occlusion_spatial_embedding=c.has_occlusion_embedding,
        enable_temporal_pos_encoding_for_object_pointers=c.has_pointer_positions,
    )
