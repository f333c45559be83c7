"""The arms of the single-background comparison: what each may see, its training, its score.

Path:    generated seed frames -> single_background -> U-Net -> held-out scenes -> [arms] -> claim
Axes:    images [B, S, S, 3] uint8, for the network float32 in -1..1; masks [B, S, S] bool:
         instruments.
Units:   IoU of the instrument class, per held-out image, in 0..1.
Source:  Wang et al., arXiv:2206.11804.
Differs: see `claim`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax

from surgjax.models.unet import UNet
from surgjax.synthetic import Clip, generate_image
from surgjax.synthetic.build import HELD_OUT
from surgjax.synthetic.config import PRESETS
from surgjax.synthetic.jaws import KINDS
from surgjax.synthetic.single_background import Cutout, SingleBackground, SingleBackgroundConfig
from surgjax.synthetic.single_background.augmix import augmix
from surgjax.synthetic.single_background.build import contact_sheet

ARMS = ("frames", "one", "two", "three", "three+augmix", "shuffled")
SIZE, BATCH = 64, 16
TOOLS, BASE_IMAGES = 4, 3  # kinds of instrument, labelled frames of each
_SCENES = PRESETS["simple"].replace(instruments=(1, 1), anatomy=(0, 0), p_leave=0.0)
_HELD_OUT_SCENES = PRESETS["simple"].replace(anatomy=(0, 0))
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


def sheet(seed: int) -> np.ndarray:
    """Composed images, their masks and a pseudo-video of one background and all cut-outs."""
    background, groups = seed_frames(seed)
    config = SingleBackgroundConfig(blendings=("paste", "laplacian"))
    cutouts = [cutout for group in groups for cutout in group]
    return contact_sheet(SingleBackground(background, cutouts, config), columns=7, tile=170)


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


def compare(
    seeds: Sequence[int], steps: int, images: int, held: int, arms: Sequence[str] = ARMS
) -> dict[str, np.ndarray]:
    """IoUs [seeds, held] of every arm."""
    data, found = held_out(held), {arm: [] for arm in arms}
    for seed in seeds:
        for arm in arms:
            found[arm].append(score(*train(arm, seed, steps, images), data))
            print(f"seed {seed}  {arm:<13} IoU {found[arm][-1].mean():.3f}", flush=True)
    return {arm: np.stack(rows) for arm, rows in found.items()}
