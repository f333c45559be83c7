"""Which activations a training step keeps for its backward pass, and which it computes again.

Path:    [rematerialisation] -> train.steps
Errors:  ValueError naming the policies there are.
Source:  `jax.checkpoint` and its policies.
Differs: nothing to differ from; the names say what is kept.
"""

from collections.abc import Callable
from typing import Any

import jax

_KEEP: dict[str, Callable[..., Any]] = {
    "full": jax.checkpoint_policies.nothing_saveable,  # least memory: only inputs are kept
    "dots": jax.checkpoint_policies.checkpoint_dots,  # results of all matrix products
    # Results of products with weights, not of those between activations (attention scores).
    "dots_no_batch": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
}
POLICIES = ("none", *_KEEP)


def check_policy(policy: str) -> None:
    if policy not in POLICIES:
        raise ValueError(f"remat: one of {POLICIES} expected, found {policy!r}.")


def rematerialise(function: Callable, policy: str, in_scan: bool = False) -> Callable:
    """The same function; its backward pass computes anew what `policy` does not keep.

    in_scan: it is the body of a `lax.scan`, where XLA cannot undo the work by merging the two
    computations, so that nothing has to keep it from doing so.
    """
    check_policy(policy)
    if policy == "none":
        return function
    return jax.checkpoint(function, policy=_KEEP[policy], prevent_cse=not in_scan)
