"""Simulated user prompts: first clicks, correction clicks and noisy boxes, from masks.

Path:    masks, prediction -> [clicks] -> points_xy -> prompt_encoder
Axes:    *B rows (objects), H W pixels.
Units:   points_xy and boxes_xyxy in pixels of the mask, x = column, y = row, no half-pixel offset;
         a box ends on the last foreground column and row, as SAM 2's does.
Errors:  ValueError on masks that differ in shape.
Source:  SAM 2, arXiv:2408.00714, section on training; reference files training/model/sam2.py and
         sam2/modeling/sam2_utils.py.
Differs: the reference picks a random click as the arg-max of noise over the error pixels; here one
         whole number per row picks the k-th error pixel, which has the same distribution. A click
         that ignores the prediction is drawn per row, in the reference per batch. The box of an
         empty mask is all zero, not inside out. Depths of the click at the centre are compared as
         whole squares: builds of OpenCV with Intel IPP round equal depths differently from place to
         place, which would decide ties; the reference leaves it so.
"""

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.ops.distance_transform import squared_depths
from surgjax.typing import Array, Bool, Float, Int

MAX_BOX_NOISE = 20.0  # pixels
RELATIVE_BOX_NOISE = 0.1


def boxes_from_masks(masks: Bool[Array, "*B H W"]) -> Float[Array, "*B 4"]:
    """Tight boxes x0 y0 x1 y1; all zero for an empty mask."""
    height, width = masks.shape[-2:]
    columns, rows = masks.any(-2), masks.any(-1)
    x0, y0 = jnp.argmax(columns, -1), jnp.argmax(rows, -1)
    x1 = width - 1 - jnp.argmax(columns[..., ::-1], -1)
    y1 = height - 1 - jnp.argmax(rows[..., ::-1], -1)
    boxes = jnp.stack([x0, y0, x1, y1], -1).astype(jnp.float32)
    return jnp.where(columns.any(-1)[..., None], boxes, 0.0)


def add_box_noise(
    key: Array, boxes_xyxy: Float[Array, "*B 4"], height: int, width: int
) -> Float[Array, "*B 4"]:
    """Moves each edge by up to a tenth of the box's extent (at most 20 px), inside the image."""
    extent = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    reach = jnp.minimum(RELATIVE_BOX_NOISE * extent, MAX_BOX_NOISE)
    shift = jax.random.uniform(key, boxes_xyxy.shape, minval=-1.0, maxval=1.0)
    noisy = boxes_xyxy + shift * jnp.concatenate([reach, reach], -1)
    limit = jnp.array([width - 1, height - 1, width - 1, height - 1], jnp.float32)
    return jnp.clip(noisy, 0.0, jnp.broadcast_to(limit, noisy.shape))


def sample_pixel(key: Array, masks: Bool[Array, "*B H W"]) -> Float[Array, "*B 2"]:
    """One pixel (x, y) drawn uniformly among the true ones; (0, 0) where there is none."""
    height, width = masks.shape[-2:]
    flat = masks.reshape(*masks.shape[:-2], height * width)
    running = jnp.cumsum(flat, -1, dtype=jnp.int32)
    count = running[..., -1]
    rank = jax.random.randint(key, count.shape, 0, jnp.maximum(count, 1))
    index = jnp.argmax(running > rank[..., None], -1)
    index = jnp.where(count > 0, index, 0)
    return jnp.stack([index % width, index // width], -1).astype(jnp.float32)


def sample_correction(
    key: Array,
    prediction: Bool[Array, "*B H W"],
    target: Bool[Array, "*B H W"],
    from_target_probability: float = 0.0,
    known: Bool[Array, "*B H W"] | None = None,
) -> tuple[Float[Array, "*B 2"], Int[Array, "*B"]]:
    """A click (x, y) in the wrong region and its label: 1 if it was missed, 0 if it was too much.

    With no error left the click is negative, on the background. With `from_target_probability` the
    prediction is taken as empty, so that the click falls anywhere on the target. No click falls
    where the truth is not `known` (everywhere by default; the target is known to be there).
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {prediction.shape} and target {target.shape} differ.")
    choice_key, pixel_key = jax.random.split(key)
    from_target = jax.random.bernoulli(choice_key, from_target_probability, target.shape[:-2])
    prediction = prediction & ~from_target[..., None, None]
    missed = target & ~prediction
    background = ~target if known is None else ~target & known
    surplus = prediction & background
    all_correct = ~jnp.any(missed | surplus, (-2, -1))
    surplus = surplus | (all_correct[..., None, None] & background)
    points_xy = sample_pixel(pixel_key, missed | surplus)
    column = points_xy[..., 0].astype(jnp.int32)
    row = points_xy[..., 1].astype(jnp.int32)
    width = target.shape[-1]
    flat = missed.reshape(*missed.shape[:-2], -1)
    label = jnp.take_along_axis(flat, (row * width + column)[..., None], -1)[..., 0]
    return points_xy, label.astype(jnp.int32)


def first_click(
    key: Array, target: Bool[Array, "*B H W"], known: Bool[Array, "*B H W"] | None = None
) -> tuple[Float[Array, "*B 2"], Int[Array, "*B"]]:
    """A click anywhere on the target; a negative one on the background if the target is empty."""
    return sample_correction(key, jnp.zeros_like(target), target, known=known)


def center_correction(
    prediction: Bool[Array, "*B H W"],
    target: Bool[Array, "*B H W"],
    known: Bool[Array, "*B H W"] | None = None,
) -> tuple[Float[Array, "*B 2"], Int[Array, "*B"]]:
    """`center_click` of every row inside a compiled program, to the pixel the same.

    The deepest pixel of the larger error region; of equal depths the first in row-major order, and
    of equally deep regions the surplus (label 0). Without any error: (0, 0), label 0. No region
    reaches where the truth is not `known` (everywhere by default).
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {prediction.shape} and target {target.shape} differ.")
    background = ~target if known is None else ~target & known
    missed, surplus = (
        squared_depths(region).reshape(*target.shape[:-2], -1)
        for region in (target & ~prediction, prediction & background)
    )
    is_positive = missed.max(-1) > surplus.max(-1)
    index = jnp.where(is_positive, jnp.argmax(missed, -1), jnp.argmax(surplus, -1))
    width = target.shape[-1]
    points_xy = jnp.stack([index % width, index // width], -1).astype(jnp.float32)
    return points_xy, is_positive.astype(jnp.int32)


def center_click(prediction: np.ndarray | None, target: np.ndarray) -> tuple[np.ndarray, int]:
    """The deterministic click of evaluation: deepest pixel of the larger error region.

    Host side, one object: `target` and `prediction` are bool [H, W]; no prediction means an empty
    one. Depth is the L2 distance to the region's border, the image's border included. Of equal
    depths the first in row-major order counts, of equally deep regions the surplus (label 0).
    """
    import cv2

    target = np.asarray(target, bool)
    prediction = np.zeros_like(target) if prediction is None else np.asarray(prediction, bool)
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {prediction.shape} and target {target.shape} differ.")
    depths = []
    for region in (target & ~prediction, prediction & ~target):
        padded = np.pad(region.astype(np.uint8), 1)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1]
        depths.append(np.rint(depth.astype(np.float64) ** 2))
    missed, surplus = depths
    is_positive = bool(missed.max() > surplus.max())
    row, column = np.unravel_index(np.argmax(missed if is_positive else surplus), target.shape)
    return np.array([column, row], np.float32), int(is_positive)
