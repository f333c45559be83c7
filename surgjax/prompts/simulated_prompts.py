"""Simulated prompts of training as the slots a prompt encoder takes: first prompts, then clicks.

Path:    true masks, clicks, schedule -> [simulated_prompts] -> PointPrompts -> train.steps
Axes:    R rows (one object of one image), H W pixels, P slots: a box or a click in the first two,
         corrections in those after.
Units:   points in pixels of the mask, x before y.
Source:  SAM 2, arXiv:2408.00714, appendix on training; reference file training/model/sam2.py.
Differs: SAM 2 always adds noise to a box; here a share may be exact, as a label's own box is.
"""

import jax
import jax.numpy as jnp

from surgjax.prompts import clicks
from surgjax.structs import Array, PointPrompts

CORRECTIONS_START = 2  # the slot of the first correction


def no_prompts(rows: int, slots: int = 1) -> PointPrompts:
    """Every slot is padding: SAM 2's unprompted case."""
    return PointPrompts(
        points_xy=jnp.zeros((rows, slots, 2), jnp.float32),
        labels=jnp.full((rows, slots), -1, jnp.int32),
        valid=jnp.zeros((rows, slots), bool),
    )


def initial_prompts(
    key: Array,
    masks: Array,
    slots: int,
    is_box: Array,
    exact_box_probability: float = 0.0,
    known: Array | None = None,
) -> PointPrompts:
    """A noisy or exact box, or a click, per row of masks [R, H, W]; is_box [R] says which.

    known [R, H, W]: where the truth is, by default everywhere; a negative click falls only there.
    """
    box_key, exact_key, click_key = jax.random.split(key, 3)
    rows, height, width = masks.shape
    boxes = clicks.boxes_from_masks(masks)
    exact = jax.random.bernoulli(exact_key, exact_box_probability, (rows, 1))
    boxes = jnp.where(exact, boxes, clicks.add_box_noise(box_key, boxes, height, width))
    click_xy, click_label = clicks.first_click(click_key, masks, known)
    blank = no_prompts(rows, slots)
    first = jnp.where(is_box[:, None], boxes[:, :2], click_xy)
    return PointPrompts(
        points_xy=blank.points_xy.at[:, 0].set(first).at[:, 1].set(boxes[:, 2:]),
        labels=blank.labels.at[:, 0].set(jnp.where(is_box, 2, click_label)).at[:, 1].set(3),
        valid=blank.valid.at[:, 0].set(True).at[:, 1].set(is_box),
    )


def add_click(prompts: PointPrompts, slot: int, points_xy: Array, labels: Array) -> PointPrompts:
    """The same prompts with one more click per row: points_xy [R, 2], labels [R]."""
    return PointPrompts(
        points_xy=prompts.points_xy.at[:, slot].set(points_xy),
        labels=prompts.labels.at[:, slot].set(labels),
        valid=prompts.valid.at[:, slot].set(True),
    )


def is_multimask(prompts: PointPrompts) -> Array:
    """SAM 2's rule: candidates for no point or one click; a box counts as two points."""
    return prompts.valid.sum(-1) <= 1
