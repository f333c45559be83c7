"""Pooled memories: those before the latest are read as averages of squares, or by few layers.

Path:    memory_bank -> [pooled_memory] -> memory attention
Axes:    one object; see `MemoryBank`. `read` returns a `MemoryRead` with B = 1.
Units:   squares in cells of the memory's grid (16 px of the model's input each).
Errors:  ValueError naming the option.
Source:  ours. Attending to averaged squares of keys and values, each counted as often as it has
         cells, is EfficientTAM's (arXiv:2411.18933), which is trained with it and pools all
         memories; here weights of SAM 2 are used as they are, and prompts and the latest memories
         stay whole.
Differs: from SAM 2 in what a frame costs: a square of 2 by 2 is a fourth of the products of keys
         and values. The bank is SAM 2's and keeps all cells.
"""

import dataclasses

import jax.numpy as jnp
from jax.typing import DTypeLike

from surgjax.memory.memory_bank import MemoryBank
from surgjax.memory.policies import Clock, MemoryPolicy, memory_read, recall, recent
from surgjax.structs import FarMemory, MemoryRead


@dataclasses.dataclass(frozen=True)
class PooledOptions:
    """What may be varied in `pooled`."""

    pool: int = 2  # cells along the side of a square that is averaged
    near: int = 1  # so many of the latest memories are read whole
    far_layers: int = 0  # so many of the last layers read the others; 0: all

    def __post_init__(self):
        for name, least in (("pool", 1), ("near", 0), ("far_layers", 0)):
            value = getattr(self, name)
            if not least <= value < 2**31:
                raise ValueError(f"{name}={value}: a number from {least} expected.")


def averaged(features: jnp.ndarray, pool: int) -> jnp.ndarray:
    """Memories [..., h * w, D] of square grids -> [..., h * w / pool**2, D], means of squares."""
    *lead, n, width = features.shape
    side = round(n**0.5)
    coarse = side // pool
    cells = features.astype(jnp.float32).reshape(*lead, coarse, pool, coarse, pool, width)
    return cells.mean((-4, -2)).reshape(*lead, coarse**2, width).astype(features.dtype)


def pooled(
    config,
    options: PooledOptions = PooledOptions(),
    cond_slots: int = 16,
    dtype: DTypeLike = jnp.bfloat16,
) -> MemoryPolicy:
    """SAM 2's bank, read for less, for a `Sam2Config`."""
    if config.grid % options.pool:
        raise ValueError(
            f"pool={options.pool}: a divisor of {config.grid} expected, the side of the memory's "
            f"grid at {config.image_size} px."
        )
    if options.far_layers > config.memory_layers:
        raise ValueError(
            f"far_layers={options.far_layers}: at most {config.memory_layers} expected, the layers "
            "of memory attention."
        )
    layers = options.far_layers or config.memory_layers

    def read(bank: MemoryBank, clock: Clock) -> MemoryRead:
        recalled = recall(bank, clock, config.max_cond_frames, config.num_maskmem)
        first = bank.cond_index.shape[0]
        use, back = recalled.use[first:], recalled.back[first:]
        latest = jnp.where(use, back, jnp.iinfo(jnp.int32).max).argsort(stable=True)
        near = use & (latest.argsort() < options.near)
        whole = recalled._replace(use=jnp.concatenate([recalled.use[:first], near]))
        found = memory_read(
            bank,
            clock,
            whole,
            config.max_cond_frames,
            config.max_object_pointers,
            config.has_pointer_positions,
        )
        far = use & ~near
        order = jnp.argsort(~far, stable=True)
        return found.replace(
            far=FarMemory(
                features=averaged(bank.recent_features[order], options.pool)[None],
                time_index=recalled.rows[first:][order][None].astype(jnp.int32),
                count=far.sum(dtype=jnp.int32)[None],
                layers=layers,
            )
        )

    return recent(config, cond_slots, dtype)._replace(read=read)
