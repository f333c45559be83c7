"""Sizes and flags of the SAM 2 family.

Source:  SAM 2 `sam2/configs/sam2*/`, `sam2/build_sam.py`; `nano` and `debug` are ours.
Differs: at most `max_cond_frames` conditioning frames are attended (SAM 2's own closest-in-time
         rule for a positive limit); the reference's default is no limit, which cannot be a fixed
         shape.
"""

import dataclasses

VERSIONS = ("2.1", "2.0")
# What a frame is normalised with, RGB in 0..1 (ImageNet's).
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
TEXT_DIM = 512  # of the text vectors that a semantic token is compared with: CLIP ViT-B/32


@dataclasses.dataclass(frozen=True)
class TrainedBank:
    """Which text bank a semantic token was trained with; see `models.trained_bank`."""

    kind: str
    sha256: str
    names: tuple[str, ...]
    rows: tuple[str, ...]  # a short sum of every row
    weights: str = ""  # sum of the text model's weights, where there was one

    def __post_init__(self):
        if len(self.names) != len(self.rows):
            raise ValueError(f"text bank: {len(self.names)} names, {len(self.rows)} rows")


@dataclasses.dataclass(frozen=True)
class Sam2Config:
    """Everything that fixes the shapes and the arithmetic of a model."""

    name: str
    version: str  # "2.1" or "2.0"
    image_size: int  # side of the square input in pixels, a multiple of 32
    embed_dim: int
    num_heads: int
    stages: tuple[int, ...]
    global_blocks: tuple[int, ...]
    window_spec: tuple[int, ...]
    pos_embed_grid: int
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_layers: int = 4
    ffn_dim: int = 2048
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    # Memory horizons (SAM 2: num_maskmem = 7, max_obj_ptrs_in_encoder = 16).
    num_maskmem: int = 7
    max_object_pointers: int = 16
    max_cond_frames: int = 8
    # A temporal embedding of their own for memories that a policy keeps for long (SAM2S). Official
    # weights have none; `checkpoints.add_long_memory_embedding` makes one.
    long_memory_embedding: bool = False
    # Scaling of a mask before the memory encoder.
    mask_scale: float = 20.0
    mask_bias: float = -10.0
    binarize_prompted_masks: bool = True
    # A single mask is replaced by the best candidate where it is unstable (evaluation only).
    dynamic_multimask: bool = True
    stability_delta: float = 0.05
    stability_threshold: float = 0.98
    # Ours (SAM2S): a token that says what an object is. Bidirectional: the masks read it too.
    semantic_token: bool = False
    tsl_bidirectional: bool = False
    text_bank: TrainedBank | None = None  # None: the weights do not say
    # Training only.
    drop_path_rate: float = 0.0
    dropout: float = 0.1
    remat: bool = False

    def __post_init__(self):
        if self.version not in VERSIONS:
            raise ValueError(f"version {self.version!r}: expected one of {VERSIONS}")
        if self.image_size <= 0 or self.image_size % 32:
            raise ValueError(
                f"image_size {self.image_size}: expected a positive multiple of 32 pixels"
            )
        if self.tsl_bidirectional and not self.semantic_token:
            raise ValueError("tsl_bidirectional needs semantic_token: there is no token to read")

    @property
    def grid(self) -> int:
        """Side of the stride-16 grid."""
        return self.image_size // 16

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution masks."""
        return self.image_size // 4

    @property
    def has_occlusion_embedding(self) -> bool:
        """no_obj_embed_spatial: memory of an absent object is marked (2.1)."""
        return self.version == "2.1"

    @property
    def has_pointer_positions(self) -> bool:
        """Object pointers carry a signed, projected temporal encoding (2.1)."""
        return self.version == "2.1"

    def replace(self, **changes) -> "Sam2Config":
        return dataclasses.replace(self, **changes)


_COMMON = {"version": "2.1", "image_size": 1024}

VARIANTS: dict[str, Sam2Config] = {
    "tiny": Sam2Config(
        "tiny", **_COMMON, embed_dim=96, num_heads=1, stages=(1, 2, 7, 2),
        global_blocks=(5, 7, 9), window_spec=(8, 4, 14, 7), pos_embed_grid=7,
    ),
    "small": Sam2Config(
        "small", **_COMMON, embed_dim=96, num_heads=1, stages=(1, 2, 11, 2),
        global_blocks=(7, 10, 13), window_spec=(8, 4, 14, 7), pos_embed_grid=7,
    ),
    "base_plus": Sam2Config(
        "base_plus", **_COMMON, embed_dim=112, num_heads=2, stages=(2, 3, 16, 3),
        global_blocks=(12, 16, 20), window_spec=(8, 4, 14, 7), pos_embed_grid=14,
    ),
    "large": Sam2Config(
        "large", **_COMMON, embed_dim=144, num_heads=2, stages=(2, 6, 36, 4),
        global_blocks=(23, 33, 43), window_spec=(8, 4, 16, 8), pos_embed_grid=7,
    ),
    # Ours: small enough to train and to run on two CPU cores. Windows divide the grids of both
    # 128 and 256 px, so no window is padded at the sizes it is trained at.
    "nano": Sam2Config(
        "nano", version="2.1", image_size=256, embed_dim=48, num_heads=1, stages=(1, 2, 4, 1),
        global_blocks=(4, 6), window_spec=(8, 4, 8, 4), pos_embed_grid=8, hidden_dim=128,
        memory_layers=2, ffn_dim=512, decoder_heads=4, decoder_mlp_dim=512,
    ),
    "debug": Sam2Config(
        "debug", version="2.1", image_size=64, embed_dim=8, num_heads=1, stages=(1, 1, 2, 1),
        global_blocks=(3,), window_spec=(8, 4, 4, 2), pos_embed_grid=4, hidden_dim=32,
        memory_dim=16, memory_layers=2, ffn_dim=64, decoder_heads=2, decoder_mlp_dim=64,
    ),
}  # fmt: skip

OFFICIAL = ("tiny", "small", "base_plus", "large")


def get_config(name: str, version: str = "2.1", image_size: int | None = None) -> Sam2Config:
    """The configuration of a named variant; ValueError names what is known."""
    if name not in VARIANTS:
        raise ValueError(f"model {name!r}: expected one of {tuple(VARIANTS)}")
    config = VARIANTS[name].replace(version=version)
    return config if image_size is None else config.replace(image_size=image_size)
