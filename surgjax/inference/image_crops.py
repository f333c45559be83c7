"""Where automatic masks look: grids of points, and crops of the image in layers.

Path:    image size -> [image_crops] -> automatic_masks
Axes:    grids [P, 2], x first; boxes x0 y0 x1 y1.
Units:   grids as fractions of a crop's sides, crops in pixels of the image, x1 and y1 exclusive.
         Boxes of masks are in pixels too, but name the last column and row inside.
Errors:  ValueError naming the option and what is too small.
Source:  SAM 2 `sam2/utils/amg.py`.
Differs: a layer without points, or with crops without pixels, is refused by name; there it ends in
         a division by zero or in the image encoder.
"""

import math

import numpy as np

EDGE_PIXELS = 20.0  # a mask this close to a crop's edge was probably cut by it
Box = tuple[int, int, int, int]


def point_grid(per_side: int) -> np.ndarray:
    """Centres of per_side x per_side equal cells, row by row: [per_side ** 2, 2]."""
    half = 1 / (2 * per_side)
    ticks = np.linspace(half, 1 - half, per_side)
    x, y = np.meshgrid(ticks, ticks)
    return np.stack([x.ravel(), y.ravel()], -1)


def layer_grids(per_side: int, layers: int, downscale: int) -> list[np.ndarray]:
    """One grid for the whole image and one for each layer, its side divided by downscale."""
    grids = []
    for layer in range(layers + 1):
        points = int(per_side / downscale**layer)
        if points < 1:
            raise ValueError(
                f"points_per_side={per_side} and crop_n_points_downscale_factor={downscale} leave "
                f"no point in crop layer {layer}."
            )
        grids.append(point_grid(points))
    return grids


def crop_boxes(size: tuple[int, int], layers: int, overlap_ratio: float) -> list[tuple[Box, int]]:
    """The whole image (height, width), then each layer's crops, with the layer they belong to.

    Layer k has 2**k crops a side, overlapping by overlap_ratio of the shorter side times 2 / 2**k;
    a layer's crops come column by column.
    """
    height, width = size
    boxes: list[tuple[Box, int]] = [((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / count))
        wide, high = (math.ceil((overlap * (count - 1) + side) / count) for side in (width, height))
        for left in ((wide - overlap) * i for i in range(count)):
            for top in ((high - overlap) * i for i in range(count)):
                box = left, top, min(left + wide, width), min(top + high, height)
                if box[0] >= box[2] or box[1] >= box[3]:
                    raise ValueError(
                        f"crop_n_layers={layers}: an image of {width}x{height} pixels is too small "
                        f"for {count} crops a side."
                    )
                boxes.append((box, layer))
    return boxes


def is_cut(boxes_xyxy: np.ndarray, crop: Box, size: tuple[int, int]) -> np.ndarray:
    """Which boxes [N, 4], in pixels of the image, have a side near the crop's and not the image's.

    Near is up to EDGE_PIXELS.
    """
    boxes = np.asarray(boxes_xyxy, np.float32)
    whole = np.array([0, 0, size[1], size[0]], np.float32)
    at_crop = np.abs(boxes - np.array(crop, np.float32)) <= EDGE_PIXELS
    at_image = np.abs(boxes - whole) <= EDGE_PIXELS
    return np.any(at_crop & ~at_image, axis=-1)
