"""Torch and JAX models of the same weights, built once per test session.

Path:    reference.build -> surgjax.checkpoints -> Pair -> tests of modules, test_clip.
Errors:  none of its own. Without torch the test files skip (SURGJAX_REQUIRE_PARITY forbids it); a
         skip in a conftest would end the whole run, so nothing here imports torch at the top.
Source:  ours.
Differs: nothing to differ from.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from surgjax.checkpoints import import_params
from surgjax.models.sam2 import Sam2
from surgjax.models.variants import Sam2Config, get_config


@dataclasses.dataclass(eq=False)
class Pair:
    """One set of weights in both frameworks."""

    hf: Any
    config: Sam2Config
    params: dict[str, Any]

    @property
    def size(self) -> int:
        return self.config.image_size

    def run(self, method: str | Callable, *args, **kwargs) -> Any:
        """Compiles and runs a method of Sam2, or a function of the bound model; NumPy out."""
        static = {k: v for k, v in kwargs.items() if isinstance(v, bool)}
        traced = {k: v for k, v in kwargs.items() if k not in static}

        @jax.jit
        def call(params, args, traced):
            model = Sam2(self.config)
            return model.apply({"params": params}, *args, **traced, **static, method=method)

        return jax.tree.map(np.asarray, call(self.params, args, traced))


@functools.cache
def make_pair(variant: str, size: int, seed: int = 0, score_bias: float = 0.0, version="2.1"):
    """The pair of a variant at an image size; version 2.0 drops the parts that 2.1 added."""
    import torch

    from tests.parity import reference

    torch.set_num_threads(1)
    hf = reference.build(variant, size, seed, score_bias, version)
    config = get_config(variant, version=version, image_size=size)
    state = {key: value.numpy() for key, value in hf.state_dict().items()}
    return Pair(hf, config, import_params(state, config))


@pytest.fixture(scope="session")
def pair() -> Callable[..., Pair]:
    return make_pair
