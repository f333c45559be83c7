"""Weights between those a run started from and those it ended with.

Path:    two trees of parameters -> [blending] -> export
Errors:  ValueError where the trees differ or the share lies outside 0..1.
Source:  Wortsman et al., Robust fine-tuning of zero-shot models, arXiv:2109.01903.
Differs: nothing.
"""

from typing import Any

import jax
import numpy as np


def blend(params: Any, other: Any, share: float) -> Any:
    """`share` of each array of `params` and the rest of `other`; float32, same tree."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"--share {share}: expected 0..1.")
    shapes = [jax.tree.map(np.shape, tree) for tree in (params, other)]
    if shapes[0] != shapes[1]:
        raise ValueError("--blend: the weights are not of the variant that was trained.")

    def mix(mine: Any, theirs: Any) -> np.ndarray:
        return share * np.asarray(mine, np.float32) + (1 - share) * np.asarray(theirs, np.float32)

    return jax.tree.map(mix, params, other)
