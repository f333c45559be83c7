"""Image predictor: encode an image once, prompt it many times.

Path:    image -> encode_image -> [image: prompts -> masks]
Axes:    masks [C, H, W] at the size of the image, IoUs [C], low-resolution logits [C, S/4, S/4];
         C is 3 with multimask_output, else 1. A batch of boxes [n, 4] (or points [n, p, 2]) on one
         image gives a leading n.
Units:   points and boxes in pixels of the image, column first.
Errors:  ValueError naming what was expected and found; RuntimeError before an image is set.
Source:  SAM 2 `sam2/sam2_image_predictor.py`, `utils/transforms.py`.
Differs: no hidden batch state: `set_image_batch` is `set_image` for each image in turn.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from surgjax.inference.programs import POINT_BUCKETS, PRECISIONS, Programs, bucket
from surgjax.inference.stream import Stream
from surgjax.inference.weights import load_weights
from surgjax.models.variants import IMAGE_MEAN, IMAGE_STD, Sam2Config
from surgjax.ops.masks import clean_mask, resize_antialias, resize_logits
from surgjax.structs import ImageFeatures, PointPrompts

_MEAN, _STD = np.array(IMAGE_MEAN, np.float32), np.array(IMAGE_STD, np.float32)
_ROW_BUCKETS = (1, 4, 16, 64)  # prompt sets in one decoder call
_LABELS = (-1, 0, 1, 2, 3)
Prediction = tuple[np.ndarray, np.ndarray, np.ndarray]


class ImagePredictor:
    """Promptable segmentation of single images."""

    def __init__(
        self,
        params: dict,
        config: Sam2Config,
        precision: str = "fp32",
        *,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ):
        """Areas in pixels of the low-resolution mask; 0 = no clean-up."""
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: expected one of {tuple(PRECISIONS)}")
        self.config = config
        self.programs = Programs(Stream.create(config, PRECISIONS[precision]), params)
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self._images: list[tuple[ImageFeatures, tuple[int, int]]] = []

    @classmethod
    def from_checkpoint(
        cls,
        path_or_name: str = "nano",
        image_size: int | None = None,
        precision: str = "fp32",
        random_weights: bool = False,
        **options: Any,
    ) -> "ImagePredictor":
        """As `VideoPredictor.from_checkpoint`."""
        params, config, _ = load_weights(path_or_name, image_size, random_weights)
        return cls(params, config, precision, **options)

    def set_image(self, image: Any) -> None:
        """Encodes one RGB image: uint8 (H, W, 3) or a PIL image."""
        self._images = [self.encode(image)]

    def set_image_batch(self, images: Sequence[Any]) -> None:
        """Encodes several images, of any sizes, for `predict_batch`."""
        if not len(images):
            raise ValueError("images: at least one is needed")
        self._images = [self.encode(image) for image in images]

    def encode(self, image: Any) -> tuple[ImageFeatures, tuple[int, int]]:
        """Features of an image, and its (H, W); nothing is kept, unlike `set_image`."""
        pixels = np.asarray(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
            raise ValueError(
                f"image: expected uint8 (H, W, 3) RGB, found {pixels.dtype} {pixels.shape}"
            )
        side = self.config.image_size
        fitted = resize_antialias(pixels.astype(np.float32) / 255.0, (side, side))
        return self.programs.encode((fitted - _MEAN) / _STD), pixels.shape[:2]

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Prediction:
        """Masks, predicted IoUs and low-resolution logits (clipped to +-32) for the image.

        point_coords (p, 2) or (n, p, 2) with labels 1 / 0; box (4,) or (n, 4); mask_input low-res
        logits (1, S/4, S/4) or (n, 1, S/4, S/4) of an earlier prediction.
        """
        if not self._images:
            raise RuntimeError("call set_image before predict")
        prompts = (point_coords, point_labels, box, mask_input)
        return self._predict(0, *prompts, multimask_output, return_logits, normalize_coords)

    def predict_batch(
        self,
        point_coords_batch: Sequence[Any] | None = None,
        point_labels_batch: Sequence[Any] | None = None,
        box_batch: Sequence[Any] | None = None,
        mask_input_batch: Sequence[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """`predict` for every image of `set_image_batch`; lists have one entry an image."""
        if not self._images:
            raise RuntimeError("call set_image_batch before predict_batch")
        given = (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
        for batch in given:
            if batch is not None and len(batch) != len(self._images):
                raise ValueError(f"{len(batch)} prompts for {len(self._images)} images")
        results = []
        for i in range(len(self._images)):
            xy, labels, box, mask = (None if batch is None else batch[i] for batch in given)
            options = (multimask_output, return_logits, normalize_coords)
            results.append(self._predict(i, xy, labels, box, mask, *options))
        masks, ious, low_res = zip(*results, strict=True)
        return list(masks), list(ious), list(low_res)

    def _predict(
        self,
        image: int,
        point_coords: Any,
        point_labels: Any,
        box: Any,
        mask_input: Any,
        multimask_output: bool,
        return_logits: bool,
        normalize_coords: bool,
    ) -> Prediction:
        features, size = self._images[image]
        xy, labels, single = self._points(point_coords, point_labels, box, size, normalize_coords)
        q = self.config.mask_size
        mask = None
        if mask_input is not None:
            mask = np.asarray(mask_input, np.float32)
            if mask.shape[-2:] != (q, q) or mask.ndim not in (2, 3, 4):
                raise ValueError(
                    f"mask_input: expected logits (1, {q}, {q}) or (n, 1, {q}, {q}), found "
                    f"{mask.shape}"
                )
            mask = mask.reshape(-1, q, q)
            if xy.shape[1] == 0:
                xy, labels = xy[:1].repeat(len(mask), 0), labels[:1].repeat(len(mask), 0)
                single = single and len(mask) == 1
            if len(mask) not in (1, len(xy)):
                raise ValueError(f"mask_input: {len(mask)} masks for {len(xy)} prompts")
            mask = np.broadcast_to(mask, (len(xy), q, q))
        elif xy.shape[1] == 0:
            raise ValueError("at least one of point_coords, box and mask_input is needed")
        logits, ious, choice = self._decode(features, xy, labels, mask)
        if multimask_output:
            logits, ious = logits[:, 1:], ious[:, 1:]
        else:
            rows = np.arange(len(choice))
            logits, ious = logits[rows, choice][:, None], ious[rows, choice][:, None]
        masks = np.stack([[self._finish(m, size) for m in row] for row in logits])
        masks = masks if return_logits else masks > self.mask_threshold
        low_res = np.clip(logits, -32.0, 32.0)
        return (masks[0], ious[0], low_res[0]) if single else (masks, ious, low_res)

    def _finish(self, logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        shifted = logits - self.mask_threshold
        cleaned = clean_mask(shifted, self.max_hole_area, self.max_sprinkle_area)
        return resize_logits(cleaned + self.mask_threshold, size)

    def _points(
        self, coords: Any, labels: Any, box: Any, size: tuple[int, int], normalize: bool
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Points [n, p, 2] in model pixels, labels [n, p], and whether it was a single prompt."""
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        single = True
        if box is not None:
            boxes = np.asarray(box, np.float32)
            if boxes.shape[-1:] != (4,) or boxes.ndim > 2 or not boxes.size:
                raise ValueError(f"box: expected (4,) or (n, 4), found {boxes.shape}")
            single = boxes.ndim == 1
            corners = boxes.reshape(-1, 2, 2)
            parts.append((corners, np.tile(np.array([[2, 3]]), (len(corners), 1))))
        if coords is not None:
            xy = np.asarray(coords, np.float32)
            values = np.asarray(labels) if labels is not None else np.ones(xy.shape[:-1], int)
            fits = xy.ndim in (2, 3) and xy.shape[-1] == 2 and values.shape == xy.shape[:-1]
            if not fits or not xy.size:
                raise ValueError(
                    "point_coords: expected (p, 2) or (n, p, 2) with a label for each, found "
                    f"{xy.shape} and labels {values.shape}"
                )
            if not np.isin(values, _LABELS).all():
                raise ValueError(
                    f"point_labels {values.tolist()}: expected 1 (object), 0 (not), 2 and 3 "
                    "(corners of a box) or -1 (no point)"
                )
            single = single and xy.ndim == 2
            per_prompt = xy.shape[-2]
            parts.append((xy.reshape(-1, per_prompt, 2), values.reshape(-1, per_prompt)))
        elif labels is not None:
            raise ValueError("point_labels without point_coords")
        if not parts:
            return np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int32), True
        if len({len(xy) for xy, _ in parts}) != 1:
            raise ValueError(f"{len(parts[0][0])} boxes for {len(parts[1][0])} sets of points")
        xy = np.concatenate([p for p, _ in parts], 1)
        if not np.isfinite(xy).all():
            raise ValueError("point_coords and box: expected finite numbers")
        side = self.config.image_size
        height, width = size if normalize else (1, 1)
        scale = np.array([side / width, side / height], np.float32)
        return xy * scale, np.concatenate([v for _, v in parts], 1).astype(np.int32), single

    def _decode(
        self, features: ImageFeatures, xy: np.ndarray, labels: np.ndarray, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Padded decoder calls: logits [n, 4, S/4, S/4], IoUs [n, 4], single-mask index [n]."""
        n, p = labels.shape
        q = self.config.mask_size
        slots = bucket(max(p, 1), POINT_BUCKETS, "points in one prompt")
        rows = next((r for r in _ROW_BUCKETS if n <= r), _ROW_BUCKETS[-1])
        outputs = []
        for at in range(0, n, rows):
            here = min(rows, n - at)
            points = PointPrompts(
                np.zeros((rows, slots, 2), np.float32),
                np.full((rows, slots), -1, np.int32),
                np.zeros((rows, slots), bool),
            )
            points.points_xy[:here, :p] = xy[at : at + here]
            points.labels[:here, :p] = labels[at : at + here]
            points.valid[:here, :p] = True
            dense = np.zeros((rows, q, q), np.float32)
            if mask is not None:
                dense[:here] = mask[at : at + here]
            use = np.full(rows, mask is not None)
            out = jax.device_get(self.programs.decode_image(features, points, dense, use))
            outputs.append([x[:here] for x in out])
        logits, ious, choice = (np.concatenate(x) for x in zip(*outputs, strict=True))
        return logits, ious, choice
