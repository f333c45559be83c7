"""Two clips with a fixed schedule, for the whole clip loss against torch; without torch itself.

Path:    [clip_loss_case] -> tests.parity.clip_loss (torch), our step -> test_clip_loss (both)
Axes:    B = 2 clips of T = 4 frames, O = 3 objects, R = 6 rows; frames and masks 64 x 64.
Units:   prompts in pixels of the frame; frames count from 0.
Source:  ours: every kind of prompt, corrections on conditioning and on tracked frames, an object
         that is absent, one slot without object, one frame without annotation.
Differs: clicks fall on the deepest pixel and boxes are exact, so that nothing has to be drawn.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.data.clips import ClipBatch
from surgjax.models import sam2, variants
from surgjax.prompts import clicks
from surgjax.prompts.schedule import PromptSchedule
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import sam2_finetuning
from tests.train.step_goldens import scene_batch, weights

CONDITIONING, CORRECTED = (0, 3), (0, 2, 3)
ORDER = (0, 3, 1, 2)
CORRECTIONS = 2
ROWS, FRAMES, OBJECTS = 6, 4, 3
BY_MASK = np.array([False, False, True, False, True, False])
IS_BOX = np.array([[r % 2 == t % 2 for r in range(ROWS)] for t in range(FRAMES)])
ANNOTATED = np.array([[True, False, True, True], [True] * 4])
CONFIG = variants.get_config("debug").replace(binarize_prompted_masks=False)
SCORE_BIAS = 1.4  # added to the object score: with few masks blanked the loss is one of masks
OPTIONS = sam2_finetuning(
    64, corrections=CORRECTIONS, correction_sampling="center", corrected_frames=3,
    exact_box_probability=1.0, memory_dropout=False,
)  # fmt: skip


def clip_batch(spread: int = 1) -> ClipBatch:
    """The clips; spread: source frames from one frame to the next."""
    scenes = scene_batch(FRAMES, tuple(range(FRAMES)), 7)
    maps = np.zeros(scenes.masks.shape[:2] + scenes.masks.shape[3:], np.uint8)
    for slot in range(OBJECTS):
        maps[scenes.masks[:, :, slot]] = slot + 1
    maps[~ANNOTATED] = 255
    visible = np.stack([(maps == slot + 1).any((2, 3)) for slot in range(OBJECTS)], -1)
    index = spread * np.tile(np.arange(FRAMES, dtype=np.int32), (2, 1))
    return ClipBatch(
        frames_u8=scenes.frames,
        label_maps=maps,
        object_valid=np.asarray(scenes.valid),
        visible=visible,
        is_annotated=ANNOTATED,
        is_long=np.zeros_like(ANNOTATED),
        is_reversed=np.zeros(2, bool),
        frame_index=index,
        time_s=index.astype(np.float32),
        category=np.zeros((2, OBJECTS), np.int32),
        set_index=np.zeros(2, np.int32),
    )


def row_masks(batch: ClipBatch) -> np.ndarray:
    """[T, R, S, S] bool."""
    masks = np.stack([batch.label_maps == slot + 1 for slot in range(OBJECTS)], 2)
    return masks.transpose(1, 0, 2, 3, 4).reshape(FRAMES, ROWS, *masks.shape[-2:])


def schedule(*_) -> PromptSchedule:
    """Takes the place of `draw_schedule`."""
    frames = np.arange(FRAMES)
    corrected = np.isin(frames, CORRECTED)[:, None] & ~BY_MASK
    return PromptSchedule(
        conditioning=jnp.tile(jnp.asarray(np.isin(frames, CONDITIONING)), (2, 1)),
        order=jnp.tile(jnp.asarray(ORDER), (2, 1)),
        corrected=jnp.asarray(corrected & np.repeat(ANNOTATED, OBJECTS, 0).T),
        by_mask=jnp.asarray(BY_MASK),
        is_box=jnp.asarray(IS_BOX),
    )


def deepest_click(key, target, known=None):
    """Takes the place of `first_click`."""
    return clicks.center_correction(jnp.zeros_like(target), target, known)


@functools.cache
def our_step():
    """Loss and gradients of a batch for the golden weights; trace it with both stand-ins set."""
    model = sam2.Sam2(CONFIG)

    # Compiling takes minutes, running none: little optimisation.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def step(params, batch):
        def loss(params):
            return promptable.clip_loss(model, params, batch, jax.random.key(0), OPTIONS)[0]

        return jax.value_and_grad(loss)(params)

    params = jax.tree.map(np.copy, weights())
    params["sam_mask_decoder"]["pred_obj_score_head"]["layers_2"]["bias"] += SCORE_BIAS
    return lambda batch: step(params, batch)


def summary(loss: float, grads: dict) -> dict[str, np.ndarray]:
    """The loss, and per parameter the norm of its gradient and a product with a drawn direction."""
    out = {"loss": np.array([loss])}
    for path, leaf in jax.tree_util.tree_flatten_with_path(grads)[0]:
        where, leaf = jax.tree_util.keystr(path), np.asarray(leaf, np.float64)
        rng = np.random.default_rng(zlib.crc32(where.encode()))
        product = (leaf * rng.standard_normal(leaf.shape)).sum()
        out[where] = np.array([np.sqrt((leaf**2).sum()), product])
    return out
