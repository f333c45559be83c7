r"""Does a set made from one background image teach a network to segment scenes it never saw?

  python -m experiments.single_bg.claim --seeds 3 --output claim.json

Path:    generated seed frames -> single_background -> U-Net -> held-out scenes -> [claim] -> table
Axes:    images [B, S, S, 3] float32 in -1..1, masks [B, S, S] bool: instruments.
Units:   IoU of the instrument class, mean over held-out images, in 0..1.
Source:  Wang et al., arXiv:2206.11804, whose claims these are: generated data alone suffices to
         segment real scenes; AugMix and a second or third seed image per instrument help.
Differs: "real" means scenes of the generated world (held-out seeds), since no real set is at hand;
         U-Net at 64 px. Every arm has the same network, steps, batch and rate; arms of one seed
         share their seed frames and the network's first weights. `frames` sees the same labelled
         frames and the same background, as they are; `shuffled`, the control that must fail, sees
         the set of `three` with the masks of other images.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags

from surgjax.models.unet import UNet
from surgjax.synthetic import Clip, generate_image
from surgjax.synthetic.build import HELD_OUT
from surgjax.synthetic.config import PRESETS
from surgjax.synthetic.jaws import KINDS
from surgjax.synthetic.single_background import Cutout, SingleBackground, SingleBackgroundConfig
from surgjax.synthetic.single_background.augmix import augmix

SIZE, BATCH = 64, 16
TOOLS, BASE_IMAGES = 4, 3  # kinds of instrument, labelled frames of each
_SCENES = PRESETS["simple"].replace(instruments=(1, 1), anatomy=(0, 0), p_leave=0.0)
_HELD_OUT_SCENES = PRESETS["simple"].replace(anatomy=(0, 0))
_SEEDS = flags.DEFINE_integer("seeds", 3, "Independent repetitions.")
_STEPS = flags.DEFINE_integer("steps", 400, "Updates of every arm.")
_IMAGES = flags.DEFINE_integer("images", 400, "Generated images of every arm.")
_HELD = flags.DEFINE_integer("held_out", 80, "Scenes the arms are scored on.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the scores; optional.")

ARMS = ("frames", "one", "two", "three", "three+augmix", "shuffled")
_ARMS = flags.DEFINE_list("arms", list(ARMS), f"Some of {','.join(ARMS)}.")
_GAINS = (
    ("three", "shuffled"),
    ("three", "frames"),
    ("two", "one"),
    ("three", "one"),
    ("three+augmix", "three"),
)
Set = tuple[np.ndarray, np.ndarray]  # uint8 images [N, S, S, 3], bool masks [N, S, S]


def instruments(scene: Clip) -> np.ndarray:
    """Mask [H, W] of everything that is an instrument."""
    ids = [k for k, kind in zip(scene.object_ids, scene.object_classes, strict=True)
           if kind in KINDS]  # fmt: skip
    return np.isin(scene.label_maps[0], ids)


def _small(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shrunk = cv2.resize(mask.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), shrunk >= 0.5


def held_out(count: int) -> Set:
    """Scenes that no arm was made from."""
    scenes = [generate_image(HELD_OUT + 3_000_000 + i, config=_HELD_OUT_SCENES)
              for i in range(count)]  # fmt: skip
    pairs = [_small(scene.frames_u8[0], instruments(scene)) for scene in scenes]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


def seed_frames(seed: int) -> tuple[np.ndarray, list[list[Cutout]]]:
    """One background without instruments, and BASE_IMAGES cut-outs of TOOLS kinds."""
    start = 4_500_000 + 10_000 * seed
    empty = PRESETS["simple"].replace(instruments=(0, 0), anatomy=(0, 0), min_objects=0)
    background = generate_image(start, config=empty).frames_u8[0]
    kinds: dict[str, list[Cutout]] = {}
    for i in range(1, 2000):
        scene = generate_image(start + i, config=_SCENES)
        mask = instruments(scene)
        if not 0.03 < mask.mean() < 0.4:
            continue
        group = kinds.setdefault(scene.object_names[0], [])
        if len(group) < BASE_IMAGES:
            group.append(Cutout(scene.frames_u8[0], mask, 1, f"scene {start + i}"))
        full = [group for group in kinds.values() if len(group) == BASE_IMAGES]
        if len(full) == TOOLS:
            return background, full
    raise ValueError(f"seed {seed}: {TOOLS} kinds of instruments were not found.")


def training_set(arm: str, seed: int, images: int) -> Set:
    """What an arm may see."""
    background, groups = seed_frames(seed)
    if arm == "frames":
        frames = [_small(c.image, c.mask) for group in groups for c in group]
        frames.append(_small(background, np.zeros(background.shape[:2], bool)))
        return np.stack([f[0] for f in frames]), np.stack([f[1] for f in frames])
    base = {"one": 1, "two": 2}.get(arm, BASE_IMAGES)
    cutouts = [c for group in groups for c in group[:base]]
    config = SingleBackgroundConfig(size=SIZE)
    generator = SingleBackground(background, cutouts, config, seed)
    made = [generator.image(i) for i in range(images)]
    masks = np.stack([m.label_maps[0] > 0 for m in made])
    masks = np.roll(masks, 1, 0) if arm == "shuffled" else masks
    return np.stack([m.frames_u8[0] for m in made]), masks


def batches(data: Set, seed: int, change: Callable[[np.random.Generator, np.ndarray], np.ndarray]):
    """Endless batches, drawn with replacement."""
    rng = np.random.default_rng(seed)
    while True:
        index = rng.integers(0, len(data[0]), BATCH)
        yield np.stack([change(rng, data[0][i]) for i in index]), data[1][index]


def _inputs(images: Any) -> jax.Array:
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def train(arm: str, seed: int, steps: int, images: int) -> tuple[UNet, Any]:
    """A U-Net on an arm's set: cross-entropy and Adam, as in the paper."""
    net = UNet(widths=(12, 24, 48, 96))
    params = net.init(jax.random.key(seed), jnp.zeros((1, SIZE, SIZE, 3)))
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    @jax.jit
    def step(params, state, frames, masks):
        def loss(p):
            logits: Any = net.apply(p, _inputs(frames))
            return optax.sigmoid_binary_cross_entropy(
                logits[..., 0], masks.astype(jnp.float32)
            ).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    change = (lambda rng, x: augmix(rng, x)) if arm.endswith("augmix") else (lambda rng, x: x)
    source = batches(training_set(arm, seed, images), seed, change)
    state, value = optimizer.init(params), 0.0
    for _ in range(steps):
        params, state, value = step(params, state, *next(source))
    if not np.isfinite(float(value)):
        raise FloatingPointError(f"arm {arm}, seed {seed}: the loss is {value}.")
    return net, params


