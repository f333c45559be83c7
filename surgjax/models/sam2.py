"""SAM 2 / 2.1: the stages wired together, one public method per stage.

Path:    frame -> encode_image -> condition (or add_no_memory) -> decode -> select -> encode_memory
Axes:    B rows; one row is one object of one image (or one image). See `surgjax.structs`.
Units:   frames are RGB normalised by mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225).
Numerics: parameters float32; products in `dtype`; norms, softmax, rotations, mask read-outs and
         residual sums float32.
Source:  SAM 2, arXiv:2408.00714; `sam2/modeling/sam2_base.py`.
Differs: nothing here keeps state. Which memories are read is a policy's business
         (`surgjax.memory.policies`), and looping over frames is `surgjax.inference`'s.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from surgjax.decoders.mask_decoder import MaskDecoder, stability_choice
from surgjax.encoders.fpn import ImageEncoder
from surgjax.layers.convolution import Conv
from surgjax.layers.linear import Dtype, Linear, Mlp
from surgjax.layers.position_encoding import sine_1d
from surgjax.layers.semantic_head import FIRST_TEMPERATURE, SemanticHead, class_logits
from surgjax.memory import token_attention
from surgjax.memory.memory_attention import MemoryAttention
from surgjax.memory.memory_encoder import MemoryEncoder
from surgjax.models.variants import TEXT_DIM, Sam2Config
from surgjax.ops.resize import resize_bilinear
from surgjax.prompts.prompt_encoder import PromptEncoder
from surgjax.structs import (
    Conditioned,
    DecoderOutput,
    ImageFeatures,
    MaskOutput,
    MemoryRead,
    PointPrompts,
)

NO_OBJECT_LOGIT = -1024.0
_TRUNK_FIELDS = (
    "embed_dim", "num_heads", "stages", "global_blocks", "window_spec", "pos_embed_grid",
    "drop_path_rate", "remat",
)  # fmt: skip


class Sam2(nn.Module):
    """Pure functions of (params, inputs): `model.apply({"params": p}, ..., method="decode")`."""

    config: Sam2Config
    dtype: Dtype = jnp.float32

    def setup(self):
        c, dt = self.config, self.dtype
        d, m = c.hidden_dim, c.memory_dim
        trunk = {k: getattr(c, k) for k in _TRUNK_FIELDS}
        self.image_encoder = ImageEncoder(trunk, d, dt)
        self.memory_attention = MemoryAttention(d, m, c.memory_layers, c.ffn_dim, c.dropout, dt)
        self.memory_encoder = MemoryEncoder(d, m, dt)
        self.sam_prompt_encoder = PromptEncoder(d, c.image_size, dt)
        self.sam_mask_decoder = MaskDecoder(d, c.decoder_heads, c.decoder_mlp_dim, dt)
        self.mask_downsample = Conv(1, 1, 4, 4)
        self.obj_ptr_proj = Mlp((d, d, d, d))
        small = nn.initializers.truncated_normal(0.02)
        self.maskmem_tpos_enc = self.param("maskmem_tpos_enc", small, (c.num_maskmem, 1, 1, m))
        if c.long_memory_embedding:
            self.long_tpos_enc = self.param("long_tpos_enc", small, (1, 1, 1, m))
        self.no_mem_embed = self.param("no_mem_embed", small, (1, 1, d))
        # Unused while no_mem_embed is added directly, but official checkpoints carry it.
        self.no_mem_pos_enc = self.param("no_mem_pos_enc", small, (1, 1, d))
        self.no_obj_ptr = self.param("no_obj_ptr", small, (1, d))
        if c.has_occlusion_embedding:
            self.no_obj_embed_spatial = self.param("no_obj_embed_spatial", small, (1, m))
        if c.has_pointer_positions:
            self.obj_ptr_tpos_proj = Linear(d, m)
        if c.semantic_token:
            self.semantic = SemanticHead(d, TEXT_DIM)

    def encode_image(self, frames: jax.Array, train: bool = False) -> ImageFeatures:
        """frames [B, S, S, 3] -> features at strides 4, 8 and 16."""
        return self.sam_mask_decoder.project_skips(*self.image_encoder(frames, train))

    def add_no_memory(
        self, s16: jax.Array, leave: jax.Array | None = None
    ) -> jax.Array | Conditioned:
        """Features of an image, or of a frame that starts an object's track: [B, h, w, d].

        Rows `leave` [B] stay raw, as the pointer of a mask prompt needs them. With a semantic
        token it comes along as it was learned: there is no memory to read.
        """
        fresh = s16 + self.no_mem_embed[None]
        if leave is not None:
            fresh = jnp.where(leave[:, None, None, None], s16, fresh)
        if not self.config.semantic_token:
            return fresh
        return Conditioned(fresh, self.semantic.start(s16.shape[0]))

    def condition(
        self, s16: jax.Array, read: MemoryRead, tiled: bool = False, train: bool = False
    ) -> jax.Array | Conditioned:
        """Memory-conditioned features [B, h, w, d]; every row must read at least one memory.

        With a semantic token it reads the same memories and comes along.
        """
        b, q, d = read.pointers.shape
        if self.config.has_pointer_positions:
            position = read.pointer_distance / read.pointer_span
            pointer_position = self.obj_ptr_tpos_proj(sine_1d(position, d))
        else:
            pointer_position = jnp.zeros((b, q, self.config.memory_dim))
        table = self.time_table()
        if not self.config.semantic_token:
            return self.memory_attention(s16, read, table, pointer_position, tiled, train)
        return token_attention.condition(
            self.memory_attention,
            Conditioned(s16, self.semantic.start(b)),
            (read, table, pointer_position),
            self.config.tsl_bidirectional,
            tiled,
            train,
        )

    def time_table(self) -> jax.Array:
        """Temporal embeddings [rows, D]: of recent frames, of prompted ones, of long memories."""
        table = self.maskmem_tpos_enc[:, 0, 0]
        if self.config.long_memory_embedding:
            table = jnp.concatenate([table, self.long_tpos_enc[:, 0, 0]])
        return table

    def decode(
        self,
        features: ImageFeatures,
        s16: jax.Array | Conditioned,
        points: PointPrompts,
        mask_logits: jax.Array,
        use_mask: jax.Array,
        blank_tokens: bool = True,
    ) -> DecoderOutput:
        """Raw answers for conditioned s16 [B, h, w, d]; mask prompt [B, S/4, S/4], use_mask [B].

        blank_tokens: rows without points get "not a point" tokens, as a tracked frame does.
        SAM 2's image predictor gives such rows, which have a mask prompt alone, no sparse token.
        """
        encoder = self.sam_prompt_encoder
        sparse, sparse_mask = encoder.encode_points(points)
        if not blank_tokens:
            sparse_mask &= points.valid.any(-1, keepdims=True)
        dense = encoder.encode_mask(mask_logits, use_mask)
        positions = encoder.dense_positions()
        pixels, token = self._with_token(s16)
        is_read = self.config.tsl_bidirectional
        return self.sam_mask_decoder(
            features, pixels, sparse, sparse_mask, dense, positions, token, is_read
        )

    def _with_token(self, s16: jax.Array | Conditioned) -> tuple[jax.Array, jax.Array | None]:
        """Pixels and token; features that come without one have read no memory."""
        if isinstance(s16, Conditioned):
            return s16.s16, s16.token
        return s16, self.semantic.start(s16.shape[0]) if self.config.semantic_token else None

    def select(
        self, output: DecoderOutput, multimask: jax.Array, dynamic: bool = True
    ) -> MaskOutput:
        """Chooses a mask per row: the best of three where multimask [B], else the single one.

        dynamic allows the stability fallback (evaluation). The object pointer comes from the
        chosen candidate's token under multimask, and from token 0 otherwise, also after a fallback.
        """
        best = 1 + jnp.argmax(output.ious[:, 1:], -1)
        single = self.single_choice(output) if dynamic else jnp.zeros_like(best)
        choice = jnp.where(multimask, best, single)
        present = output.object_score > 0
        blanked = jnp.where(present[:, None, None, None], output.mask_logits, NO_OBJECT_LOGIT)
        rows = jnp.arange(choice.shape[0])
        token = output.tokens[rows, jnp.where(multimask, best, 0)]
        semantic = None if output.semantic is None else self.semantic(output.semantic)
        return MaskOutput(
            low_res=blanked[rows, choice],
            iou=output.ious[rows, choice],
            object_score=output.object_score,
            pointer=self.object_pointer(token, present),
            low_res_multimasks=blanked[:, 1:],
            multimask_ious=output.ious[:, 1:],
            semantic=semantic,
        )

    def single_choice(self, output: DecoderOutput) -> jax.Array:
        """Index [B] of the mask that answers when one mask is asked for."""
        c = self.config
        if not c.dynamic_multimask:
            return jnp.zeros(output.ious.shape[:1], jnp.int32)
        return stability_choice(output, c.stability_delta, c.stability_threshold)

    def object_pointer(self, token: jax.Array, present: jax.Array) -> jax.Array:
        """Pointer [B, d] of a decoder token [B, d]; absent objects get the learned stand-in."""
        return jnp.where(present[:, None], self.obj_ptr_proj(token), self.no_obj_ptr)

    def mask_as_output(
        self,
        features: ImageFeatures,
        s16: jax.Array | Conditioned,
        masks: jax.Array,
        points: PointPrompts,
    ) -> MaskOutput:
        """A mask prompt [B, S, S] (0 or 1) taken as the answer; only the pointer is computed.

        s16 are the raw features (no memory, no `no_mem_embed`); points must be without valid ones.
        """
        everywhere = jnp.ones(masks.shape[0], bool)
        output = self.decode(features, s16, points, self.prompt_of_mask(masks), everywhere)
        chosen = self.select(output, ~everywhere)
        return self.answer_with_mask(masks, chosen.pointer, chosen.semantic)

    def prompt_of_mask(self, masks: jax.Array) -> jax.Array:
        """The learned reduction of masks [B, S, S] to the decoder's mask prompt [B, S/4, S/4]."""
        return self.mask_downsample(masks.astype(jnp.float32)[..., None])[..., 0]

    @staticmethod
    def mask_logits(masks: jax.Array) -> jax.Array:
        """What a given mask (0 or 1) counts as."""
        return masks.astype(jnp.float32) * 20.0 - 10.0

    def answer_with_mask(
        self, masks: jax.Array, pointer: jax.Array, semantic: jax.Array | None = None
    ) -> MaskOutput:
        """Masks [B, S, S] as the answer, with what the decoder gave for them: pointer [B, d]."""
        c = self.config
        low = resize_bilinear(self.mask_logits(masks), (c.mask_size, c.mask_size), antialias=True)
        present = (masks > 0).any((-2, -1))
        pointer = jnp.where(present[:, None], pointer, self.no_obj_ptr)
        three = jnp.broadcast_to(low[:, None], (low.shape[0], 3, *low.shape[1:]))
        return MaskOutput(
            low_res=low,
            iou=jnp.ones(masks.shape[0]),
            object_score=jnp.where(present, 10.0, -10.0),
            pointer=pointer,
            low_res_multimasks=three,
            multimask_ious=jnp.ones((masks.shape[0], 3)),
            semantic=semantic,
        )

    def class_logits(self, semantic: jax.Array, text: jax.Array) -> jax.Array:
        """Logits [B, K] of unit vectors [B, 512] over the unit rows of a text bank [K, 512]."""
        return class_logits(semantic, text, self.semantic.temperature)

    def encode_memory(
        self,
        s16: jax.Array,
        mask_logits_high: jax.Array,
        object_score: jax.Array,
        binarize: jax.Array,
    ) -> jax.Array:
        """Memory [B, h*w, D] float32 of raw s16 and mask logits [B, S, S]; binarize is [B] bool."""
        c = self.config
        soft = jax.nn.sigmoid(mask_logits_high)
        if c.binarize_prompted_masks:
            hard = (mask_logits_high > 0).astype(jnp.float32)
            soft = jnp.where(binarize[:, None, None], hard, soft)
        memory = self.memory_encoder(s16, soft * c.mask_scale + c.mask_bias)
        if c.has_occlusion_embedding:
            absent = (object_score <= 0)[:, None, None, None]
            embedding = self.no_obj_embed_spatial.reshape(1, 1, 1, -1)
            memory = jnp.where(absent, memory + embedding, memory)
        return memory.reshape(memory.shape[0], -1, c.memory_dim)

    def __call__(self, frames: jax.Array) -> MaskOutput:
        """Touches every parameter once; used to make them and to count them."""
        c, b = self.config, frames.shape[0]
        features = self.encode_image(frames)
        s16 = self.add_no_memory(features.s16)
        none = PointPrompts(
            jnp.zeros((b, 1, 2)), jnp.full((b, 1), -1, jnp.int32), jnp.zeros((b, 1), bool)
        )
        zeros = jnp.zeros((b, c.image_size, c.image_size))
        first = self.mask_as_output(features, s16, zeros, none)
        memory = self.encode_memory(features.s16, zeros, first.object_score, jnp.zeros(b, bool))
        read = MemoryRead(
            features=memory[:, None],
            time_index=jnp.zeros((b, 1), jnp.int32),
            count=jnp.ones(b, jnp.int32),
            pointers=first.pointer[:, None],
            pointer_distance=jnp.ones((b, 1)),
            pointer_valid=jnp.ones((b, 1), bool),
            pointer_span=jnp.float32(15),
        )
        s16 = self.condition(features.s16, read)
        low = jnp.zeros((b, c.mask_size, c.mask_size))
        return self.select(
            self.decode(features, s16, none, low, jnp.zeros(b, bool)), none.valid[:, 0]
        )


