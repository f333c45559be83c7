"""CLIP's text tower: a causal transformer that turns token ids into one vector per text.

Path:    clip_tokenizer -> token ids -> [clip_text_encoder] -> text vectors -> text_bank
Axes:    token_ids [N, L]; hidden [N, L, C]; text vectors [N, D], not normalised.
Units:   none.
Errors:  ValueError, while tracing, for more tokens than there are positions, or sizes that do not
         fit each other.
Source:  CLIP, arXiv:2103.00020; names and order of `CLIPTextModelWithProjection` in transformers
         5.23.
Differs: no padding mask: the tower is causal and reads its answer at the first end token, so what
         follows it has no effect.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from surgjax.layers.attention import NEG_INF
from surgjax.layers.linear import Embedding, LayerNorm, Linear, gelu
from surgjax.typing import Array, Float, Int, typechecked


def quick_gelu(x: jax.Array) -> jax.Array:
    """x * sigmoid(1.702 x), the form OpenAI trained CLIP with."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": gelu}


@dataclasses.dataclass(frozen=True)
class ClipTextConfig:
    """Sizes of a text tower; the defaults are those of ViT-B/32 (and of ViT-B/16)."""

    vocabulary: int = 49408
    context: int = 77
    width: int = 512
    hidden: int = 2048
    layers: int = 12
    heads: int = 8
    projection: int = 512
    activation: str = "quick_gelu"
    epsilon: float = 1e-5

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}.")
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation {self.activation!r}: expected one of {known}.")


VIT_B_32 = ClipTextConfig()


def debug_config(vocabulary: int = 600) -> ClipTextConfig:
    """The smallest tower with every part, for tests."""
    return ClipTextConfig(vocabulary, 16, width=16, hidden=32, layers=2, heads=2, projection=8)


class _Attention(nn.Module):
    config: ClipTextConfig

    def setup(self):
        width = self.config.width
        self.q_proj, self.k_proj = Linear(width, width), Linear(width, width)
        self.v_proj, self.out_proj = Linear(width, width), Linear(width, width)

    def __call__(self, x: jax.Array) -> jax.Array:
        heads = self.config.heads
        n, length, width = x.shape
        q, k, v = (
            project(x).reshape(n, length, heads, width // heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = jnp.einsum("nqhc,nkhc->nhqk", q, k) * (width // heads) ** -0.5
        is_seen = jnp.tril(jnp.ones((1, 1, length, length), bool))
        weights = jax.nn.softmax(jnp.where(is_seen, scores, NEG_INF), axis=-1)
        out = jnp.einsum("nhqk,nkhc->nqhc", weights, v)
        return self.out_proj(out.reshape(n, length, width))


class _Mlp(nn.Module):
    config: ClipTextConfig

    def setup(self):
        self.fc1 = Linear(self.config.width, self.config.hidden)
        self.fc2 = Linear(self.config.hidden, self.config.width)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc2(ACTIVATIONS[self.config.activation](self.fc1(x)))


class _Layer(nn.Module):
    config: ClipTextConfig

    def setup(self):
        width, epsilon = self.config.width, self.config.epsilon
        self.layer_norm1, self.layer_norm2 = LayerNorm(width, epsilon), LayerNorm(width, epsilon)
        self.self_attn, self.mlp = _Attention(self.config), _Mlp(self.config)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class _Embeddings(nn.Module):
    config: ClipTextConfig

    def setup(self):
        self.token_embedding = Embedding(self.config.vocabulary, self.config.width)
        self.position_embedding = Embedding(self.config.context, self.config.width)

    def __call__(self, token_ids: jax.Array) -> jax.Array:
        positions = self.position_embedding()[None, : token_ids.shape[1]]
        return self.token_embedding()[token_ids] + positions


class _Layers(nn.Module):
    config: ClipTextConfig

    def setup(self):
        self.layers = [_Layer(self.config) for _ in range(self.config.layers)]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class _TextModel(nn.Module):
    config: ClipTextConfig

    def setup(self):
        self.embeddings, self.encoder = _Embeddings(self.config), _Layers(self.config)
        self.final_layer_norm = LayerNorm(self.config.width, self.config.epsilon)

    def __call__(self, token_ids: jax.Array) -> jax.Array:
        return self.final_layer_norm(self.encoder(self.embeddings(token_ids)))


class ClipTextEncoder(nn.Module):
    """Text vectors [N, projection] of token ids [N, L], L up to the context.

    The end token is the last of the vocabulary; each row must hold it.
    """

    config: ClipTextConfig = VIT_B_32

    def setup(self):
        self.text_model = _TextModel(self.config)
        self.text_projection = _Projection(self.config)

    @typechecked
    def __call__(self, token_ids: Int[Array, "N L"]) -> Float[Array, "N D"]:
        if token_ids.shape[1] > self.config.context:
            raise ValueError(
                f"{token_ids.shape[1]} tokens do not fit {self.config.context} positions."
            )
        hidden = self.text_model(token_ids)
        end = jnp.argmax(token_ids == self.config.vocabulary - 1, axis=1)
        pooled = jnp.take_along_axis(hidden, end[:, None, None], axis=1)[:, 0]
        return self.text_projection(pooled)


class _Projection(nn.Module):
    config: ClipTextConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.config.width, self.config.projection)
        return x @ self.param("kernel", nn.initializers.normal(shape[0] ** -0.5), shape)


def param_shapes(config: ClipTextConfig) -> dict[str, Any]:
    """Nested dict of what the tower needs, computed without drawing a weight."""
    ids = jax.ShapeDtypeStruct((1, config.context), np.int32)
    made = jax.eval_shape(ClipTextEncoder(config).init, jax.random.key(0), ids)
    return made["params"]


def encode(
    params: dict[str, Any], config: ClipTextConfig, token_ids: np.ndarray, batch: int = 32
) -> np.ndarray:
    """Text vectors [N, D] float32, not normalised, in batches of one shape.

    Positions after the longest text are left out, which saves most of the work for short ones.
    """
    longest = int((token_ids == config.vocabulary - 1).argmax(1).max(initial=0)) + 1
    length = min(-(-longest // 16) * 16, token_ids.shape[1])
    end = np.int32(config.vocabulary - 1)
    padded = np.full((-(-len(token_ids) // batch) * batch, length), end, np.int32)
    padded[: len(token_ids)] = token_ids[:, :length]
    run = jax.jit(lambda p, ids: ClipTextEncoder(config).apply({"params": p}, ids))
    params = jax.device_put(params)
    with jax.default_matmul_precision("highest"):
        parts = [
            np.asarray(run(params, padded[i : i + batch])) for i in range(0, len(padded), batch)
        ]
    return np.concatenate(parts)[: len(token_ids)]