def score(net: UNet, params: Any, data: Set) -> np.ndarray:
    """IoU of every held-out image."""
    starts = range(0, len(data[0]), BATCH)
    parts = [net.apply(params, _inputs(data[0][i : i + BATCH])) for i in starts]
    logits = np.concatenate([np.asarray(part)[..., 0] for part in parts])
    found, truth = logits > 0, data[1]
    union = (found | truth).sum((1, 2))
    return (found & truth).sum((1, 2)) / np.maximum(union, 1)


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over repetitions and images, [seeds, images]."""
    rng = np.random.default_rng(0)
    seeds, images = values.shape
    means = [
        values[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, images, images))].mean()
        for _ in range(draws)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def compare(seeds: int, steps: int, images: int, held: int, arms=ARMS) -> dict[str, np.ndarray]:
    """IoUs [seeds, held] of every arm."""
    data, found = held_out(held), {arm: [] for arm in arms}
    for seed in range(seeds):
        for arm in arms:
            found[arm].append(score(*train(arm, seed, steps, images), data))
            print(f"seed {seed}  {arm:<13} IoU {found[arm][-1].mean():.3f}", flush=True)
    return {arm: np.stack(rows) for arm, rows in found.items()}


def main(_):
    unknown = sorted(set(_ARMS.value) - set(ARMS))
    if unknown or not _ARMS.value:
        raise app.UsageError(f"--arms={','.join(_ARMS.value)}: some of {','.join(ARMS)} expected.")
    found = compare(_SEEDS.value, _STEPS.value, _IMAGES.value, _HELD.value, _ARMS.value)
    report: dict[str, Any] = {"seeds": _SEEDS.value, "steps": _STEPS.value, "arms": {}, "gains": {}}
    for arm, values in found.items():
        report["arms"][arm] = [float(values.mean()), *interval(values)]
        mean, low, high = report["arms"][arm]
        print(f"{arm:<24} {mean:.3f}  [{low:.3f}, {high:.3f}]")
    for better, worse in _GAINS:
        if better not in found or worse not in found:
            continue
        gain = found[better] - found[worse]
        report["gains"][f"{better} - {worse}"] = [float(gain.mean()), *interval(gain)]
        mean, low, high = report["gains"][f"{better} - {worse}"]
        print(f"{better + ' - ' + worse:<24} {mean:+.3f}  [{low:+.3f}, {high:+.3f}]")
    if _OUTPUT.value:
        path = Path(_OUTPUT.value)
        work = path.with_name(f".{path.name}")
        work.write_text(json.dumps(report, indent=1) + "\n")
        os.replace(work, path)


if __name__ == "__main__":
    app.run(main)
