"""Paints layers back to front and writes the truth with the same brush.

Path:    tissue, instruments, anatomy -> [compositor] -> effects
Axes:    image [H, W, 3] float32; labels and parts [H, W] uint8.
Units:   pixels; a pixel belongs to a layer that covers at least half of it.
"""

import cv2
import numpy as np

_SHADOW_GRID = 4  # shadows are soft: a quarter of the resolution is enough


def warp(sprite, matrix: np.ndarray, side: int, tight: bool = False):
    """The sprite in frame pixels: (x0, y0, rgb, alpha uint8), or None if out of view.

    `tight` colours only the rectangle that is covered. It is a third faster, but may round a colour
    otherwise, so that scenes whose bytes are promised do without.
    """
    rows, columns = sprite.alpha.shape
    corners = np.array([[0, 0, 1], [columns, 0, 1], [columns, rows, 1], [0, rows, 1]], float)
    seen = corners @ matrix.T
    seen = seen[:, :2] / seen[:, 2:]
    x0, y0 = np.maximum(np.floor(seen.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(seen.max(0)).astype(int) + 2, side)
    if x1 <= x0 or y1 <= y0:
        return None
    local = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], float) @ matrix
    size = (int(x1 - x0), int(y1 - y0))
    alpha = cv2.warpPerspective(sprite.alpha, local, size, flags=cv2.INTER_LINEAR)
    left, top, columns, rows = cv2.boundingRect(alpha)
    if not columns:
        return None
    if tight:
        local = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], float) @ local
        alpha, size = alpha[top : top + rows, left : left + columns], (columns, rows)
        x0, y0 = x0 + left, y0 + top
    rgb = cv2.warpPerspective(
        sprite.rgb, local, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return int(x0), int(y0), rgb, alpha


def cast_shadow(image: np.ndarray, layers, shift_xy, softness: float, strength: float) -> None:
    """Darkens the image, in place, where the layers stand between it and the lamp."""
    side = image.shape[0]
    small = side // _SHADOW_GRID
    cover = np.zeros((side, side), np.uint8)
    for x0, y0, _, alpha in layers:
        view = cover[y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1]]
        np.maximum(view, alpha, out=view)
    grid = cv2.resize(cover, (small, small), interpolation=cv2.INTER_AREA).astype(np.float32)
    shift_x, shift_y = np.asarray(shift_xy) / _SHADOW_GRID
    move = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
    grid = cv2.warpAffine(grid, move, (small, small), borderMode=cv2.BORDER_REPLICATE)
    grid = cv2.GaussianBlur(grid, (0, 0), max(0.5, softness / _SHADOW_GRID))
    shade = cv2.resize(1 - strength / 255 * grid, (side, side), interpolation=cv2.INTER_LINEAR)
    image *= shade[..., None]


def dim(layers, light: np.ndarray) -> None:
    """Multiplies warped pieces, in place, by the light [H, W] of where they are."""
    for x0, y0, rgb, alpha in layers:
        rgb *= light[y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1], None]


def paint(image, labels, parts, layers, label: int, part_ids) -> None:
    """Lays one object's warped pieces over the picture, in place. Label 0 hides what is below."""
    for (x0, y0, rgb, alpha), part in zip(layers, part_ids, strict=True):
        area = (slice(y0, y0 + alpha.shape[0]), slice(x0, x0 + alpha.shape[1]))
        image[area] += (alpha * np.float32(1 / 255))[..., None] * (rgb - image[area])
        covered = alpha > 127
        labels[area][covered] = label
        parts[area][covered] = part
