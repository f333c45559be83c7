"""Weights between those a run started from and those it ended with.

Path:    two trees of parameters -> [blending] -> export
Errors:  ValueError where the trees differ or the share lies outside 0..1.
Source:  Wortsman et al., Robust fine-tuning of zero-shot models, arXiv:2109.01903.
Differs: what SAM2S adds and the first weights lack has nothing to be mixed with: it is the run's.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

PARTS = ("semantic", "long_tpos_enc")  # what SAM2S adds


def parts_of_run_alone(params: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The parts that the run has and the other weights lack."""
    return [part for part in PARTS if part in params and part not in other]


def blend(params: Mapping[str, Any], other: Mapping[str, Any], share: float) -> dict[str, Any]:
    """`share` of each array of `params` and the rest of `other`; float32, the tree of `params`.

    Parts that only `params` has are taken as they are.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"--share {share}: expected 0..1.")
    alone = parts_of_run_alone(params, other)
    both = {name: leaf for name, leaf in params.items() if name not in alone}
    shapes = [jax.tree.map(np.shape, tree) for tree in (both, dict(other))]
    if shapes[0] != shapes[1]:
        raise ValueError("--blend: the weights are not of the variant that was trained.")

    def mix(mine: Any, theirs: Any) -> np.ndarray:
        return share * np.asarray(mine, np.float32) + (1 - share) * np.asarray(theirs, np.float32)

    kept = {name: jax.tree.map(np.float32, params[name]) for name in alone}
    return {**jax.tree.map(mix, both, dict(other)), **kept}
