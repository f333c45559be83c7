"""Dense supervision of the image encoder while it is trained from nothing; dropped at export.

Path:    ImageFeatures -> [auxiliary_head] -> class scores at S/4 -> loss
Axes:    B images, S side, K classes; weights of one stride are [C, K * r * r] with r = stride / 4.
Units:   classes 0 background, 1 shaft, 2 wrist, 3 jaws, 4 another object, 5 edge of an object.
Differs: SAM 2 has no such head. Through the mask decoder alone an untrained encoder gets too little
         signal: boxes end up filled, edges are not followed. A linear read-out of all three strides
         tells it directly what is where.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.structs import ImageFeatures

NAME = "auxiliary_head"  # its key beside the model's own parameters
CLASSES = 6


def init_params(hidden_dim: int, seed: int) -> dict:
    """Small random weights for features of width d/8, d/4 and d at strides 4, 8 and 16."""
    rng = np.random.default_rng((seed, 6))
    params = {}
    for name, width, ratio in (("s4", hidden_dim // 8, 1), ("s8", hidden_dim // 4, 2),
                               ("s16", hidden_dim, 4)):  # fmt: skip
        kernel = rng.standard_normal((width, CLASSES * ratio**2)) * width**-0.5
        params[name] = {"kernel": kernel.astype(np.float32)}
    return params


def scores(params: dict, features: ImageFeatures) -> jax.Array:
    """Class scores [B, S/4, S/4, K]: the sum of what every stride says."""
    total = None
    for name in ("s4", "s8", "s16"):
        x = getattr(features, name).astype(jnp.float32) @ params[name]["kernel"]
        b, h, w, channels = x.shape
        r = round((channels / CLASSES) ** 0.5)
        x = x.reshape(b, h, w, r, r, CLASSES).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(b, h * r, w * r, CLASSES)
        total = x if total is None else total + x
    assert total is not None
    return total


def loss(params: dict, features: ImageFeatures, classes: jax.Array) -> jax.Array:
    """Mean cross-entropy with the share of each class [B, S, S] in every 4x4 cell."""
    b, side, _ = classes.shape
    cells = jax.nn.one_hot(classes, CLASSES).reshape(b, side // 4, 4, side // 4, 4, CLASSES)
    logs = jax.nn.log_softmax(scores(params, features))
    return -(cells.mean((2, 4)) * logs).sum(-1).mean()


def without(params: dict[str, Any]) -> dict[str, Any]:
    """The model's parameters alone."""
    return {name: leaf for name, leaf in params.items() if name != NAME}
