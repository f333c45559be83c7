"""Average precision of scored masks by COCO's rule.

Path:    masks with scores -> [score_image] -> update -> merge -> compute -> mAP, AP50, AP75
Axes:    P predicted and G true objects of one image, H W pixels.
Units:   all scores in [0, 1], None where no true object falls into a range; areas in pixels: small
         is below 32 x 32, large above 96 x 96.
Errors:  ValueError for arrays that do not fit each other, or an image scored twice.
Source:  arXiv:1405.0312; the sums are pycocotools' own.
Differs: pycocotools takes an annotation whose id is 0 for no match at all, so ids count from 1
         here; and it answers -1 where nothing can be scored.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from surgjax.metrics.by_name import in_order, init_state, merge, update
from surgjax.typing import Bool, NDArray, typechecked

__all__ = ["ImageRecord", "State", "compute", "init_state", "merge", "score_image", "update"]

_AREAS = ("all", "small", "medium", "large")
_MOST_DETECTIONS = (1, 10, 100)  # per image and category; the rest, least sure first, is dropped


@dataclass(frozen=True)
class ImageRecord:
    """What one image holds, masks as COCO's run lengths: a few hundred bytes per object."""

    size: tuple[int, int]  # height, width
    detections: tuple[tuple[int, float, bytes], ...]  # category, score, runs
    truths: tuple[tuple[int, bool, float, bytes], ...]  # category, crowd, area, runs


State = Mapping[str, ImageRecord]


def _runs(masks: np.ndarray) -> list[bytes]:
    if not len(masks):
        return []
    columns_first = np.asfortranarray(masks.transpose(1, 2, 0), np.uint8)
    codes: Any = coco_mask.encode(columns_first)
    return [code["counts"] for code in codes]


def _fits(name: str, values: Any, count: int) -> np.ndarray:
    found = np.asarray(values)
    if found.shape != (count,):
        raise ValueError(f"{name}: expected one per mask, ({count},), found {found.shape}.")
    return found


@typechecked
def score_image(
    masks: Bool[NDArray, "P H W"],
    scores: Any,
    categories: Any,
    truths: Bool[NDArray, "G H W"],
    truth_categories: Any,
    *,
    crowd: Any = None,
    truth_areas: Any = None,
) -> ImageRecord:
    """Packs one image; masks may overlap.

    `scores` [P] rank the masks of all images, higher first. A truth marked in `crowd` [G] may take
    any number of masks and asks for none. `truth_areas` [G] decide which size a truth has; they are
    those of its mask unless an annotation file says otherwise.
    """
    crowd = np.zeros(len(truths), bool) if crowd is None else crowd
    areas = truths.sum((1, 2)) if truth_areas is None else truth_areas
    scores = _fits("scores", scores, len(masks)).astype(float)
    if not np.isfinite(scores).all():
        raise ValueError(f"scores: expected finite numbers, found {scores.tolist()}.")
    detections = zip(
        _fits("categories", categories, len(masks)).tolist(),
        scores.tolist(),
        _runs(masks),
        strict=True,
    )
    wanted = zip(
        _fits("truth_categories", truth_categories, len(truths)).tolist(),
        _fits("crowd", crowd, len(truths)).astype(bool).tolist(),
        _fits("truth_areas", areas, len(truths)).astype(float).tolist(),
        _runs(truths),
        strict=True,
    )
    return ImageRecord(truths.shape[1:], tuple(detections), tuple(wanted))


def _coco(images: list[dict], annotations: list[dict], categories: list[int]) -> COCO:
    data: Any = COCO()
    data.dataset = {
        "images": images,
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
        "categories": [{"id": category} for category in categories],
    }
    data.createIndex()
    return data


def _pair(state: State) -> tuple[COCO, COCO]:
    """The truths and the detections of a state, images and equal scores in the order of names."""
    images, truths, detections = [], [], []
    for number, (_, record) in enumerate(in_order(state), 1):
        height, width = record.size
        images.append({"id": number, "height": height, "width": width})
        for category, crowd, area, runs in record.truths:
            code: Any = {"size": [height, width], "counts": runs}
            truths.append({"image_id": number, "category_id": category, "iscrowd": int(crowd),
                           "area": area, "segmentation": code})  # fmt: skip
        for category, score, runs in record.detections:
            code: Any = {"size": [height, width], "counts": runs}
            detections.append({"image_id": number, "category_id": category, "iscrowd": 0,
                               "area": float(coco_mask.area(code)), "score": score,
                               "segmentation": code})  # fmt: skip
    categories = sorted({a["category_id"] for a in [*truths, *detections]})
    return _coco(images, truths, categories), _coco(images, detections, categories)


def _mean(values: np.ndarray) -> float | None:
    scored = values[values > -1]
    return float(scored.mean()) if scored.size else None


def compute(state: State) -> dict[str, Any]:
    """mAP (IoU 0.50 to 0.95), AP50, AP75, by area, recalls (AR), and AP of every category.

    A category without a true object anywhere is left out of the means and has AP None.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truths, detections = _pair(state)
        evaluation = COCOeval(truths, detections, "segm")
        evaluation.params.maxDets = list(_MOST_DETECTIONS)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # IoU, recall, category, area, most detections
    recall = evaluation.eval["recall"]  # IoU, category, area, most detections
    result = {
        "protocol": "coco",
        "mAP": _mean(precision[:, :, :, 0, -1]),
        "AP50": _mean(precision[0, :, :, 0, -1]),
        "AP75": _mean(precision[5, :, :, 0, -1]),
    }
    for place, area in enumerate(_AREAS[1:], 1):
        result[f"AP_{area}"] = _mean(precision[:, :, :, place, -1])
    for place, most in enumerate(_MOST_DETECTIONS):
        result[f"AR_{most}"] = _mean(recall[:, :, 0, place])
    for place, area in enumerate(_AREAS[1:], 1):
        result[f"AR_{area}"] = _mean(recall[:, :, place, -1])
    result["per_category"] = [
        {"category": category, "AP": _mean(precision[:, :, k, 0, -1])}
        for k, category in enumerate(evaluation.params.catIds)
    ]
    return result
