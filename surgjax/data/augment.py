"""Augmentation of a whole clip: frames and label maps together, resized to the model's square.

Path:    reader, samplers -> [augment] -> clips
Axes:    T frames, O objects; images [H, W, 3] uint8 RGB of any size, maps [H, W]; out: frames_u8
         [T, S, S, 3], label_maps [T, S, S] uint8.
Units:   label 0 background, 1..O the objects, 255 ignore; angles in degrees; a map of places is
         2x3 in (x, y) with the corner of the picture at 0 (pixel centres at 0.5).
Errors:  ValueError for a setting outside its range.
Source:  SAM 2's fine-tuning recipe, in its order: flip, affine, resize, colour jitter, grey,
         colour jitter per frame; training/dataset/transforms.py. Affine maps as in torchvision.
Differs: flip, affine and resize are one resampling; pictures at least twice too large are averaged
         down by a whole factor first, so that thin tools do not alias. Frames stay uint8: the
         training step normalises on the device.
"""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from surgjax.data.colour_jitter import ColourChain, Jitter

IGNORE = 255


@dataclasses.dataclass(frozen=True)
class StillMotion:
    """Steps of a random walk that moves a frame shown again, so that an image makes a clip."""

    degrees: float = 3.0
    scale: float = 0.03
    shift: float = 0.02  # of the side


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """SAM 2's values. `NO_AUGMENT` only resizes."""

    p_flip: float = 0.5
    degrees: float = 25.0
    shear: float = 20.0  # degrees, along x
    fill: tuple[int, int, int] = (123, 116, 103)  # what lies outside the picture
    jitter: Jitter = Jitter(0.1, 0.03, 0.03)  # the same for all frames
    p_grey: float = 0.05
    frame_jitter: Jitter = Jitter(0.1, 0.05, 0.05)  # another for every frame
    p_mosaic: float = (
        0.0  # 0.15 where the reference has it on: the clip, four times, one with labels
    )
    still: StillMotion | None = None

    def __post_init__(self):
        for name in ("p_flip", "p_grey", "p_mosaic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"AugmentConfig.{name}: expected 0..1, found {getattr(self, name)}."
                )
        for name, limit in (("degrees", 180), ("shear", 80)):
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(
                    f"AugmentConfig.{name}: expected 0..{limit}, found {getattr(self, name)}."
                )


NO_AUGMENT = AugmentConfig(
    p_flip=0.0, degrees=0.0, shear=0.0, jitter=Jitter(), p_grey=0.0, frame_jitter=Jitter()
)


@dataclasses.dataclass(frozen=True)
class _Draw:
    """All that is random about one clip, in the order in which it is drawn."""

    is_flipped: bool
    degrees: float
    shear: float
    changes: list[tuple[int, float]]
    is_grey: bool
    frame_changes: list[list[tuple[int, float]]]
    walk: list[np.ndarray]  # per frame, in units of the side
    cell: tuple[int, int] | None  # of the mosaic that keeps the labels: row, column
    flipped_cells: np.ndarray  # [2, 2] bool


def _draw(rng: np.random.Generator, config: AugmentConfig, again: Sequence[bool]) -> _Draw:
    is_flipped = bool(rng.random() < config.p_flip)
    degrees = float(rng.uniform(-config.degrees, config.degrees))
    shear = float(rng.uniform(-config.shear, config.shear))
    changes, is_grey = config.jitter.draw(rng), bool(rng.random() < config.p_grey)
    frame_changes = [config.frame_jitter.draw(rng) for _ in again]
    is_mosaic = rng.random() < config.p_mosaic
    row, column = (int(i) for i in rng.integers(0, 2, 2))
    flipped_cells = rng.random((2, 2)) < 0.5
    walk = _walk(rng, config.still, again)
    cell = (row, column) if is_mosaic else None
    return _Draw(
        is_flipped, degrees, shear, changes, is_grey, frame_changes, walk, cell, flipped_cells
    )


