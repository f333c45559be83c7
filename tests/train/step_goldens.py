"""Loss, metrics and gradients of fixed training steps: `python -m tests.train.step_goldens`.

Path:    golden weights, drawn clips -> [step_goldens] -> step_goldens.npz -> test_clip_scan
Axes:    a gradient is kept as two numbers per parameter: its norm, and its product with a drawn
         direction of unit variance.
Units:   clips are 64 px, the size of the `debug` variant.
Source:  the file was written by commit c4b005a, whose step visited the frames in an unrolled loop.
Differs: to write it anew is to lose that; it needs a reason.
"""

import functools
import json
import zlib
from pathlib import Path

import jax
import numpy as np

from surgjax.checkpoints import import_params
from surgjax.models import sam2, variants
from surgjax.train.steps import promptable
from surgjax.train.steps.prompted_frame import PromptOptions

FILE = Path(__file__).with_name("step_goldens.npz")
WEIGHTS = Path(__file__).parents[1] / "golden" / "sam2_debug.npz"
CONFIG = variants.get_config("debug")
SIDE = CONFIG.image_size

# name -> frames, place of each in the source clip, seed, options
CASES = {
    "one_prompted": (4, (0, 1, 2, 3), 1, PromptOptions(mask_probability=0.5, loss_size=32)),
    "corrected": (
        3, (9, 7, 1), 2, PromptOptions(corrections=2, loss_size=32, from_target_probability=0.5),
    ),
    "several_prompted": (
        4,
        (0, 3, 4, 9),
        4,
        PromptOptions(
            mask_probability=0.5,
            conditioning_frames=2,
            corrected_frames=3,
            corrections=2,
            loss_size=64,
            exact_box_probability=0.5,
        ),
    ),
    "centre_clicks": (
        3,
        (0, 1, 2),
        5,
        PromptOptions(
            corrected_frames=2, corrections=1, correction_sampling="center", loss_size=32
        ),
    ),
}  # fmt: skip


@functools.cache
def weights():
    with np.load(WEIGHTS) as file:
        prefix = "weight/"
        tensors = {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}
    tensors = {key: value.astype(np.float32) for key, value in tensors.items()}
    return import_params(tensors, CONFIG)


def scene_batch(frames: int, places: tuple[int, ...], seed: int) -> promptable.SceneBatch:
    """Two clips of smooth noise with three discs each: one leaves, one slot is empty."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((2, 1, 9, 9, 3))
    steps = np.linspace(0, 8, SIDE)
    low, share = np.floor(steps).clip(0, 7).astype(int), steps - np.floor(steps).clip(0, 7)
    weight = np.zeros((SIDE, 9))
    weight[np.arange(SIDE), low], weight[np.arange(SIDE), low + 1] = 1 - share, share
    still = np.einsum("yi,xj,btijc->btyxc", weight, weight, coarse)
    moving = np.stack([np.roll(still[:, 0], 3 * t, 2) for t in range(frames)], 1)
    noise = 0.1 * rng.standard_normal(moving.shape)
    y, x = np.mgrid[:SIDE, :SIDE]
    masks = np.zeros((2, frames, 3, SIDE, SIDE), bool)
    for b in range(2):
        for t in range(frames):
            for o, (cx, cy, r) in enumerate(((20, 24, 11), (44, 30, 8), (30, 50, 9))):
                masks[b, t, o] = (x - cx - 3 * t) ** 2 + (y - cy - 4 * b) ** 2 < r**2
    masks[1, 1:, 1] = False
    valid = np.array([[True, True, True], [True, True, False]])
    index = np.array([places, places[::-1]] if places[0] == 0 else [places, places])
    index = np.sort(index, 1) if places[0] == 0 else index
    return promptable.SceneBatch(
        (255 * np.clip(moving + noise, 0, 1)).astype(np.uint8), masks, valid, index.astype(np.int32)
    )


def run(name: str) -> dict[str, np.ndarray]:
    """Everything that is kept of a case."""
    frames, places, seed, options = CASES[name]
    model, batch = sam2.Sam2(CONFIG), scene_batch(frames, places, seed)

    # Compiling takes minutes, running none: little optimisation.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def step(params, batch, key):
        def loss(params):
            return promptable.clip_loss(model, params, batch, key, options)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, metrics), grads = step(weights(), batch, jax.random.key(seed))
    out = {"loss": loss} | {f"metric/{key}": value for key, value in metrics.items()}
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        where, leaf = jax.tree_util.keystr(path), np.asarray(leaf, np.float64)
        rng = np.random.default_rng(zlib.crc32(where.encode()))
        product = (leaf * rng.standard_normal(leaf.shape)).sum()
        out[f"grad/{where}"] = np.array([np.sqrt((leaf**2).sum()), product])
    return {f"{name}/{key}": np.asarray(value, np.float64) for key, value in out.items()}


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for name in CASES:
        arrays |= run(name)
        print(name, float(arrays[f"{name}/loss"]), flush=True)
    keys = sorted(arrays)
    values = np.concatenate([arrays[key].ravel() for key in keys])
    sizes = [arrays[key].size for key in keys]
    np.savez_compressed(FILE, keys=json.dumps(keys), sizes=np.array(sizes), values=values)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


def load() -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        parts = np.split(file["values"], np.cumsum(file["sizes"])[:-1])
        return dict(zip(json.loads(str(file["keys"])), parts, strict=True))


if __name__ == "__main__":
    main()
