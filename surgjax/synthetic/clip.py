"""Generated clips and images with exact truth: the entry to the synthetic world.

Path:    config, scene, effects -> [clip] -> build, training, tests, demo
Axes:    frames_u8 [T, S, S, 3] RGB uint8; label_maps and part_maps [T, S, S] uint8.
Units:   labels 0 background, 1..n objects; parts 0, 1 shaft, 2 wrist, 3 jaws.
Errors:  ValueError for a size that is too small, no frames, or a negative seed.
"""

import dataclasses

import numpy as np

from surgjax.synthetic.config import SceneConfig
from surgjax.synthetic.effects import Optics
from surgjax.synthetic.scene import Scene

_ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames and their truth. Objects are those that show at least one pixel somewhere."""

    frames_u8: np.ndarray
    label_maps: np.ndarray
    part_maps: np.ndarray
    object_ids: tuple[int, ...]  # 1..n
    object_names: tuple[str, ...]
    object_classes: tuple[str, ...]
    seed: int


def generate_clip(seed: int, num_frames: int = 16, size: int = 256, config=None) -> Clip:
    """A clip of a random scene; the same arguments give the same bytes."""
    if seed < 0 or num_frames < 1 or size < 32:
        raise ValueError(
            f"Expected seed >= 0, num_frames >= 1, size >= 32, found {seed}, {num_frames}, {size}."
        )
    config = config or SceneConfig()
    for attempt in range(_ATTEMPTS):  # a scene may happen to show nothing at all: draw again
        clip = _draw(np.random.default_rng((seed, attempt)), seed, num_frames, size, config)
        if len(clip.object_ids) >= config.min_objects:
            return clip
    raise ValueError(f"No scene of seed {seed} shows {config.min_objects} objects: {config}.")


def generate_image(seed: int, size: int = 256, config=None) -> Clip:
    """One frame of a random scene (T = 1), without the cost of motion."""
    return generate_clip(seed, 1, size, config)


def _draw(rng, seed, num_frames, size, config) -> Clip:
    scene = Scene(rng, num_frames, size, config)
    optics = Optics(rng, num_frames, size, config)
    optics.follow(scene.carry)
    frames = np.empty((num_frames, size, size, 3), np.uint8)
    labels = np.empty((num_frames, size, size), np.uint8)
    parts = np.empty((num_frames, size, size), np.uint8)
    for t in range(num_frames):
        image, labels[t], parts[t] = scene.render(t)
        frames[t] = optics.develop(image, labels[t], parts[t], t)
    shown = [k for k in range(1, len(scene.objects) + 1) if (labels == k).any()]
    table = np.zeros(256, np.uint8)
    table[shown] = np.arange(1, len(shown) + 1)
    things = [scene.objects[k - 1] for k in shown]
    return Clip(
        frames,
        table[labels],
        parts,
        tuple(range(1, len(shown) + 1)),
        tuple(thing.name for thing in things),
        tuple(thing.kind for thing in things),
        seed,
    )
