"""Two clips with a fixed schedule, for the whole clip loss against torch; without torch itself.

Path:    [clip_loss_case] -> tests.parity.clip_loss and official_clip_loss (torch), our update
         -> test_clip_loss (both)
Axes:    B = 2 clips of T = 4 frames, O = 3 objects, R = 6 rows; frames and masks 64 x 64.
Units:   prompts in pixels of the frame; frames count from 0.
Source:  ours: every kind of prompt, corrections on conditioning and on tracked frames, an object
         that is absent, one slot without object, one frame without annotation.
Differs: clicks fall on the deepest pixel and boxes are exact, so that nothing has to be drawn. The
         optimizer is that of SAM 2's fine-tuning at GAIN times its rates: beside parameters of
         order 1 its own steps would drown in float32's rounding. It takes its first step, and one
         from moments as they are in the middle of a run: the first one is a sign, and says little.
"""

import functools
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from surgjax.data.clips import ClipBatch
from surgjax.models import sam2, variants
from surgjax.prompts import clicks
from surgjax.prompts.schedule import PromptSchedule
from surgjax.train import build_optimizer, init_state, learning_rate_schedule, recipes
from surgjax.train.optimizers import OptimizerOptions
from surgjax.train.steps import promptable
from surgjax.train.steps.prompt_options import sam2_finetuning
from surgjax.train.update import make_step
from tests.train.step_goldens import scene_batch, weights

FILE = Path(__file__).with_name("clip_loss_debug.npz")
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
RECIPE = recipes.get_recipe("full")
OPTIMIZER = OptimizerOptions(
    lr=5e-6, final_lr=5e-7, encoder_lr=3e-6, encoder_final_lr=3e-7, layer_decay=0.9, decays="sam2",
    weight_decay=0.1, clip_norm=0.1, b2=0.999, warmup_steps=0,
)  # fmt: skip
GAIN, COUNT = 1e4, 4  # on the rates; steps that the drawn moments stand for


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


class Update(NamedTuple):
    """What one step gives; trees are of what is trained."""

    loss: float
    gradients: dict
    before: dict
    after: dict

    @property
    def change(self) -> dict:
        return jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), self.after, self.before)


def params() -> dict:
    """The golden weights with the bias of the object score moved."""
    found = jax.tree.map(np.copy, weights())
    found["sam_mask_decoder"]["pred_obj_score_head"]["layers_2"]["bias"] += SCORE_BIAS
    return found


def _kept_gradients() -> optax.GradientTransformation:
    """Keeps the gradients of the last step in its state."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, *_: (grads, grads)
    )


@functools.cache
def our_update() -> Callable[..., Update]:
    """The loop's own compiled update on the golden weights; trace it with both stand-ins set.

    Call it with a batch, and with moments (first, second) or None for the first step.
    """
    model = sam2.Sam2(CONFIG)
    optimizer = optax.chain(
        _kept_gradients(), build_optimizer(OPTIMIZER, trunk_blocks=sum(CONFIG.stages))
    )
    rates = {group: np.float32(GAIN * rate) for group, rate in
             learning_rate_schedule(OPTIMIZER, 100)(0).items()}  # fmt: skip

    def loss(params, batch, key):
        return promptable.clip_loss(model, params, batch, key, OPTIONS)

    step = make_step(loss, optimizer, 0.99, recipe=RECIPE)

    def start(moments):
        state = init_state(jax.tree.map(jnp.asarray, params()), optimizer, 0, RECIPE)
        if moments is None:
            return state
        mu, nu = (jax.tree.map(jnp.asarray, recipes.split(tree, RECIPE)[0]) for tree in moments)
        count = jnp.asarray(COUNT, jnp.int32)
        return state.replace(
            opt_state=optax.tree_utils.tree_set(state.opt_state, mu=mu, nu=nu, count=count)
        )

    # Compiling takes minutes, running none: little optimisation.
    compiled = step.lower(start(None), clip_batch(), rates).compile(
        compiler_options={"xla_backend_optimization_level": 0}
    )

    def update(batch: ClipBatch, moments: tuple[dict, dict] | None = None) -> Update:
        state, metrics = compiled(start(moments), batch, rates)
        gradients, trained = state.opt_state[0], recipes.split(state.params, RECIPE)[0]
        before = recipes.split(params(), RECIPE)[0]
        return Update(float(metrics["loss"]), *jax.device_get((gradients, before, trained)))

    return update


def _direction(where: str, shape: tuple[int, ...]) -> np.ndarray:
    """Unit variance, from the name alone."""
    return np.random.default_rng(zlib.crc32(where.encode())).standard_normal(shape)


def is_without_effect(where: str) -> bool:
    """Whether a parameter's gradient is zero, and what is found is rounding: in attention without
    rotations a bias of the keys moves all scores of a query alike, and softmax takes that out."""
    return "sam_mask_decoder" in where and where.endswith("['k_proj']['bias']")


def by_name(tree: Any) -> dict[str, np.ndarray]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in flat}


def moments(norms: Mapping[str, float]) -> tuple[dict, dict]:
    """Adam's moments as steps before might have left them, in our layout.

    norms: of the gradients as they are, by name; of the clipped ones the moments have the size.
    """
    whole = np.sqrt(sum(norm**2 for norm in norms.values()))

    def draw(path, leaf):
        where = jax.tree_util.keystr(path)
        share = max(norms.get(where, 0.0), 1e-6 * whole) / whole
        size = OPTIMIZER.clip_norm * share / np.sqrt(leaf.size)
        first = 0.3 * size * _direction(f"first{where}", leaf.shape)
        second = size**2 * (0.01 + 0.03 * _direction(f"second{where}", leaf.shape) ** 2)
        return first.astype(np.float32), second.astype(np.float32)

    pairs = jax.tree_util.tree_map_with_path(draw, params())
    is_pair = lambda x: isinstance(x, tuple)  # noqa: E731
    return tuple(jax.tree.map(lambda pair, i=i: pair[i], pairs, is_leaf=is_pair) for i in (0, 1))


def summary(tree: Any) -> dict[str, np.ndarray]:
    """Per parameter the norm, and a product with a drawn direction of unit variance."""
    return {
        where: np.array([np.linalg.norm(leaf), (leaf * _direction(where, leaf.shape)).sum()])
        for where, leaf in ((w, np.float64(x)) for w, x in by_name(tree).items())
    }


def load() -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Loss, gradients and changes by the names of our parameters."""
    with np.load(FILE) as file:
        keys = json.loads(str(file["keys"]))
        pairs = (dict(zip(keys, file[name], strict=True)) for name in ("gradients", "changes"))
        return float(file["loss"]), *pairs
