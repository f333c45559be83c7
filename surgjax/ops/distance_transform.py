"""Exact Euclidean distance to the border of a mask, inside a compiled program.

Path:    masks -> [distance_transform] -> prompts.clicks
Axes:    *B rows (objects), H W pixels.
Units:   squared pixels between pixel centres; everything outside the image counts as background.
Source:  Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", 2012, for the
         two passes. Their roots are OpenCV's DIST_L2 with mask size 0 of the mask padded by one
         pixel, to the last bit where OpenCV uses its own code; Intel IPP rounds some of them.
Differs: the second pass tries columns further and further away, until none can be nearer, instead
         of the lower envelope of parabolas: as many turns as the deepest pixel is deep, each over
         whole arrays. Squares stay whole numbers, so nothing is rounded.
"""

import jax.numpy as jnp
from jax import lax

from surgjax.typing import Array, Bool, Int


def squared_depths(masks: Bool[Array, "*B H W"]) -> Int[Array, "*B H W"]:
    """Squared distance of every true pixel to the nearest false one; 0 on false pixels."""
    *lead, height, width = masks.shape
    flat = masks.reshape(-1, height, width)
    row = jnp.arange(height, dtype=jnp.int32).reshape(1, height, 1)
    above = lax.cummax(jnp.where(flat, -1, row), axis=1)  # the last false row so far
    below = lax.cummin(jnp.where(flat, height, row), axis=1, reverse=True)
    vertical = jnp.minimum(row - above, below - row) ** 2
    padded = jnp.pad(vertical, ((0, 0), (0, 0), (width, width)))

    def is_open(state):
        offset, squares = state
        return (offset <= width) & (offset**2 < squares.max(initial=0))

    def look_further(state):
        offset, squares = state
        for start in (width - offset, width + offset):
            beside = lax.dynamic_slice_in_dim(padded, start, width, 2)
            squares = jnp.minimum(squares, beside + offset**2)
        return offset + 1, squares

    _, squares = lax.while_loop(is_open, look_further, (jnp.int32(1), vertical))
    return squares.reshape(*lead, height, width)
