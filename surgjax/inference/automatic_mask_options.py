"""The options of automatic masks, checked before anything is computed.

Path:    flags, keyword arguments -> [automatic_mask_options] -> automatic_masks
Axes:    point grids [P, 2], x first.
Units:   thresholds of IoUs and of stability as fractions, of masks as logits; areas in pixels of
         the low-resolution mask.
Errors:  ValueError naming the option, what was expected and what was found.
Source:  SAM 2 `sam2/automatic_mask_generator.py`: names, meanings, defaults.
Differs: values out of range are refused; there, most end in an error of a tensor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgjax.inference.image_crops import layer_grids

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")


@dataclass(frozen=True, kw_only=True)
class AutomaticMaskOptions:
    """Names, meanings and defaults of the original.

    A filter's threshold at or below 0 switches the filter off. point_grids, fractions of a crop's
    sides [P, 2] for the image and each layer of crops, take the place of points_per_side=None.
    """

    points_per_side: int | None = 32
    points_per_batch: int = 64  # rows of the compiled decoder
    pred_iou_thresh: float = 0.8  # a mask must be above
    stability_score_thresh: float = 0.95  # a mask must reach it
    stability_score_offset: float = 1.0  # of the logits
    mask_threshold: float = 0.0  # of the logits
    box_nms_thresh: float = 0.7  # IoU of boxes within a crop
    crop_n_layers: int = 0  # layer k adds 4 ** k crops
    crop_nms_thresh: float = 0.7  # IoU of boxes between crops
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1  # layer k: points_per_side / factor ** k
    point_grids: Sequence[np.ndarray] | None = None
    min_mask_region_area: int = 0  # holes and specks up to it, in pixels of the low-resolution mask
    output_mode: str = "binary_mask"
    use_m2m: bool = False  # each mask is refined once, with itself as a prompt
    multimask_output: bool = True

    def __post_init__(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise ValueError("exactly one of points_per_side and point_grids is needed.")
        for name in ("points_per_side", "points_per_batch", "crop_n_points_downscale_factor"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: 1 or more expected.")
        for name in ("crop_n_layers", "min_mask_region_area", "stability_score_offset"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: 0 or more expected.")
        for name in ("box_nms_thresh", "crop_nms_thresh", "crop_overlap_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: a number from 0 to 1 expected.")
        for name in ("pred_iou_thresh", "stability_score_thresh", "mask_threshold"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}={getattr(self, name)}: a finite number expected.")
        if self.output_mode not in OUTPUT_MODES:
            raise ValueError(
                f"output_mode={self.output_mode!r}: one of {', '.join(OUTPUT_MODES)} expected."
            )
        self.grids()

    def grids(self) -> list[np.ndarray]:
        """Points of the whole image and of every layer of crops, as fractions [P, 2]."""
        if self.points_per_side is not None:
            factor = self.crop_n_points_downscale_factor
            return layer_grids(self.points_per_side, self.crop_n_layers, factor)
        assert self.point_grids is not None
        grids = [np.asarray(grid, np.float64) for grid in self.point_grids]
        if len(grids) <= self.crop_n_layers:
            raise ValueError(
                f"point_grids: {self.crop_n_layers + 1} expected, one for the image and one for "
                f"each of {self.crop_n_layers} crop layers, {len(grids)} found."
            )
        for grid in grids:
            fits = grid.ndim == 2 and grid.shape[1] == 2 and len(grid)
            if not fits or not ((grid >= 0) & (grid <= 1)).all():
                raise ValueError(
                    f"point_grids: fractions (P, 2) from 0 to 1 expected, found {grid.shape}."
                )
        return grids
