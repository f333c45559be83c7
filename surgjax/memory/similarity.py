"""How alike two spatial memories are: one number, larger is more alike.

Path:    memory_bank -> [similarity] -> diverse_memory, frame_pruning
Axes:    memories [..., N, D] with N = h * w tokens in rows of the image, h = w.
Numerics: float32 whatever the memories are kept in; norms are at least 1e-8.
Errors:  ValueError on a kind that is not known.
Source:  DLM of ReSurgSAM2 (`width`), Surgical-SAM-2's pruning (`token`).
Differs: ReSurgSAM2's paper reads as the cosine of whole memories (`flatten`); its code takes the
         cosine along the last axis of a (D, h, w) map, the image columns, and sums the rest
         (`width`).
"""

import jax
import jax.numpy as jnp

KINDS = ("flatten", "token", "width")
_TINY = 1e-8


def cosine(a: jax.Array, b: jax.Array, axis: int) -> jax.Array:
    """Along an axis of vectors that broadcast."""
    norms = jnp.linalg.norm(a, axis=axis) * jnp.linalg.norm(b, axis=axis)
    return (a * b).sum(axis) / jnp.maximum(norms, _TINY)


def similarity(a: jax.Array, b: jax.Array, kind: str = "flatten") -> jax.Array:
    """[...] float32 of memories a and b [..., N, D] of equal rank; leading axes broadcast.

    flatten: cosine of the flattened memories, in -1..1. token: cosine over channels, summed over
    tokens. width: cosine along image columns, summed over channels and rows.
    """
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    if kind == "flatten":
        a, b = (x.reshape(*x.shape[:-2], -1) for x in (a, b))
        return cosine(a, b, -1)
    if kind == "token":
        return cosine(a, b, -1).sum(-1)
    if kind != "width":
        raise ValueError(f"similarity {kind!r}: expected one of {', '.join(KINDS)}.")
    tokens, channels = a.shape[-2:]
    side = round(tokens**0.5)
    if side * side != tokens:
        raise ValueError(f"similarity width: {tokens} tokens are no square.")
    a, b = (x.reshape(*x.shape[:-2], side, side, channels) for x in (a, b))
    return cosine(a, b, -2).sum((-2, -1))
