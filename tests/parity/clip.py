"""The 12-frame clip of the parity tests: seeded frames, two objects, every kind of prompt.

Path:    [clip] -> reference.Tracker and surgjax.inference.VideoPredictor -> test_clip, official.
Axes:    frames_u8 (T, H, W, 3).
Units:   prompts in pixels of the clip; frame indices count from 0.
Errors:  none of its own.
Source:  ours; the content only has to vary in space and time, no weight was ever trained on it.
Differs: nothing to differ from.
"""

import numpy as np
import torch

from surgjax.inference.frames import resize_for_model

FRAMES, HEIGHT, WIDTH = 12, 96, 128
SEED, SCORE_BIAS = 0, -5.0  # of reference.lively_weights: objects come and go on this clip
ODD_FRAME = 7  # overexposed: the object score drops here


def frames_u8(seed: int = 0) -> np.ndarray:
    """Drifting smooth colour waves with some grain; one frame unlike the others."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    clip = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    waves = rng.uniform(-0.12, 0.12, (8, 2)), rng.uniform(0, 2 * np.pi, (8, 3))
    speed = rng.uniform(-0.4, 0.4, 8)
    for t in range(FRAMES):
        phase = waves[0][:, :1, None] * x + waves[0][:, 1:, None] * y + (speed * t)[:, None, None]
        colour = np.sin(phase[..., None] + waves[1][:, None, None]).sum(0)
        colour = 0.5 + 0.16 * colour + 0.05 * rng.standard_normal(colour.shape)
        if t == ODD_FRAME:
            colour = 1.0 - 0.03 * rng.random(colour.shape)
        clip[t] = np.clip(255 * colour, 0, 255).astype(np.uint8)
    return clip


def tensors(clip_u8: np.ndarray, image_size: int) -> torch.Tensor:
    """The normalised frames (T, 3, S, S) that our video predictor makes of the clip."""
    resized = np.stack([resize_for_model(frame, image_size) for frame in clip_u8])
    return torch.from_numpy(resized).permute(0, 3, 1, 2).contiguous()


def mask_prompt() -> np.ndarray:
    """A tilted ellipse."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    u, v = (x - 80) + 0.4 * (y - 40), (y - 40) - 0.4 * (x - 80)
    return (u / 26) ** 2 + (v / 15) ** 2 <= 1


# (frame, object, keyword arguments of add_new_points_or_box, or a mask)
CLICK = (0, 1, dict(points=[[40.0, 30.0]], labels=[1]))
BOX = (1, 2, dict(box=[60.0, 20.0, 110.0, 70.0]))
MASK = (3, 2, "mask")
CORRECTION = (6, 1, dict(points=[[90.5, 15.25], [105.0, 30.0]], labels=[1, 0]))
PROMPTS = (CLICK, BOX, MASK)
