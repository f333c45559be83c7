"""Memories of the wrong object, so that a tracker learns to find its way back.

Path:    answers of a visit -> [drifted] -> memory encoder -> clip_memory
Axes:    R rows (one object of one clip), O objects of a clip, V visits.
Source:  ours. Tracking over minutes goes wrong by sliding onto something else when the object
         leaves, and then remembers that. Runs of a few frames never show it.
Differs: SAM 2 and SAM2S remember what the model answered, right or wrong. Here some rows remember,
         up to a visit drawn for each, the answer and pointer of the next object of the clip on
         frames without a prompt that are not kept for long. What is asked for stays the truth.
"""

import jax
import jax.numpy as jnp

from surgjax.structs import Array, MaskOutput

_STREAM = 1 << 21  # of randomness, beside those of prompts and memory


def last_drifting_visit(key: Array, rows: int, visits: int, probability: float) -> Array:
    """[R] int32: the last visit that a row remembers wrongly, -1 for a row that never does."""
    who, when = jax.random.split(jax.random.fold_in(key, _STREAM))
    last = jax.random.randint(when, (rows,), 0, visits)
    return jnp.where(jax.random.bernoulli(who, probability, (rows,)), last, -1)


def drifted(output: MaskOutput, now: Array, counts: Array, objects: int) -> MaskOutput:
    """What rows remember: rows `now` [R] the answer of the next object of their clip that counts.

    counts [R] bool: the slot holds an object. A row whose clip has no other keeps its own.
    """
    rows = jnp.arange(len(now)).reshape(-1, objects)
    real = counts.reshape(-1, objects)
    chosen = rows
    for turn in range(objects - 1, 0, -1):  # the nearest that counts is chosen last
        following = jnp.roll(rows, -turn, 1)
        chosen = jnp.where(jnp.roll(real, -turn, 1), following, chosen)
    partner = jnp.where(now, chosen.reshape(-1), rows.reshape(-1))
    return jax.tree.map(lambda x: x[partner], output)
