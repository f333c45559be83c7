"""Fits one generated clip from random parameters: `python -m tests.train.overfit`.

Path:    generated clip -> ClipBatch -> train step -> VideoPredictor -> J&F
Units:   J&F in 0..1 by the DAVIS rule, at the size of the generated clip.
Source:  ours.
Differs: a model that cannot do this has a wrong gradient or a memory that is not read; that it can
         says nothing about other clips.
"""

import sys
import time

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from experiments.promptable_sam2 import scoring
from surgjax import train
from surgjax.data.clips import ClipBatch
from surgjax.inference import VideoPredictor
from surgjax.losses import LossWeights
from surgjax.models import sam2, variants
from surgjax.synthetic import generate_clip
from surgjax.synthetic.config import PRESETS
from surgjax.train import warm_start
from surgjax.train.loop import make_step
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import PromptOptions

SEED, SCENES, FRAMES, OBJECTS = 5_000_003, "simple", 6, 2
CONFIG = variants.get_config("nano", image_size=128)
OPTIONS = PromptOptions(
    box_probability=1.0,
    exact_box_probability=0.5,
    mask_probability=0.2,
    loss_size=128,
    # Cross-entropy and dice, as nano is trained: focal loss leaves a fresh model empty for long.
    weights=LossWeights(focal=2.0, dice=2.0, focal_alpha=-1.0, focal_gamma=0),
)


def clip_batch() -> ClipBatch:
    """The largest objects of the clip, at the size of the model."""
    clip = generate_clip(SEED, FRAMES, config=PRESETS[SCENES])
    side = CONFIG.image_size
    first = clip.label_maps[0]
    ids = [i for i in np.unique(first[first > 0]) if (first == i).mean() >= scoring.MIN_AREA]
    ids = sorted(ids, key=lambda i: -(first == i).sum())[:OBJECTS]
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


def score(params: dict) -> float:
    """J&F of all objects of the clip, from a tight box on the first frame."""
    predictor = VideoPredictor(jax.device_get(params), CONFIG)
    return scoring.score_clips(predictor, range(SEED, SEED + 1), FRAMES, SCENES)["J&F"]


def overfit(steps: int = 1500, every: int = 100, goal: float = 1.0) -> float:
    """Trains until a score reaches the goal, or for `steps`; returns the last score."""
    model, batch = sam2.Sam2(CONFIG), jax.device_put(clip_batch())
    fresh = warm_start.localise_memory(warm_start.tie_attention(sam2.init_params(CONFIG, 0)))
    settings = train.OptimizerOptions(name="muon", lr=3e-3, warmup_steps=50, weight_decay=0.0)
    rate = train.learning_rate_schedule(settings, steps)
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
            spent = time.monotonic() - begin
            print(f"step {number}: J&F {found:.4f} {shown}, {spent:.0f} s", flush=True)
            if found >= goal:
                break
    return found


if __name__ == "__main__":
    overfit(*map(int, sys.argv[1:2]))
