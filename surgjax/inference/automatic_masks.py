"""Masks of everything in an image: a grid of points, each a prompt; good masks stay, doubles go.

Path:    image -> image_crops -> encode -> decode a batch of points -> filters -> box_nms
         -> [automatic_masks] -> records
Axes:    N points of a batch, C masks a point (3, or 1 without multimask_output), q = S/4.
Units:   pixels of the image, x first; boxes of records are x, y, width, height.
Errors:  ValueError naming the option, before anything is computed.
Source:  SAM 2 `sam2/automatic_mask_generator.py`, `utils/amg.py`: options, defaults, rules, order.
Differs: one compiled decoder serves every batch, the last one padded; masks are brought to the
         image's size on the host, after the filter by predicted IoU, which rejects most of them.
         min_mask_region_area works without a CUDA extension (there it is skipped with a warning),
         and an image without any mask gives no record (there an error as soon as there are crops).
         bbox keeps the original's convention: width and height are one less than the columns and
         rows that the mask covers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from surgjax.inference.automatic_mask_options import AutomaticMaskOptions
from surgjax.inference.image import ImagePredictor
from surgjax.inference.image_crops import Box, crop_boxes, is_cut
from surgjax.ops import run_lengths
from surgjax.ops.box_nms import box_nms
from surgjax.ops.masks import bounding_box, clean_mask, resize_logits, stability_score
from surgjax.structs import ImageFeatures, PointPrompts


class MaskRecord(TypedDict):
    """One mask, with the names and types of the original."""

    segmentation: Any  # bool (H, W), or run lengths, by output_mode
    area: int
    bbox: list[float]  # x, y, width, height
    predicted_iou: float
    point_coords: list[list[float]]  # the one point x, y that asked for it
    stability_score: float
    crop_box: list[float]  # x, y, width, height


class _Found(NamedTuple):
    """Masks that passed the filters, row by row; boxes x0 y0 x1 y1 in pixels of the image."""

    runs: list[run_lengths.RunLengths]
    boxes: np.ndarray  # [n, 4]
    ious: np.ndarray  # [n]
    stability: np.ndarray  # [n]
    points: np.ndarray  # [n, 2]
    crops: np.ndarray  # [n, 4]

    def take(self, rows: np.ndarray) -> "_Found":
        arrays = (array[rows] for array in self[1:])
        return _Found([self.runs[row] for row in rows], *arrays)


def _joined(parts: Sequence[_Found]) -> _Found:
    runs, *arrays = zip(*parts, strict=True)
    return _Found([code for part in runs for code in part], *map(np.concatenate, arrays))


class AutomaticMaskGenerator:
    """`generate(image)` gives the records of one image."""

    def __init__(self, predictor: ImagePredictor, **options: Any):
        """`options` are those of AutomaticMaskOptions.

        Of the predictor its model and its compiled programs are used; the image that it has set,
        its threshold and its clean-up play no part and stay as they are.
        """
        self.predictor = predictor
        self.options = AutomaticMaskOptions(**options)
        self._grids = self.options.grids()

    @classmethod
    def from_checkpoint(
        cls,
        path_or_name: str = "nano",
        image_size: int | None = None,
        precision: str = "fp32",
        random_weights: bool = False,
        **options: Any,
    ) -> "AutomaticMaskGenerator":
        """As `ImagePredictor.from_checkpoint`, with the options of AutomaticMaskOptions."""
        AutomaticMaskOptions(**options)  # before weights are read
        args = (path_or_name, image_size, precision, random_weights)
        return cls(ImagePredictor.from_checkpoint(*args), **options)

    def batches(self, size: tuple[int, int]) -> int:
        """How many batches of points an image (height, width) takes."""
        crops = crop_boxes(size, self.options.crop_n_layers, self.options.crop_overlap_ratio)
        per_batch = self.options.points_per_batch
        return sum(math.ceil(len(self._grids[layer]) / per_batch) for _, layer in crops)

    def generate(
        self, image: np.ndarray, on_batch: Callable[[], None] = lambda: None
    ) -> list[MaskRecord]:
        """Records of an image uint8 (H, W, 3), best predicted IoU first.

        With crops: masks of smaller crops first. `on_batch` is called after every batch of points.
        """
        options, image = self.options, np.asarray(image)
        size = image.shape[:2]
        if image.ndim != 3:
            raise ValueError(f"image: expected uint8 (H, W, 3) RGB, found {image.shape}")
        crops = crop_boxes(size, options.crop_n_layers, options.crop_overlap_ratio)
        found = _joined([self._crop(image, box, layer, on_batch) for box, layer in crops])
        if len(crops) > 1:
            sides = (found.crops[:, 2:] - found.crops[:, :2]).astype(np.float32)
            found = found.take(box_nms(found.boxes, 1 / sides.prod(1), options.crop_nms_thresh))
        return [self._record(found, row) for row in range(len(found.runs))]

    def _crop(
        self, image: np.ndarray, crop: Box, layer: int, on_batch: Callable[[], None]
    ) -> _Found:
        """What one crop shows, without doubles."""
        x0, y0, x1, y1 = crop
        features, size = self.predictor.encode(image[y0:y1, x0:x1])
        points = (self._grids[layer] * size[::-1]).astype(np.float32)
        parts = []
        for batch in self._chunks(points):
            parts.append(self._batch(features, batch, crop, image.shape[:2]))
            on_batch()
        found = _joined(parts)
        return found.take(
            box_nms(found.boxes - crop[:2] * 2, found.ious, self.options.box_nms_thresh)
        )

    def _chunks(self, array: np.ndarray) -> Iterator[np.ndarray]:
        step = self.options.points_per_batch
        return (array[at : at + step] for at in range(0, len(array), step))

    def _batch(
        self, features: ImageFeatures, points: np.ndarray, crop: Box, image_size: tuple[int, int]
    ) -> _Found:
        """The masks of some points [n, 2] that pass the filters, in the order of the points."""
        options, size = self.options, (crop[3] - crop[1], crop[2] - crop[0])
        logits, ious = self._masks(features, points, size)
        points = points.repeat(len(ious) // len(points), 0) + np.array(crop[:2], np.float32)
        keep = range(len(ious))
        if options.pred_iou_thresh > 0:
            keep = np.flatnonzero(ious > options.pred_iou_thresh)
        runs, boxes, stability, rows = [], [], [], []
        for row in keep:
            mask, stable = self._mask(logits[row], size)
            if options.stability_score_thresh > 0 and not stable >= options.stability_score_thresh:
                continue
            box = np.array(bounding_box(mask)) + crop[:2] * 2
            if is_cut(box, crop, image_size):
                continue
            whole = np.zeros(image_size, bool)
            whole[crop[1] : crop[3], crop[0] : crop[2]] = mask
            runs.append(run_lengths.compress(whole))
            boxes.append(box)
            stability.append(stable)
            rows.append(row)
        return _Found(
            runs,
            np.array(boxes, np.int64).reshape(-1, 4),
            ious[rows],
            np.array(stability, np.float32),
            points[rows],
            np.tile(np.array(crop), (len(rows), 1)),
        )

    def _mask(self, low_res: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.float32]:
        """The mask of low-resolution logits [q, q] at the size of the crop, and its stability."""
        options = self.options
        area = options.min_mask_region_area
        logits = resize_logits(clean_mask(low_res, area, area), size)
        stable = stability_score(logits, options.mask_threshold, options.stability_score_offset)
        return logits > options.mask_threshold, stable

    def _masks(
        self, features: ImageFeatures, points: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Low-resolution logits [n * C, q, q] and IoUs [n * C] of points [n, 2] of a crop."""
        side = np.float32(self.predictor.config.image_size)
        points = points / np.array(size[::-1], np.float32) * side
        logits, ious, choice = self._decode(features, points)
        if self.options.multimask_output:
            logits, ious = logits[:, 1:], ious[:, 1:]
        else:
            logits, ious = _chosen(logits, ious, choice)
        points = points.repeat(ious.shape[1], 0)
        logits, ious = logits.reshape(-1, *logits.shape[2:]), ious.ravel()
        if not self.options.use_m2m:
            return logits, ious
        refined = [
            _chosen(*self._decode(features, xy, np.clip(low_res, -32.0, 32.0)))
            for xy, low_res in zip(self._chunks(points), self._chunks(logits), strict=True)
        ]
        logits, ious = (np.concatenate(parts)[:, 0] for parts in zip(*refined, strict=True))
        return logits, ious

    def _decode(
        self, features: ImageFeatures, points: np.ndarray, masks: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits [n, 4, q, q], IoUs [n, 4], index of the single mask [n]; n up to a batch.

        Points [n, 2] in pixels of the model's input, masks [n, q, q] logits of earlier masks.
        """
        n, rows, q = len(points), self.options.points_per_batch, self.predictor.config.mask_size
        prompts = PointPrompts(
            np.zeros((rows, 1, 2), np.float32),
            np.ones((rows, 1), np.int32),
            np.ones((rows, 1), bool),
        )
        prompts.points_xy[:n, 0] = points
        dense = np.zeros((rows, q, q), np.float32)
        if masks is not None:
            dense[:n] = masks
        use = np.full(rows, masks is not None)
        out = self.predictor.programs.decode_image(features, prompts, dense, use)
        logits, ious, choice = (np.asarray(x)[:n] for x in out)
        return logits, ious, choice

    def _record(self, found: _Found, row: int) -> MaskRecord:
        code = found.runs[row]
        segmentation: Any = code
        if self.options.output_mode != "coco_rle":
            segmentation = run_lengths.to_mask(code)
        if self.options.output_mode == "uncompressed_rle":
            segmentation = run_lengths.uncompressed(segmentation)
        return {
            "segmentation": segmentation,
            "area": run_lengths.area(code),
            "bbox": _xywh(found.boxes[row]),
            "predicted_iou": float(found.ious[row]),
            "point_coords": [found.points[row].tolist()],
            "stability_score": float(found.stability[row]),
            "crop_box": _xywh(found.crops[row]),
        }


def _chosen(
    logits: np.ndarray, ious: np.ndarray, choice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The single mask of every row: [n, 4, ...] -> [n, 1, ...]."""
    rows = np.arange(len(choice))
    return logits[rows, choice][:, None], ious[rows, choice][:, None]


def _xywh(box_xyxy: np.ndarray) -> list[float]:
    x0, y0, x1, y1 = box_xyxy.astype(float).tolist()
    return [x0, y0, x1 - x0, y1 - y0]