def abstract_params(config: Sam2Config) -> dict:
    """The parameter tree as `jax.ShapeDtypeStruct`s, without computing anything."""
    s = config.image_size
    frame = jax.ShapeDtypeStruct((1, s, s, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(Sam2(config).init, key, frame)["params"]


def add_semantic_token(
    params: dict, config: Sam2Config, seed: int = 0, bidirectional: bool = False
) -> tuple[dict, Sam2Config]:
    """Weights of a model without the semantic token, with a fresh one, and its configuration.

    Nothing else changes. ValueError where there is a token already.
    """
    if config.semantic_token or "semantic" in params:
        raise ValueError(f"add_semantic_token: {config.name} has a semantic token already.")
    config = config.replace(semantic_token=True, tsl_bidirectional=bidirectional)
    return {**params, "semantic": init_params(config, seed)["semantic"]}, config


def with_parts_of(config: Sam2Config, params: Mapping[str, Any]) -> Sam2Config:
    """The config of weights that may have what SAM2S adds: its token, its temporal embedding."""
    return config.replace(
        semantic_token="semantic" in params, long_memory_embedding="long_tpos_enc" in params
    )


def count_params(params: dict) -> int:
    """Trainable scalars; the prompt encoder's fixed Fourier matrix is a buffer, not counted."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return sum(
        int(np.prod(leaf.shape)) for path, leaf in leaves if "gaussian_matrix" not in str(path)
    )


def init_params(config: Sam2Config, seed: int = 0) -> dict:
    """Random float32 parameters from NumPy: the same on every backend, and nothing to compile.

    Linear and convolution weights follow PyTorch's default (uniform, variance 1 / (3 fan_in)),
    embeddings and Fourier features are standard normal, other bare parameters N(0, 0.02^2). The
    embedding of long memories starts as that of conditioning frames, and no value depends on
    whether there is one.
    """
    if config.long_memory_embedding:
        params = init_params(config.replace(long_memory_embedding=False), seed)
        return params | {"long_tpos_enc": params["maskmem_tpos_enc"][-1:].copy()}
    rng = np.random.default_rng(seed)

    def leaf(path, abstract) -> np.ndarray:
        name, shape = path[-1].key, abstract.shape
        if name == "kernel":
            # UpConv2x2 stores (in, 2, 2, out): its fan-in is the first axis alone.
            up = "output_upscaling" in str(path)
            fan_in = shape[0] if up else int(np.prod(shape[:-1]))
            bound = fan_in**-0.5
            value = rng.uniform(-bound, bound, shape)
        elif name == "scale":
            value = np.ones(shape)
        elif name == "bias":
            value = np.zeros(shape)
        elif name == "gamma":
            value = np.full(shape, 1e-6)
        elif name == "temperature":
            value = np.full(shape, FIRST_TEMPERATURE)
        elif name in ("embedding", "positional_encoding_gaussian_matrix"):
            value = rng.standard_normal(shape)
        else:
            value = 0.02 * np.clip(rng.standard_normal(shape), -2, 2)
        return value.astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, abstract_params(config))
