"""What the stages of a promptable video segmenter hand to each other.

Axes:    B independent rows (one row is one object of one image), P points, M memory slots,
         N tokens of a memory slot (row-major grid), D memory width, Q object pointers,
         d hidden width, S side of the square model input, h = w = S/16.
Units:   points_xy are pixels of the model input, column first, 0..S. Frame indices count decoded
         frames from 0; -1 marks an empty slot.
Source:  SAM 2, arXiv:2408.00714.
"""

from typing import Any

import flax.struct

Array = Any  # jax.Array; on the host, before a program takes it, also numpy.ndarray


class ImageFeatures(flax.struct.PyTreeNode):
    """One image seen at three strides; s4 and s8 have already been projected for the decoder."""

    s4: Array  # [B, S/4, S/4, d/8]
    s8: Array  # [B, S/8, S/8, d/4]
    s16: Array  # [B, S/16, S/16, d]


class PointPrompts(flax.struct.PyTreeNode):
    """Clicks and box corners, padded to P slots.

    Labels: 0 background, 1 object, 2 box top-left, 3 box bottom-right, -1 "not a point" (a live
    token in SAM 2). Padding is marked by `valid`, never by a label. A row with no valid point is
    SAM 2's unprompted case.
    """

    points_xy: Array  # [B, P, 2] float32
    labels: Array  # [B, P] int32
    valid: Array  # [B, P] bool


class FarMemory(flax.struct.PyTreeNode):
    """Memories that cost less: of averaged squares of cells, or read by the last layers alone.

    Valid ones come first. A square of p by p cells is one key that weighs as much as p * p.
    """

    features: Array  # [B, M, n, D], n = (h / p) * (w / p)
    time_index: Array  # [B, M] int32, row of the temporal embedding
    count: Array  # [B] int32, number of valid slots
    layers: int = flax.struct.field(pytree_node=False)  # so many of the last ones read them


class MemoryRead(flax.struct.PyTreeNode):
    """What a memory policy lets a frame attend to. Valid spatial slots come first."""

    features: Array  # [B, M, N, D]
    time_index: Array  # [B, M] int32, row of the temporal embedding
    count: Array  # [B] int32, number of valid spatial slots
    pointers: Array  # [B, Q, d]
    pointer_distance: Array  # [B, Q] float32, frames from the pointer's frame to this one
    pointer_valid: Array  # [B, Q] bool
    pointer_span: Array  # [] float32, the distance that is encoded as 1
    far: FarMemory | None = None


class Conditioned(flax.struct.PyTreeNode):
    """Features of a frame with the semantic token that read the same memories.

    Stands in for s16 between memory attention and mask decoder in models that have the token.
    """

    s16: Array  # [B, h, w, d]
    token: Array  # [B, 1, d]


class DecoderOutput(flax.struct.PyTreeNode):
    """Raw answers of the mask decoder: channel 0 is the single mask, 1..3 the candidates."""

    mask_logits: Array  # [B, 4, S/4, S/4]
    ious: Array  # [B, 4]
    object_score: Array  # [B], logit; > 0 means present
    tokens: Array  # [B, 4, d]
    semantic: Array | None = None  # [B, d], the semantic token; None without one


class MaskOutput(flax.struct.PyTreeNode):
    """The chosen mask of each row, with the object pointer. Absent objects have logits -1024."""

    low_res: Array  # [B, S/4, S/4]
    iou: Array  # [B]
    object_score: Array  # [B]
    pointer: Array  # [B, d]
    low_res_multimasks: Array  # [B, 3, S/4, S/4]
    multimask_ious: Array  # [B, 3]
    semantic: Array | None = None  # [B, 512] unit rows, comparable with text; None without a token