def affine_map(degrees: float, shear: float, width: float, height: float) -> np.ndarray:
    """Rotation, clockwise on the screen, after a shear along x; both about the centre."""
    angle, slope = math.radians(degrees), math.tan(math.radians(shear))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -cos * slope - sin], [sin, cos - sin * slope]])
    centre = np.array([width, height]) / 2
    return np.hstack([linear, (centre - linear @ centre)[:, None]])


def _then(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The map that does `first`, then `second`; both 2x3."""
    linear = second[:, :2]
    return np.hstack([linear @ first[:, :2], linear @ first[:, 2:] + second[:, 2:]])


def _resize_map(width: int, height: int, size: int, is_flipped: bool) -> np.ndarray:
    x = -size / width if is_flipped else size / width
    return np.array([[x, 0, size if is_flipped else 0], [0, size / height, 0]], np.float64)


def _walk(rng, still: StillMotion | None, again: Sequence[bool]) -> list[np.ndarray]:
    identity = np.eye(2, 3)
    if still is None:
        return [identity] * len(again)
    maps = [identity]
    for is_again in again[1:]:
        angle = math.radians(rng.uniform(-still.degrees, still.degrees))
        scale = math.exp(rng.uniform(-still.scale, still.scale))
        shift = rng.uniform(-still.shift, still.shift, 2)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        centre = np.full(2, 0.5)
        step = np.hstack([linear, (centre - linear @ centre + shift)[:, None]])
        maps.append(_then(maps[-1], step) if is_again else identity)
    return maps


def _warp(array: np.ndarray, matrix: np.ndarray, size: int, flags: int, border: dict, dst=None):
    """cv2.warpAffine of a map whose origin is the picture's corner."""
    moved = matrix.copy()  # OpenCV's origin is the centre of the first pixel
    moved[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5
    return cv2.warpAffine(array, moved, (size, size), dst=dst, flags=flags, **border)


def _warp_image(image, matrix, size: int, border: dict) -> np.ndarray:
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    factor = max(1, int(1 / scale + 1e-6))
    if factor > 1:  # averaging whole blocks of pixels is cheap
        height, width = image.shape[0] // factor, image.shape[1] // factor
        rows, columns = height * factor, width * factor
        image = cv2.resize(image[:rows, :columns], (width, height), interpolation=cv2.INTER_AREA)
        matrix = matrix * np.array([factor, factor, 1.0])
    # OpenCV takes a third less time over four channels than over three, for the same values.
    four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    return cv2.cvtColor(_warp(four, matrix, size, cv2.INTER_LINEAR, border), cv2.COLOR_RGBA2RGB)


def _warp_map(instances, table, matrix, size: int, dst: np.ndarray) -> None:
    """Nearest resampling of an instance map, then values by `table`, into dst [S, S] uint8."""
    border = dict(borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    if instances.dtype == np.uint8:
        warped = _warp(instances, matrix, size, cv2.INTER_NEAREST, border, dst)
        cv2.LUT(warped, table, dst=dst)
    else:
        warped = _warp(instances, matrix, size, cv2.INTER_NEAREST, border)
        dst[:] = table[warped]


def slots_seen(label_map: np.ndarray, objects: int) -> np.ndarray:
    """Which of the labels 1..objects occur; [O] bool."""
    if objects > 8:
        return np.bincount(label_map.ravel(), minlength=objects + 1)[1 : objects + 1] > 0
    return np.array([bool((label_map == slot).any()) for slot in range(1, objects + 1)])


def augment_clip(
    rng: np.random.Generator,
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray | None],
    table: np.ndarray,
    config: AugmentConfig,
    frames_u8: np.ndarray,
    label_maps: np.ndarray,
    again: Sequence[bool] = (),
) -> None:
    """Fills frames_u8 [T, S, S, 3] and label_maps [T, S, S].

    maps: instance maps, None for a frame without annotation, whose labels become IGNORE.
    table: uint8, the label of every value of the instance maps ([256] or [65536]).
    again: frames that repeat the one before; they move by `config.still`.
    """
    height, width = images[0].shape[:2]
    size = frames_u8.shape[1]
    draw = _draw(rng, config, list(again) or [False] * len(images))
    plain = _resize_map(width, height, size, draw.is_flipped)
    matrix, is_affine = plain, bool(draw.degrees or draw.shear)
    if is_affine:
        # The reference flips first; both maps turn about the centre.
        flip = np.array([[-1.0, 0, width], [0, 1, 0]]) if draw.is_flipped else np.eye(2, 3)
        turned = _then(flip, affine_map(draw.degrees, draw.shear, width, height))
        matrix = _then(turned, _resize_map(width, height, size, False))
        if _loses_an_object(maps[0], table, plain, matrix, size, label_maps[0]):
            matrix, is_affine = plain, False
    border: dict = dict(borderMode=cv2.BORDER_REPLICATE)
    if is_affine or config.still is not None:
        border = dict(borderMode=cv2.BORDER_CONSTANT, borderValue=(*config.fill, 255))
    for t, (image, instances) in enumerate(zip(images, maps, strict=True)):
        walk = draw.walk[t] * np.array([1.0, 1.0, size])
        placed = _then(matrix, walk)
        if instances is None:
            label_maps[t] = IGNORE
        else:
            _warp_map(instances, table, placed, size, label_maps[t])
        chain = ColourChain(_warp_image(image, placed, size, border))
        for what, factor in draw.changes:
            chain.change(what, factor)
        if draw.is_grey:
            chain.make_grey()
        for what, factor in draw.frame_changes[t]:
            chain.change(what, factor)
        chain.result(frames_u8[t])
    if draw.cell is not None:
        _mosaic(frames_u8, label_maps, draw.cell, draw.flipped_cells)


def _loses_an_object(instances, table, plain, matrix, size: int, scratch: np.ndarray) -> bool:
    """Whether an object of the first frame is gone under `matrix` though it is there without."""
    if instances is None:
        return False
    objects = int(table[table != IGNORE].max(initial=0))
    _warp_map(instances, table, matrix, size, scratch)
    after = slots_seen(scratch, objects)
    if after.all():
        return False
    _warp_map(instances, table, plain, size, scratch)
    return bool((slots_seen(scratch, objects) & ~after).any())


def _mosaic(frames_u8, label_maps, cell: tuple[int, int], flipped: np.ndarray) -> None:
    """The clip in each quarter, some mirrored; labels stay in one. Not if that loses an object."""
    size = label_maps.shape[1]
    cut = size // 2
    spans = ((0, cut), (cut, size))
    (top, bottom), (left, right) = spans[cell[0]], spans[cell[1]]

    def shrunk(array, height, width, flag, is_flipped):
        small = cv2.resize(array, (width, height), interpolation=flag)
        return small[:, ::-1] if is_flipped else small

    small_maps = [
        shrunk(m, bottom - top, right - left, cv2.INTER_NEAREST, flipped[cell]) for m in label_maps
    ]
    objects = int(label_maps[0][label_maps[0] != IGNORE].max(initial=0))
    if (slots_seen(label_maps[0], objects) & ~slots_seen(small_maps[0], objects)).any():
        return
    for frame, label_map, small_map in zip(frames_u8, label_maps, small_maps, strict=True):
        whole = frame.copy()
        for row, (y0, y1) in enumerate(spans):
            for column, (x0, x1) in enumerate(spans):
                part = shrunk(whole, y1 - y0, x1 - x0, cv2.INTER_AREA, flipped[row, column])
                frame[y0:y1, x0:x1] = part
        is_unlabelled = bool((label_map == IGNORE).all())
        label_map[:] = IGNORE if is_unlabelled else 0
        label_map[top:bottom, left:right] = small_map
