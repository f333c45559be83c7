"""Fits one generated clip from random parameters: `python -m tests.train.overfit`.

Path:    generated clip -> ClipBatch -> train step -> VideoPredictor -> J&F
Units:   J&F in 0..1 by the DAVIS rule, at the size of the generated clip.
Source:  ours.
Differs: two objects, boxes alone as prompts, and cross-entropy and dice in equal parts instead of
         focal loss, with which a fresh model stays empty for long. A model that cannot do this has
         a wrong gradient or a memory that is not read; that it can says nothing of other clips.
"""

import argparse
import time
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from experiments.promptable_sam2 import scoring
from surgjax import train
from surgjax.data.clips import ClipBatch
from surgjax.inference import VideoPredictor
from surgjax.losses import LossWeights
from surgjax.metrics import davis2017
from surgjax.models import sam2, variants
from surgjax.synthetic import generate_clip
from surgjax.synthetic.config import PRESETS
from surgjax.train import warm_start
from surgjax.train.loop import make_step
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions

SEED, SCENES, FRAMES, OBJECTS = 5_000_003, "simple", 6, 2
CONFIG = variants.get_config("nano", image_size=128)
RATE_STEPS = 1500  # over which the learning rate falls; a run ends long before
OPTIONS = PromptOptions(
    box_probability=1.0,
    exact_box_probability=0.5,
    mask_probability=0.2,
    loss_size=128,
    # Cross-entropy and dice, as nano is trained: focal loss leaves a fresh model empty for long.
    weights=LossWeights(focal=2.0, dice=2.0, focal_alpha=-1.0, focal_gamma=0),
)


def object_ids() -> list[int]:
    """The largest objects of the first frame."""
    first = generate_clip(SEED, FRAMES, config=PRESETS[SCENES]).label_maps[0]
    ids = [int(i) for i in np.unique(first[first > 0]) if (first == i).mean() >= scoring.MIN_AREA]
    return sorted(ids, key=lambda i: -(first == i).sum())[:OBJECTS]


def clip_batch() -> ClipBatch:
    """These objects, at the size of the model."""
    clip, ids = generate_clip(SEED, FRAMES, config=PRESETS[SCENES]), object_ids()
    side = CONFIG.image_size
    maps = np.zeros((1, FRAMES, side, side), np.uint8)
    frames = np.zeros((1, FRAMES, side, side, 3), np.uint8)
    for t in range(FRAMES):
        size = (side, side)
        frames[0, t] = cv2.resize(clip.frames_u8[t], size, interpolation=cv2.INTER_AREA)
        for slot, i in enumerate(ids):
            part = (clip.label_maps[t] == i).astype(np.float32)
            maps[0, t][cv2.resize(part, size, interpolation=cv2.INTER_AREA) >= 0.5] = slot + 1
    visible = np.stack([(maps == slot + 1).any((2, 3)) for slot in range(OBJECTS)], -1)
    index = np.arange(FRAMES, dtype=np.int32)[None]
    return ClipBatch(
        frames_u8=frames,
        label_maps=maps,
        object_valid=visible[:, 0],
        visible=visible,
        is_annotated=np.ones((1, FRAMES), bool),
        is_long=np.zeros((1, FRAMES), bool),
        is_reversed=np.zeros(1, bool),
        frame_index=index,
        time_s=index.astype(np.float32),
        category=np.zeros((1, OBJECTS), np.int32),
        set_index=np.zeros(1, np.int32),
    )


def score(params: dict, swapped: bool = False) -> float:
    """J&F of the trained objects, each from a tight box on the first frame.

    swapped: every object gets the box of the next one, which is a control.
    """
    clip, ids = generate_clip(SEED, FRAMES, config=PRESETS[SCENES]), object_ids()
    predictor = VideoPredictor(jax.device_get(params), CONFIG)
    state = predictor.init_state(clip.frames_u8, max_objects=OBJECTS)
    for turn, i in enumerate(ids):
        source = ids[(turn + int(swapped)) % len(ids)]
        box = scoring.tight_box(clip.label_maps[0] == source)
        predictor.add_new_points_or_box(state, 0, i, box=box)
    masks = {i: np.zeros(clip.label_maps.shape, bool) for i in ids}
    for t, found, logits in predictor.propagate_in_video(state):
        for i, logit in zip(found, logits, strict=True):
            masks[i][t] = logit[0] > 0
    scores = davis2017.init_state()
    for i in ids:
        frames = davis2017.score_frames(masks[i], clip.label_maps == i)
        scores = davis2017.update(scores, "clip", i, frames)
    return davis2017.compute(scores)["J&F"]


def without_memory(params: dict) -> dict:
    """The same parameters, but nothing of what memory attention reads arrives: a control."""

    def leaf(path, value):
        name = jax.tree_util.keystr(path)
        is_read = "memory_attention" in name and "cross_attn_image" in name and "out_proj" in name
        return np.zeros_like(value) if is_read else value

    return jax.tree_util.tree_map_with_path(leaf, jax.device_get(params))


class Fitted(NamedTuple):
    """What a run leaves."""

    score: float
    params: dict
    fresh: dict


def fresh_params() -> dict:
    """Random parameters, as nano's training starts with them."""
    return warm_start.localise_memory(warm_start.tie_attention(sam2.init_params(CONFIG, 0)))


def overfit(steps: int = 400, every: int = 50, goal: float = 0.97) -> Fitted:
    """Trains until the score reaches the goal, or for `steps`, printing the curve."""
    model, batch, fresh = sam2.Sam2(CONFIG), jax.device_put(clip_batch()), fresh_params()
    settings = train.OptimizerOptions(name="muon", lr=3e-3, warmup_steps=50, weight_decay=0.0)
    rate = train.learning_rate_schedule(settings, RATE_STEPS)
    optimizer = train.build_optimizer(settings)
    state = train.init_state(jax.tree.map(jnp.asarray, fresh), optimizer, 0)

    def loss(params, batch, key):
        return promptable.clip_loss(model, params, batch, key, OPTIONS)

    step, found, begin = make_step(loss, optimizer, 0.98), 0.0, time.monotonic()
    for number in range(1, steps + 1):
        state, metrics = step(state, batch, np.float32(rate(number)))
        if number % every == 0 or number == steps:
            found = score(state.ema_params)
            shown = {name: round(float(metrics[name]), 3) for name in ("loss", "tracked_iou")}
            spent, cpu = time.monotonic() - begin, time.process_time()
            print(f"step {number}: J&F {found:.4f} {shown}, {spent:.0f} s, {cpu:.0f} s of CPU",
                  flush=True)  # fmt: skip
            if found >= goal:
                break
    return Fitted(found, jax.device_get(state.ema_params), fresh)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("steps", nargs="?", type=int, default=400, help="at most (400)")
    found = overfit(parser.parse_args().steps)
    print(f"fresh weights: J&F {score(found.fresh):.4f}")
    print(f"boxes of the other object: J&F {score(found.params, swapped=True):.4f}")
    print(f"memory not read: J&F {score(without_memory(found.params)):.4f}")


if __name__ == "__main__":
    main()
