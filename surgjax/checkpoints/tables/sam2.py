"""Key table of SAM 2 and 2.1: official name, Hugging Face name, path in params, shape, transform.

Path:    Sam2Config -> [tables.sam2] -> torch_import, torch_export, orbax
Axes:    official arrays: Linear (out, in), Conv (out, in, kh, kw), ConvTranspose (in, out, kh, kw),
         position embeddings (1, C, h, w). Ours: (in, out), (kh, kw, in, out), (in, kh, kw, out),
         (1, h, w, C).
Units:   none.
Errors:  none; the table is a function of the config.
Source:  names and shapes of facebookresearch/sam2 checkpoints (2.0: 072824, 2.1: 092824) and of
         `Sam2VideoModel` in transformers 5.23.
Differs: every row is spelt out from the config, where the torch converters rename by substring;
         a renamed key that belongs nowhere is therefore an error and not a silent extra.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from surgjax.models.variants import TEXT_DIM, Sam2Config

_SAME: tuple[int, ...] = ()
_LINEAR = (1, 0)
_CONV = (2, 3, 1, 0)
_CONV_TRANSPOSE = (0, 2, 3, 1)
_CHANNELS_LAST = (0, 2, 3, 1)


@dataclasses.dataclass(frozen=True)
class Row:
    """One tensor: where it is in each layout, and how its axes are permuted into ours."""

    official: str
    hugging_face: str
    path: tuple[str, ...]  # into params
    shape: tuple[int, ...]  # in the official file
    permutation: tuple[int, ...]  # official axes in our order; empty: as they are
    hugging_face_row: int | None = None  # the row of a table that Hugging Face stacks
    is_buffer: bool = False  # stored, but not a parameter

    @property
    def params_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[i] for i in self.permutation) if self.permutation else self.shape

    def to_params(self, array: np.ndarray) -> np.ndarray:
        """The official array in our layout."""
        return np.transpose(array, self.permutation) if self.permutation else array

    def from_params(self, array: np.ndarray) -> np.ndarray:
        """Our array in the official layout."""
        if not self.permutation:
            return array
        return np.transpose(array, np.argsort(self.permutation))


# Hugging Face kept the projection of the point coordinates twice, in files of every version.
HUGGING_FACE_COPIES = {
    "prompt_encoder.shared_embedding.positional_embedding": (
        "shared_image_embedding.positional_embedding"
    ),
}


def params_path(official: str, leaf: str | None = None) -> tuple[str, ...]:
    """Dots become levels; a number joins the name before it; `leaf` renames the last level."""
    path: list[str] = []
    for part in official.split("."):
        if part.isdigit():
            path[-1] += f"_{part}"
        else:
            path.append(part)
    if leaf is not None:
        path[-1] = leaf
    return tuple(path)


@functools.lru_cache(maxsize=32)
def table(config: Sam2Config) -> tuple[Row, ...]:
    """Every tensor of the model, in a fixed order; `image_size` plays no part."""
    rows = (
        *_top_level(config),
        *_trunk(config),
        *_neck(config),
        *_memory_attention(config),
        *_memory_encoder(config),
        *_prompt_encoder(config),
        *_mask_decoder(config),
        *_semantic(config),
    )
    return rows


def _linear(official: str, hf: str, wide_in: int, wide_out: int) -> Iterator[Row]:
    yield _weight(official, hf, (wide_out, wide_in), _LINEAR)
    yield _bias(official, hf, wide_out)


def _conv(official: str, hf: str, wide_in: int, wide_out: int, size: int) -> Iterator[Row]:
    yield _weight(official, hf, (wide_out, wide_in, size, size), _CONV)
    yield _bias(official, hf, wide_out)


def _conv_transpose(official: str, hf: str, wide_in: int, wide_out: int) -> Iterator[Row]:
    yield _weight(official, hf, (wide_in, wide_out, 2, 2), _CONV_TRANSPOSE)
    yield _bias(official, hf, wide_out)


def _weight(official: str, hf: str, shape: tuple[int, ...], permutation: tuple[int, ...]) -> Row:
    name = f"{official}.weight"
    return Row(name, f"{hf}.weight", params_path(name, "kernel"), shape, permutation)


def _bias(official: str, hf: str, width: int) -> Row:
    name = f"{official}.bias"
    return Row(name, f"{hf}.bias", params_path(name), (width,), _SAME)


def _norm(official: str, hf: str, width: int) -> Iterator[Row]:
    name = f"{official}.weight"
    yield Row(name, f"{hf}.weight", params_path(name, "scale"), (width,), _SAME)
    yield _bias(official, hf, width)


def _embedding(
    official: str, hf: str, rows: int, width: int, hf_row: int | None = None
) -> Iterator[Row]:
    name = f"{official}.weight"
    path = params_path(name, "embedding")
    yield Row(name, f"{hf}.weight", path, (rows, width), _SAME, hugging_face_row=hf_row)


def _array(official: str, hf: str, *shape: int) -> Iterator[Row]:
    yield Row(official, hf, params_path(official), shape, _SAME)


def _mlp3(official: str, hf: str, width: int, wide_out: int) -> Iterator[Row]:
    """Three linear layers; Hugging Face names the first and last apart."""
    yield from _linear(f"{official}.layers.0", f"{hf}.proj_in", width, width)
    yield from _linear(f"{official}.layers.1", f"{hf}.layers.0", width, width)
    yield from _linear(f"{official}.layers.2", f"{hf}.proj_out", width, wide_out)


def _attention(
    official: str, hf: str, width: int, inner: int, wide_memory: int | None = None
) -> Iterator[Row]:
    memory = width if wide_memory is None else wide_memory
    yield from _linear(f"{official}.q_proj", f"{hf}.q_proj", width, inner)
    yield from _linear(f"{official}.k_proj", f"{hf}.k_proj", memory, inner)
    yield from _linear(f"{official}.v_proj", f"{hf}.v_proj", memory, inner)
    yield from _linear(f"{official}.out_proj", f"{hf}.o_proj", inner, width)


def _top_level(c: Sam2Config) -> Iterator[Row]:
    d, m = c.hidden_dim, c.memory_dim
    yield from _array(
        "maskmem_tpos_enc", "memory_temporal_positional_encoding", c.num_maskmem, 1, 1, m
    )
    if c.long_memory_embedding:  # ours: no published file has it
        yield from _array("long_tpos_enc", "long_memory_temporal_encoding", 1, 1, 1, m)
    yield from _array("no_mem_embed", "no_memory_embedding", 1, 1, d)
    yield from _array("no_mem_pos_enc", "no_memory_positional_encoding", 1, 1, d)
    yield from _array("no_obj_ptr", "no_object_pointer", 1, d)
    if c.has_occlusion_embedding:
        yield from _array("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter", 1, m)
    yield from _conv("mask_downsample", "mask_downsample", 1, 1, 4)
    yield from _mlp3("obj_ptr_proj", "object_pointer_proj", d, d)
    if c.has_pointer_positions:
        hf = "temporal_positional_encoding_projection_layer"
        yield from _linear("obj_ptr_tpos_proj", hf, d, m)


def stage_widths(c: Sam2Config) -> list[int]:
    """Channels of the four feature maps, high resolution first."""
    return [c.embed_dim * 2**stage for stage in range(len(c.stages))]


def _trunk(c: Sam2Config) -> Iterator[Row]:
    ours, hf = "image_encoder.trunk", "vision_encoder.backbone"
    b, w = c.pos_embed_grid, c.window_spec[0]
    for name, side in (("pos_embed", b), ("pos_embed_window", w)):
        official = f"{ours}.{name}"
        shape = (1, c.embed_dim, side, side)
        yield Row(official, f"{hf}.{name}", params_path(official), shape, _CHANNELS_LAST)
    yield from _conv(f"{ours}.patch_embed.proj", f"{hf}.patch_embed.projection", 3, c.embed_dim, 7)
    block, wide_in = 0, c.embed_dim
    for width, blocks in zip(stage_widths(c), c.stages, strict=True):
        for _ in range(blocks):
            yield from _block(f"{ours}.blocks.{block}", f"{hf}.blocks.{block}", wide_in, width)
            block, wide_in = block + 1, width


def _block(ours: str, hf: str, wide_in: int, width: int) -> Iterator[Row]:
    yield from _norm(f"{ours}.norm1", f"{hf}.layer_norm1", wide_in)
    yield from _linear(f"{ours}.attn.qkv", f"{hf}.attn.qkv", wide_in, 3 * width)
    yield from _linear(f"{ours}.attn.proj", f"{hf}.attn.proj", width, width)
    yield from _norm(f"{ours}.norm2", f"{hf}.layer_norm2", width)
    yield from _linear(f"{ours}.mlp.layers.0", f"{hf}.mlp.proj_in", width, 4 * width)
    yield from _linear(f"{ours}.mlp.layers.1", f"{hf}.mlp.proj_out", 4 * width, width)
    if wide_in != width:
        yield from _linear(f"{ours}.proj", f"{hf}.proj", wide_in, width)


def _neck(c: Sam2Config) -> Iterator[Row]:
    for i, width in enumerate(reversed(stage_widths(c))):  # convs.0 reads the deepest map
        ours, hf = f"image_encoder.neck.convs.{i}.conv", f"vision_encoder.neck.convs.{i}"
        yield from _conv(ours, hf, width, c.hidden_dim, 1)


def _memory_attention(c: Sam2Config) -> Iterator[Row]:
    d = c.hidden_dim
    for i in range(c.memory_layers):
        layer = f"memory_attention.layers.{i}"
        yield from _attention(f"{layer}.self_attn", f"{layer}.self_attn", d, d)
        cross = f"{layer}.cross_attn_image"
        yield from _attention(cross, cross, d, d, c.memory_dim)
        yield from _linear(f"{layer}.linear1", f"{layer}.linear1", d, c.ffn_dim)
        yield from _linear(f"{layer}.linear2", f"{layer}.linear2", c.ffn_dim, d)
        for k in (1, 2, 3):
            yield from _norm(f"{layer}.norm{k}", f"{layer}.layer_norm{k}", d)
    yield from _norm("memory_attention.norm", "memory_attention.layer_norm", d)


def _memory_encoder(c: Sam2Config) -> Iterator[Row]:
    d = c.hidden_dim
    ours, hf = "memory_encoder.mask_downsampler", "memory_encoder.mask_downsampler"
    widths = (1, 4, 16, 64, 256)  # four times the channels at each halving, whatever the width d
    for i in range(4):
        conv, norm = f"{ours}.encoder.{3 * i}", f"{ours}.encoder.{3 * i + 1}"
        yield from _conv(conv, f"{hf}.layers.{i}.conv", widths[i], widths[i + 1], 3)
        yield from _norm(norm, f"{hf}.layers.{i}.layer_norm", widths[i + 1])
    yield from _conv(f"{ours}.encoder.12", f"{hf}.final_conv", 256, d, 1)
    yield from _conv("memory_encoder.pix_feat_proj", "memory_encoder.feature_projection", d, d, 1)
    for i in range(2):
        ours, hf = f"memory_encoder.fuser.layers.{i}", f"memory_encoder.memory_fuser.layers.{i}"
        yield from _array(f"{ours}.gamma", f"{hf}.scale", d)
        yield from _conv(f"{ours}.dwconv", f"{hf}.depthwise_conv", 1, d, 7)  # one input per group
        yield from _norm(f"{ours}.norm", f"{hf}.layer_norm", d)
        yield from _linear(f"{ours}.pwconv1", f"{hf}.pointwise_conv1", d, 4 * d)
        yield from _linear(f"{ours}.pwconv2", f"{hf}.pointwise_conv2", 4 * d, d)
    yield from _conv("memory_encoder.out_proj", "memory_encoder.projection", d, c.memory_dim, 1)


def _prompt_encoder(c: Sam2Config) -> Iterator[Row]:
    d, ours, hf = c.hidden_dim, "sam_prompt_encoder", "prompt_encoder"
    gaussian = f"{ours}.pe_layer.positional_encoding_gaussian_matrix"
    hf_gaussian = "shared_image_embedding.positional_embedding"
    path = params_path(gaussian)
    yield Row(gaussian, hf_gaussian, path, (2, d // 2), _SAME, is_buffer=True)
    for i in range(4):
        yield from _embedding(f"{ours}.point_embeddings.{i}", f"{hf}.point_embed", 1, d, i)
    for name in ("not_a_point_embed", "no_mask_embed"):
        yield from _embedding(f"{ours}.{name}", f"{hf}.{name}", 1, d)
    scaling, embed = f"{ours}.mask_downscaling", f"{hf}.mask_embed"
    yield from _conv(f"{scaling}.0", f"{embed}.conv1", 1, 4, 2)
    yield from _norm(f"{scaling}.1", f"{embed}.layer_norm1", 4)
    yield from _conv(f"{scaling}.3", f"{embed}.conv2", 4, 16, 2)
    yield from _norm(f"{scaling}.4", f"{embed}.layer_norm2", 16)
    yield from _conv(f"{scaling}.6", f"{embed}.conv3", 16, d, 1)


def _mask_decoder(c: Sam2Config) -> Iterator[Row]:
    d, ours, hf = c.hidden_dim, "sam_mask_decoder", "mask_decoder"
    for i in range(2):
        yield from _two_way_block(
            c, f"{ours}.transformer.layers.{i}", f"{hf}.transformer.layers.{i}"
        )
    final = "transformer.final_attn_token_to_image"
    yield from _attention(f"{ours}.{final}", f"{hf}.{final}", d, d // 2)
    last = "transformer.norm_final_attn"
    yield from _norm(f"{ours}.{last}", f"{hf}.transformer.layer_norm_final_attn", d)
    for name, rows in (("iou_token", 1), ("mask_tokens", 4), ("obj_score_token", 1)):
        yield from _embedding(f"{ours}.{name}", f"{hf}.{name}", rows, d)
    up = f"{ours}.output_upscaling"
    yield from _conv_transpose(f"{up}.0", f"{hf}.upscale_conv1", d, d // 4)
    yield from _norm(f"{up}.1", f"{hf}.upscale_layer_norm", d // 4)
    yield from _conv_transpose(f"{up}.3", f"{hf}.upscale_conv2", d // 4, d // 8)
    yield from _conv(f"{ours}.conv_s0", f"{hf}.conv_s0", d, d // 8, 1)
    yield from _conv(f"{ours}.conv_s1", f"{hf}.conv_s1", d, d // 4, 1)
    for i in range(4):
        name = f"output_hypernetworks_mlps.{i}"
        yield from _mlp3(f"{ours}.{name}", f"{hf}.{name}", d, d // 8)
    for name, width in (("iou_prediction_head", 4), ("pred_obj_score_head", 1)):
        yield from _mlp3(f"{ours}.{name}", f"{hf}.{name}", d, width)


SEMANTIC_PREFIX = "sam2s."  # no official file and none of Hugging Face has such names


def _semantic(c: Sam2Config) -> Iterator[Row]:
    """The semantic token and its head, which are ours."""
    if not c.semantic_token:
        return
    d = c.hidden_dim
    rows: list[tuple[str, str, tuple[int, ...], tuple[int, ...]]] = [
        ("token", "token", (1, d), _SAME),
        ("temperature", "temperature", (1,), _SAME),
        ("norm.weight", "norm.scale", (d,), _SAME),
        ("norm.bias", "norm.bias", (d,), _SAME),
    ]
    for i, width in enumerate((d, TEXT_DIM)):
        layer = f"mlp.layers.{i}"
        rows.append((f"{layer}.weight", f"{layer}.kernel", (width, d), _LINEAR))
        rows.append((f"{layer}.bias", f"{layer}.bias", (width,), _SAME))
    for name, leaf, shape, permutation in rows:
        key = SEMANTIC_PREFIX + name
        yield Row(key, key, params_path(f"semantic.{leaf}"), shape, permutation)


def _two_way_block(c: Sam2Config, ours: str, hf: str) -> Iterator[Row]:
    d, inner = c.hidden_dim, c.decoder_mlp_dim
    yield from _attention(f"{ours}.self_attn", f"{hf}.self_attn", d, d)
    for name in ("cross_attn_token_to_image", "cross_attn_image_to_token"):
        yield from _attention(f"{ours}.{name}", f"{hf}.{name}", d, d // 2)
    yield from _linear(f"{ours}.mlp.layers.0", f"{hf}.mlp.proj_in", d, inner)
    yield from _linear(f"{ours}.mlp.layers.1", f"{hf}.mlp.proj_out", inner, d)
    for k in (1, 2, 3, 4):
        yield from _norm(f"{ours}.norm{k}", f"{hf}.layer_norm{k}", d)
