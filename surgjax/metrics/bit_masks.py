"""Masks as one long integer each, a bit a pixel: boundaries and disks in a few operations.

Path:    masks -> [bit_masks] -> davis2017 -> every J and F
Axes:    masks are bool (H, W); bit y * stride + x is the pixel (y, x), and every row ends in
         `guard` zero bits or more, so that a shift to the side never reaches the next row.
Units:   radius in pixels.
Errors:  none; `davis2017` checks shapes.
Source:  ours; the boundary is that of Martin's seg2bmap, as the DAVIS evaluation uses it.
Differs: the DAVIS evaluation dilates whole frames with OpenCV; here the work grows with the
         object's box and with the radius, not with the frame and the radius squared.
"""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Grid:
    """Where the bits of a mask lie."""

    height: int
    width: int
    stride: int  # bits a row, a multiple of 8

    @functools.cached_property
    def inside(self) -> int:
        """The bits that are pixels."""
        row = ((1 << self.width) - 1).to_bytes(self.stride // 8, "little")
        return int.from_bytes(row * self.height, "little")


def window(mask: np.ndarray, target: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold both masks and one pixel around, within the image."""
    left, top, width, height = cv2.boundingRect((mask | target).view(np.uint8))
    # One pixel around, or the cut would look like the border of the image.
    rows = slice(max(top - 1, 0), top + height + 1)
    return rows, slice(max(left - 1, 0), left + width + 1)


def grid_of(shape: tuple[int, ...], guard: int) -> Grid:
    """A grid for masks of this (H, W) that are shifted sideways by up to `guard` pixels."""
    height, width = shape
    return Grid(height, width, 8 * math.ceil((width + max(guard, 1)) / 8))


def pack(mask: np.ndarray, grid: Grid) -> int:
    """The bits of a mask; the last column is repeated once to the right, the last row below."""
    padded = np.zeros((grid.height + 1, grid.stride), bool)
    padded[:-1, : grid.width] = mask
    padded[:-1, grid.width] = mask[:, -1]
    padded[-1] = padded[-2]
    return int.from_bytes(np.packbits(padded, bitorder="little").tobytes(), "little")


def boundary(packed: int, grid: Grid) -> int:
    """Pixels that differ from the one to the right, below, or diagonally below right."""
    below = packed >> grid.stride
    differs = (packed ^ (packed >> 1)) | (packed ^ below) | (packed ^ (below >> 1))
    return differs & grid.inside


def dilate(packed: int, grid: Grid, radius: int) -> int:
    """Every pixel within `radius` of a set one; bits outside the pixels mean nothing."""
    rows_of_width: dict[int, list[int]] = {}
    for row in range(radius + 1):
        rows_of_width.setdefault(math.isqrt(radius**2 - row**2), []).append(row)
    spread, reach, result = packed, 0, 0
    for width in sorted(rows_of_width):  # each run of a disk grows out of the next shorter one
        while reach < width:
            step = min(width - reach, 2 * reach + 1)  # further would leave a gap
            spread |= (spread << step) | (spread >> step)
            reach += step
        for row in rows_of_width[width]:
            shift = row * grid.stride
            result |= (spread << shift) | (spread >> shift)
    return result
