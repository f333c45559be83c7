"""Parameter trees from the key table: without tracing the model, which takes seconds.

Axes:    shapes of our own layout, see surgjax.checkpoints.tables.sam2.
Differs: values are drawn, not initialised; tests/checkpoints holds the table against the model.
"""

import jax
import numpy as np

from surgjax.checkpoints.tables.sam2 import table
from surgjax.models import variants


def abstract(variant: str, version: str = "2.1") -> dict:
    """Shapes of every parameter, buffers included."""
    tree: dict = {}
    for row in table(variants.get_config(variant, version=version)):
        node = tree
        for level in row.path[:-1]:
            node = node.setdefault(level, {})
        node[row.path[-1]] = jax.ShapeDtypeStruct(row.params_shape, np.float32)
    return tree


def drawn(variant: str = "debug", seed: int = 0) -> dict:
    """Normal values of variance 1."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: rng.normal(0, 1, s.shape).astype(np.float32), abstract(variant))
