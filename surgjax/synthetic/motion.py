"""Smooth random curves in time: reaches, hand tremor, breathing.

Path:    [motion] -> instruments, scene
Axes:    curves are [T, D] float64, one row per frame.
Units:   `every` is frames between key values.
"""

import numpy as np


def keyed_curve(rng, num_frames: int, low, high, every: float, spread: float = 1.0) -> np.ndarray:
    """Eases between random key values: start, reach, rest, reach again.

    `spread` in 0..1 shrinks the keys towards their own mean, so that a curve may keep to a small
    part of (low, high).
    """
    low, high = np.atleast_1d(np.asarray(low, float)), np.atleast_1d(np.asarray(high, float))
    keys = max(2, int(np.ceil(num_frames / every)) + 2)
    values = rng.uniform(low, high, (keys, low.size))
    centre = rng.uniform(low, high, (1, low.size))
    values = centre + spread * (values - centre)
    position = (np.arange(num_frames) / every + rng.random()).clip(0, keys - 1.001)
    index = position.astype(int)
    x = (position - index)[:, None]
    ease = x * x * (3 - 2 * x)
    return values[index] * (1 - ease) + values[index + 1] * ease


def tremor(rng, num_frames: int, dims: int, amplitude: float, period: float) -> np.ndarray:
    """A few sinusoids about `period` frames long, `amplitude` at most about twice exceeded."""
    time = np.arange(num_frames)[:, None]
    total = np.zeros((num_frames, dims))
    for harmonic in (1.0, 1.7, 2.9):
        frequency = 2 * np.pi * harmonic / period * rng.uniform(0.8, 1.2, dims)
        total += np.sin(time * frequency + rng.uniform(0, 2 * np.pi, dims)) / harmonic
    return amplitude * total


def absence(rng, num_frames: int, ramp: int = 5) -> np.ndarray:
    """[T] in 0..1: 0 in place, 1 fully withdrawn, for one stretch in the middle of the clip."""
    gone = int(rng.integers(1, max(2, num_frames // 4) + 1))
    ramp = max(1, min(ramp, num_frames // 4))
    latest = max(2, num_frames - gone - ramp)
    start = int(rng.integers(min(ramp, latest - 1), latest))
    time = np.arange(num_frames)
    outward = np.clip((time - start + ramp) / ramp, 0, 1)
    inward = np.clip((time - start - gone) / ramp, 0, 1)
    x = np.clip(outward - inward, 0, 1)
    return x * x * (3 - 2 * x)
