"""The learned token that says what an object is, and its way into the space of text vectors.

Path:    [start] -> memory attention -> mask decoder -> [SemanticHead] -> class_logits
Axes:    B rows, d hidden width, K texts of a bank.
Units:   vectors and bank rows have length 1; the temperature divides their cosine.
Numerics: float32 throughout; it is one row per object.
Source:  SAM2S, arXiv:2511.16618, temporal semantic learning; no code of it can be had. Sizes, the
         projection and the temperature are ours: text vectors of CLIP ViT-B/32 have 512 channels,
         and its temperature starts at 0.07.
Differs: CLIP clamps the temperature after a step; here it is clamped where it is used, and beyond
         the limits it takes only gradients that lead back, so that it cannot be stuck there.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from surgjax.layers.linear import LayerNorm, Mlp

FIRST_TEMPERATURE = 0.07
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 1.0


class SemanticHead(nn.Module):
    """The token, its projection and the temperature: parameters under `semantic`."""

    features: int
    text_dim: int

    def setup(self):
        d, small = self.features, nn.initializers.truncated_normal(0.02)
        self.token = self.param("token", small, (1, d))
        first = nn.initializers.constant(FIRST_TEMPERATURE)
        self.temperature = self.param("temperature", first, (1,))
        self.norm = LayerNorm(d, 1e-5)
        self.mlp = Mlp((d, d, self.text_dim))

    def start(self, rows: int) -> jax.Array:
        """The learned token for every row [B, 1, d]."""
        return jnp.broadcast_to(self.token[None], (rows, *self.token.shape))

    def __call__(self, token: jax.Array) -> jax.Array:
        """What the mask decoder left of the token [B, d] as unit vectors [B, text_dim]."""
        return unit(self.mlp(self.norm(token)))


def unit(x: jax.Array) -> jax.Array:
    """Rows of length 1; a row of zeros stays one."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-12))


def class_logits(vectors: jax.Array, text: jax.Array, temperature: jax.Array) -> jax.Array:
    """Cosines of vectors [B, 512] with text [K, 512], over the clamped temperature [1]: [B, K]."""
    if text.ndim != 2 or text.shape[-1] != vectors.shape[-1]:
        raise ValueError(f"text vectors {text.shape}: expected [K, {vectors.shape[-1]}].")
    cosines = jnp.einsum(
        "bc,kc->bk",
        vectors.astype(jnp.float32),
        jnp.asarray(text, jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return cosines / clamp(temperature).reshape(1, 1)


@jax.custom_vjp
def clamp(temperature: jax.Array) -> jax.Array:
    """The temperature within its limits."""
    return jnp.clip(temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)


def _clamp_forward(temperature):
    return clamp(temperature), temperature


def _clamp_backward(temperature, gradient):
    """A step goes against the gradient; what would lead farther out is dropped."""
    falls, rises = gradient > 0, gradient < 0
    lost = (temperature <= MIN_TEMPERATURE) & falls | (temperature >= MAX_TEMPERATURE) & rises
    return (jnp.where(lost, 0.0, gradient),)


clamp.defvjp(_clamp_forward, _clamp_backward)
