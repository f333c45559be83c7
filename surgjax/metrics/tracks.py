"""Tracks of objects on both sides of a comparison, with the similarity of every pair per frame.

Path:    label maps, masks or boxes -> [tracks] -> hota, clear, identity
Axes:    T frames of one video, G true and P predicted objects in a frame, H W pixels.
Units:   similarity in [0, 1], IoU unless said otherwise; boxes_xyxy in pixels from edge to edge:
         the box of one pixel at column 3 runs from 3 to 4.
Errors:  ValueError naming the frame, what was expected and what was found.
Source:  arXiv:2009.07736 for what is compared; box IoU as in TrackEval 1.3.0.
Differs: TrackEval wants ids counted from 0 without gaps; here any whole numbers serve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgjax.metrics.label_maps import IGNORED
from surgjax.ops.masks import bounding_box
from surgjax.typing import Bool, Float, NDArray, typechecked


@dataclass(frozen=True)
class TrackPair:
    """Who is where in one video: per frame the true ids, the predicted ids, and [G, P] between."""

    truth_ids: tuple[np.ndarray, ...]
    predicted_ids: tuple[np.ndarray, ...]
    similarities: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.similarities)


@dataclass(frozen=True)
class CountedPair:
    """A `TrackPair` whose ids count from 0, and how often each was there."""

    pair: TrackPair
    truth_count: np.ndarray  # [truths] frames in which each true id is present
    predicted_count: np.ndarray


def _checked_ids(ids, frame: int, side: str) -> np.ndarray:
    found = np.asarray(ids)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise ValueError(
            f"frame {frame}: {side} ids are {found.dtype}{list(found.shape)}; "
            "expected whole numbers, one per object."
        )
    values, count = np.unique(found, return_counts=True)
    if (count > 1).any():
        raise ValueError(f"frame {frame}: {side} ids {values[count > 1].tolist()} occur twice.")
    return found.astype(np.int64)


def make_pair(
    truth_ids: Sequence, predicted_ids: Sequence, similarities: Sequence[np.ndarray]
) -> TrackPair:
    """Checks and packs what a video holds; each argument has one entry per frame.

    An id is unique within its frame. `similarities[t]` is [G, P], true objects in rows.
    """
    lengths = (len(truth_ids), len(predicted_ids), len(similarities))
    if len(set(lengths)) != 1:
        raise ValueError(f"true ids, predicted ids, similarities cover {lengths} frames.")
    truths, predictions, matrices = [], [], []
    for t, (true, predicted, similarity) in enumerate(
        zip(truth_ids, predicted_ids, similarities, strict=True)
    ):
        truths.append(_checked_ids(true, t, "true"))
        predictions.append(_checked_ids(predicted, t, "predicted"))
        want = (len(truths[-1]), len(predictions[-1]))
        matrix = np.asarray(similarity, float)
        if matrix.size == 0 and 0 in want:
            matrix = matrix.reshape(want)
        if matrix.shape != want:
            raise ValueError(f"frame {t}: similarities are {matrix.shape}, the ids need {want}.")
        if not ((matrix >= 0) & (matrix <= 1)).all():
            raise ValueError(f"frame {t}: similarities lie outside 0..1 or are not numbers.")
        matrices.append(matrix)
    return TrackPair(tuple(truths), tuple(predictions), tuple(matrices))


def concatenate(pieces: Sequence[TrackPair]) -> TrackPair:
    """One video whose frames came in pieces, in order; equal ids are the same track."""
    return TrackPair(
        tuple(ids for piece in pieces for ids in piece.truth_ids),
        tuple(ids for piece in pieces for ids in piece.predicted_ids),
        tuple(matrix for piece in pieces for matrix in piece.similarities),
    )


def _from_zero(ids: tuple[np.ndarray, ...]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    together = np.concatenate(ids) if ids else np.zeros(0, np.int64)
    known, count = np.unique(together, return_counts=True)
    return tuple(np.searchsorted(known, frame) for frame in ids), count


def count_from_zero(pair: TrackPair) -> CountedPair:
    """The same tracks with ids 0, 1, ... in the order of the ids given."""
    truth_ids, truth_count = _from_zero(pair.truth_ids)
    predicted_ids, predicted_count = _from_zero(pair.predicted_ids)
    return CountedPair(
        TrackPair(truth_ids, predicted_ids, pair.similarities), truth_count, predicted_count
    )


@typechecked
def box_iou(
    truth_xyxy: Float[NDArray, "G 4"], predicted_xyxy: Float[NDArray, "P 4"]
) -> Float[NDArray, "G P"]:
    """Intersection over union of boxes; 0 where either box has no area."""
    low = np.maximum(truth_xyxy[:, None, :2], predicted_xyxy[None, :, :2])
    high = np.minimum(truth_xyxy[:, None, 2:], predicted_xyxy[None, :, 2:])
    intersection = np.prod(np.maximum(high - low, 0), -1)
    truth_area = np.prod(truth_xyxy[:, 2:] - truth_xyxy[:, :2], -1)
    predicted_area = np.prod(predicted_xyxy[:, 2:] - predicted_xyxy[:, :2], -1)
    union = truth_area[:, None] + predicted_area[None] - intersection
    real = (truth_area > 0)[:, None] & (predicted_area > 0)[None]
    return np.where(real, intersection / np.where(real, union, 1.0), 0.0)


@typechecked
def mask_iou(
    truths: Bool[NDArray, "G H W"], predictions: Bool[NDArray, "P H W"]
) -> Float[NDArray, "G P"]:
    """Intersection over union of masks, which may overlap; 0 where either is empty."""
    pixels = truths.shape[1] * truths.shape[2]
    flat_truths = truths.reshape(-1, pixels).astype(np.float64)  # whole numbers: sums are exact
    flat_predictions = predictions.reshape(-1, pixels).astype(np.float64)
    intersection = flat_truths @ flat_predictions.T
    union = flat_truths.sum(1)[:, None] + flat_predictions.sum(1)[None] - intersection
    return intersection / np.maximum(union, 1)


def boxes_of_labels(label_map: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """[N, 4] float boxes_xyxy around each of [N] ids of an [H, W] label map; all must be there."""
    boxes = np.empty((len(ids), 4))
    for row, i in enumerate(ids):
        mask = label_map == i
        if not mask.any():
            raise ValueError(f"id {i} is not in the label map.")
        left, top, right, bottom = bounding_box(mask)
        boxes[row] = left, top, right + 1, bottom + 1  # from edge to edge
    return boxes


def _indexed(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidate ids, and for every pixel the place of its id among them."""
    if labels.size and 0 <= labels.min() and labels.max() < 1024:
        return np.arange(int(labels.max()) + 1), labels.ravel().astype(np.int64)
    ids, places = np.unique(labels, return_inverse=True)  # sorts all pixels
    return ids, places.ravel()


