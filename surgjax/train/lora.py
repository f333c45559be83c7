"""LoRA: low-rank changes of chosen kernels, kept beside the model's own parameters.

Path:    params -> [lora] -> params with `lora` -> recipe "lora" -> merged params -> model, export
Axes:    a kernel is a matrix [m, n] once its input axes are folded; its change is alpha / r * a b
         with a [m, r], b [r, n]. Both lie at `lora/<path of the kernel's module>`.
Errors:  ValueError naming a pattern without a kernel, a rank that is none, or adapters that do not
         fit the tree.
Source:  Hu et al., LoRA, arXiv:2106.09685: a random, b zero, so that nothing changes at first.
Differs: the modules know nothing of it: the model gets merged kernels, so a step forms the full
         change and its full gradient for one kernel at a time (no optimizer state for them), and a
         merged export costs nothing at inference. The first rank-r product is not split off.
"""

import dataclasses
import fnmatch
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from surgjax.train import parameter_rules
from surgjax.train.optimizers import kernel_rows

NAME = "lora"  # its key beside the model's own parameters

# Attention of the image encoder, of the memory and of the mask decoder.
ATTENTION = (
    "image_encoder/trunk/blocks_*/attn/*",
    "memory_attention/layers_*/*attn*/*_proj",
    "sam_mask_decoder/transformer/*attn*/*_proj",
)


@dataclasses.dataclass(frozen=True)
class LoraOptions:
    """rank r and alpha of the change; patterns of the modules whose kernels get one."""

    rank: int = 8
    alpha: float = 16.0
    modules: tuple[str, ...] = ATTENTION

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"lora rank: expected 1 or more, found {self.rank}.")
        if not self.alpha > 0:
            raise ValueError(f"lora alpha: expected a number above 0, found {self.alpha}.")


def _kernels(params: Any) -> dict[str, tuple[int, ...]]:
    """Path of a module -> shape of its kernel."""
    shapes = {}

    def leaf(name: str, value: Any) -> None:
        if name.endswith("/kernel") and value.ndim >= 2:
            shapes[name.removesuffix("/kernel")] = tuple(value.shape)

    parameter_rules.map_named(leaf, params)
    return shapes


def _matrix(module: str, shape: tuple[int, ...]) -> tuple[int, int]:
    rows = int(np.prod(shape[: kernel_rows(module, len(shape))]))
    return rows, int(np.prod(shape)) // rows


def _adapter(module: str, shape: tuple[int, ...], rank: int, seed: int) -> dict[str, np.ndarray]:
    """Drawn from the module's name, so that another choice of modules changes no other's start."""
    rows, columns = _matrix(module, shape)
    if rank > min(rows, columns):
        raise ValueError(f"lora rank {rank} exceeds that of {module}/kernel, {rows} x {columns}.")
    rng = np.random.default_rng((seed, zlib.crc32(module.encode())))
    bound = rows**-0.5
    return {
        "a": rng.uniform(-bound, bound, (rows, rank)).astype(np.float32),
        "b": np.zeros((rank, columns), np.float32),
    }


def add(params: Mapping[str, Any], options: LoraOptions, seed: int) -> dict[str, Any]:
    """`params` with adapters that change nothing yet; for the recipe "lora"."""
    if NAME in params:
        raise ValueError("these parameters have adapters already; lora.merge puts them in.")
    shapes, tree = _kernels(params), {}
    chosen = set()
    for pattern in options.modules:
        found = fnmatch.filter(shapes, pattern)
        if not found:
            raise ValueError(f"lora module {pattern!r}: no module with a kernel has such a path.")
        chosen.update(found)
    for module in sorted(chosen):
        node = tree
        for level in module.split("/"):
            node = node.setdefault(level, {})
        node.update(_adapter(module, shapes[module], options.rank, seed))
    return {**params, NAME: tree}


def _merged(module: Any, adapter: Any, scale: float, path: str) -> Any:
    if not isinstance(module, Mapping) or not isinstance(adapter, Mapping):
        raise ValueError(f"lora: adapters at {path or 'the top'} do not fit the parameters.")
    merged = dict(module)
    if "a" in adapter and "b" in adapter:
        if "kernel" not in module:
            raise ValueError(f"lora: {path} has no kernel to adapt.")
        kernel = module["kernel"]
        change = scale * (adapter["a"] @ adapter["b"])
        if change.size != np.prod(kernel.shape):
            raise ValueError(f"lora: {path}/kernel is {kernel.shape}, its change {change.shape}.")
        merged["kernel"] = kernel + jnp.reshape(change, kernel.shape).astype(kernel.dtype)
        return merged
    for name, inner in adapter.items():
        merged[name] = _merged(module.get(name), inner, scale, f"{path}/{name}".strip("/"))
    return merged


def merge(params: Mapping[str, Any], options: LoraOptions) -> dict[str, Any]:
    """The model's own parameters with the adapters put in, for a step or for export."""
    if NAME not in params:
        raise ValueError("no adapters among these parameters: lora.add makes them.")
    own = {name: value for name, value in params.items() if name != NAME}
    adapters = params[NAME]
    named = parameter_rules.named_leaves(adapters)
    found = {np.shape(leaf)[-1] for path, leaf in named.items() if path.endswith("/a")}
    if found != {options.rank}:
        raise ValueError(f"lora rank {options.rank}, but the adapters have {sorted(found)}.")
    return _merged(own, adapters, options.alpha / options.rank, "")


def adapted(loss_fn: Callable[..., Any], options: LoraOptions) -> Callable[..., Any]:
    """The loss of merged parameters: loss_fn(params, batch, key) as a function of the adapters."""
    return lambda params, batch, key: loss_fn(merge(params, options), batch, key)
