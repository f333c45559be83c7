"""Scaled dot-product attention: one small dense form, and two that never hold the score matrix.

Axes:    q [B, Nq, heads, C], k [B, Nk, heads, C], v [B, Nk, heads, Cv] -> [B, Nq, heads, Cv].
Numerics: products take operands as given and sum in float32; the softmax is float32.
Errors:  those of jax.nn.dot_product_attention, where cuDNN is too old for a shape.
Source:  FlashAttention (arXiv:2205.14135) for both: written out for CPU and TPU, cuDNN's on NVIDIA
         GPUs.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

# Above this many scores per head the score matrix leaves the cache and tiling wins on a CPU.
_DENSE_SCORES = 1 << 20
_KEY_TILE = 512
# Below it (windows, a few tokens) a fused kernel has nothing to save.
_FUSED_SCORES = 1 << 16
NEG_INF = -1e30  # not -inf: a fully masked tile must give exp(-inf - -inf) != nan


def attention(
    q: jax.Array, k: jax.Array, v: jax.Array, key_mask: jax.Array | None = None
) -> jax.Array:
    """softmax(q k^T / sqrt(C)) v. key_mask [B, Nk] bool hides padded keys."""
    if key_mask is None and v.shape == k.shape and fits_fused(q, k.shape[1]):
        return fused_attention(q, k, v)
    if q.shape[1] * k.shape[1] > _DENSE_SCORES and key_mask is None and k.shape[1] % _KEY_TILE == 0:
        return tiled_attention(q, k, v)
    return dense_attention(q, k, v, key_mask)


_is_portable = contextvars.ContextVar("portable attention", default=False)


@contextlib.contextmanager
def portable_attention() -> Iterator[None]:
    """What is traced within calls no library: for programs that go to other machines."""
    token = _is_portable.set(True)
    try:
        yield
    finally:
        _is_portable.reset(token)


def fused_width() -> int:
    """The widest head that cuDNN's flash attention takes on JAX's first device, or 0."""
    if _is_portable.get() or jax.default_backend() != "gpu":
        return 0
    device = jax.devices()[0]
    if "cuda" not in device.client.platform_version:  # ROCm calls itself "gpu" too
        return 0
    capability = float(device.compute_capability)
    return 0 if capability < 8 else 128 if capability < 9 else 256


def fits_fused(q: jax.Array, keys: int) -> bool:
    """Whether queries with so many keys go to cuDNN: half precision, and enough to do."""
    half = q.dtype in (jnp.bfloat16, jnp.float16)
    width = q.shape[-1]
    if not half or width % 8 or q.shape[1] * keys < _FUSED_SCORES:
        return False
    return width <= fused_width()


def fused_attention(
    q: jax.Array, k: jax.Array, v: jax.Array, lengths: jax.Array | None = None
) -> jax.Array:
    """cuDNN's flash attention; C = Cv. lengths [B] int32: so many of the first keys are valid."""
    # Left to JAX the queries' lengths are a constant, which its batching rule cannot reshape.
    rows = None if lengths is None else 0 * lengths + q.shape[1]
    return jax.nn.dot_product_attention(
        q, k, v, query_seq_lengths=rows, key_value_seq_lengths=lengths, implementation="cudnn"
    )


def dense_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    key_mask: jax.Array | None = None,
    key_weight: jax.Array | None = None,
) -> jax.Array:
    """The textbook form, differentiable, one score matrix per head.

    key_weight [Nk]: so many times a key is there.
    """
    dtype = v.dtype
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = jnp.einsum("bhqc,bhkc->bhqk", q, k, preferred_element_type=jnp.float32)
    scores = scores * (q.shape[-1] ** -0.5)
    if key_weight is not None:
        scores = scores + jnp.log(key_weight)[None, None, None]
    if key_mask is not None:
        scores = jnp.where(key_mask[:, None, None, :], scores, NEG_INF)
    weights = jax.nn.softmax(scores, axis=-1).astype(dtype)
    out = jnp.einsum("bhqk,bhkc->bhqc", weights, v, preferred_element_type=jnp.float32)
    return out.transpose(0, 2, 1, 3).astype(dtype)


def tiled_attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """The same value with a running softmax over tiles of keys (Nk a multiple of the tile)."""
    dtype = v.dtype
    b, nk, heads, _ = k.shape
    tiles = nk // _KEY_TILE
    q = q.transpose(0, 2, 1, 3)
    k, v = (
        x.reshape(b, tiles, _KEY_TILE, heads, x.shape[-1]).transpose(1, 0, 3, 2, 4) for x in (k, v)
    )

    def step(carry, kv):
        return online_softmax(carry, q, *kv, scale=q.shape[-1] ** -0.5), None

    out, _ = lax.scan(jax.checkpoint(step), empty_softmax(q.shape[:-1], v.shape[-1]), (k, v))
    return finish_softmax(out).transpose(0, 2, 1, 3).astype(dtype)


Softmax = tuple[jax.Array, jax.Array, jax.Array]  # running maximum, sum, weighted values


def empty_softmax(lead: tuple[int, ...], width: int) -> Softmax:
    """A softmax over no key yet; lead are the query axes."""
    return (
        jnp.full(lead, NEG_INF, jnp.float32),
        jnp.zeros(lead, jnp.float32),
        jnp.zeros((*lead, width), jnp.float32),
    )


def online_softmax(
    carry: Softmax,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    scale: float,
    key_mask: jax.Array | None = None,
    key_weight: int = 1,
) -> Softmax:
    """Adds keys k [..., K, C] with values v [..., K, Cv] for queries q [..., Q, C].

    key_mask [..., K] bool, broadcast over the query axis. key_weight: so many times each key is
    there.
    """
    top, total, acc = carry
    scores = jnp.einsum("...qc,...kc->...qk", q, k, preferred_element_type=jnp.float32) * scale
    if key_mask is not None:
        scores = jnp.where(key_mask[..., None, :], scores, NEG_INF)
    new_top = jnp.maximum(top, scores.max(-1))
    weights = jnp.exp(scores - new_top[..., None])
    if key_mask is not None:  # a wholly masked tile would otherwise count as exp(0)
        weights = jnp.where(key_mask[..., None, :], weights, 0.0)
    if key_weight != 1:
        weights = weights * key_weight
    fade = jnp.exp(top - new_top)
    total = total * fade + weights.sum(-1)
    part = jnp.einsum(
        "...qk,...kc->...qc", weights.astype(v.dtype), v, preferred_element_type=jnp.float32
    )
    return new_top, total, acc * fade[..., None] + part


def finish_softmax(carry: Softmax) -> jax.Array:
    """The attended values; zeros where no key was valid."""
    _, total, acc = carry
    return acc / jnp.maximum(total, 1e-30)[..., None]
