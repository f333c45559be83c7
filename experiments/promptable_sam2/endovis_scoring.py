"""Scores on real EndoVis 2018 frames: boxes and clicks, beside the filled box and GrabCut.

Path:    ImagePredictor, folder of frames -> [endovis_scoring] -> scores -> evaluate_nano
Units:   IoU in 0..1; boxes x0, y0, x1, y1 in pixels, last pixel included.
Errors:  ValueError naming the folder when it holds no frame with a mask, or the file that cannot be
         read.
Source:  GrabCut (Rother et al., 2004) in OpenCV's implementation as baseline.
Differs: every connected component of a class is an object of its own, if it has 0.5 % of the image.
"""

import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from experiments.promptable_sam2.scoring import (
    MIN_AREA,
    Answer,
    Keep,
    best_of_three,
    fill_box,
    iou,
    keep_nothing,
    tight_box,
)
from surgjax.inference import ImagePredictor
from surgjax.prompts.clicks import center_click


def grabcut(image: np.ndarray, box: np.ndarray, scale: float) -> np.ndarray:
    """OpenCV GrabCut from the box, five rounds, on the image at `scale`."""
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x0, y0 = (int(v * scale) for v in box[:2])
    width = max(1, round((box[2] + 1) * scale) - x0)
    height = max(1, round((box[3] + 1) * scale) - y0)
    states = np.zeros(small.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(small[..., ::-1].copy(), states, (x0, y0, width, height), *models, 5,
                cv2.GC_INIT_WITH_RECT)  # fmt: skip
    found = np.isin(states, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0


def endovis_components(folder: pathlib.Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, RGB frame, component) for every 8-connected component that is large enough."""
    paths = sorted(folder.glob("*_mask.png"))
    if not paths:
        raise ValueError(f"{folder}: no *_mask.png found.")
    for path in paths:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        image = cv2.imread(str(path.with_name(path.name.replace("_mask.png", ".jpg"))))
        if labels is None or image is None:
            raise ValueError(f"{path}: the mask, or the .jpg frame beside it, cannot be read.")
        for label in np.unique(labels[labels > 0]):
            found = cv2.connectedComponentsWithStats(
                (labels == label).astype(np.uint8), connectivity=8
            )
            count, parts, areas = found[0], found[1], found[2][:, cv2.CC_STAT_AREA]
            for part in range(1, count):
                if areas[part] >= MIN_AREA * labels.size:
                    name = f"{path.name.removesuffix('_mask.png')}/{label}.{part}"
                    yield name, image[..., ::-1], parts == part


def score_endovis(
    predictor: ImagePredictor, folder: str, grabcut_scale: float, keep: Keep = keep_nothing
) -> dict[str, object]:
    """Mean IoU from tight boxes, beside the filled box and GrabCut on the same boxes, and from one
    click at the component's centre."""
    rows, shown = [], None
    for name, image, target in endovis_components(pathlib.Path(folder)):
        if name.split("/")[0] != shown:
            predictor.set_image(image)
            shown = name.split("/")[0]
        box = tight_box(target)
        mask = predictor.predict(box=box, multimask_output=False)[0][0]
        point = center_click(None, target)[0][None]
        clicked = best_of_three(predictor, point[None], np.ones((1, 1), int))[0]
        filled = iou(fill_box(box, target.shape), target)
        row = {"name": name, "nano": iou(mask, target), "filled_box": filled}
        if grabcut_scale:
            row["grabcut"] = iou(grabcut(image, box, grabcut_scale), target)
        row["nano_click"] = iou(clicked, target)
        rows.append(row)
        keep(Answer(f"{name} box", image, target, mask, row["nano"], box_xyxy=box))
        keep(Answer(f"{name} click", image, target, clicked, row["nano_click"], points_xy=point))
    methods = [key for key in rows[0] if key != "name"]
    means = {key: float(np.mean([row[key] for row in rows])) for key in methods}
    others = [key for key in methods if not key.startswith("nano")]
    wins = sum(row["nano"] > max(row[key] for key in others) for row in rows)
    over_box = sum(row["nano"] > row["filled_box"] for row in rows)
    counts = {"components": len(rows), "above_filled_box": over_box, "above_all": wins}
    return {**counts, **means, "rows": rows}