def _label_iou(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, ...]:
    """True ids, predicted ids and their mask IoU, by counting pairs of labels once."""
    truth_ids, truth_at = _indexed(truth)
    predicted_ids, predicted_at = _indexed(prediction)
    shape = (len(truth_ids), len(predicted_ids))
    joint = truth_at * shape[1] + predicted_at
    shared = np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape)
    truth_area, predicted_area = shared.sum(1), shared.sum(0)
    rows = (truth_ids != 0) & (truth_area > 0)
    columns = (predicted_ids != 0) & (predicted_area > 0)
    shared = shared[rows][:, columns]
    union = truth_area[rows][:, None] + predicted_area[columns][None] - shared
    return truth_ids[rows], predicted_ids[columns], shared / union


def pair_from_label_maps(
    predictions: np.ndarray,
    targets: np.ndarray,
    similarity: str = "mask",
    ignore: int | None = IGNORED,
) -> TrackPair:
    """Masklets as tracks: [T, H, W] label maps of whole numbers, 0 background, an id per object.

    An object is in a frame if at least one pixel shows it. `similarity` is the IoU of the objects'
    pixels ("mask") or of the boxes around them ("box"). Where the target is `ignore`, neither side
    has pixels; None scores every pixel.
    """
    if similarity not in ("mask", "box"):
        raise ValueError(f"similarity: expected mask or box, found {similarity!r}.")
    for name, maps in (("predictions", predictions), ("targets", targets)):
        if maps.ndim != 3 or not np.issubdtype(maps.dtype, np.integer):
            raise ValueError(
                f"{name}: expected whole numbers [T, H, W], found {maps.dtype}{list(maps.shape)}."
            )
    if predictions.shape != targets.shape:
        raise ValueError(f"predictions {predictions.shape} and targets {targets.shape} differ.")
    truth_ids, predicted_ids, matrices = [], [], []
    for prediction, target in zip(predictions, targets, strict=True):
        if ignore is not None:
            out = target == ignore
            prediction, target = np.where(out, 0, prediction), np.where(out, 0, target)
        true, predicted, matrix = _label_iou(target, prediction)
        if similarity == "box":
            matrix = box_iou(boxes_of_labels(target, true), boxes_of_labels(prediction, predicted))
        truth_ids.append(true)
        predicted_ids.append(predicted)
        matrices.append(matrix)
    return make_pair(truth_ids, predicted_ids, matrices)
