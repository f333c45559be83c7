"""Scores of promptable models: held-out generated images and clips, real EndoVis 2018 frames.

Path:    predictors -> [scoring] -> scores -> evaluate_nano
Units:   IoU, J and F in 0..1; areas as a share of the image; boxes x0, y0, x1, y1, last pixel
         included.
Errors:  ValueError naming the folder when it holds no frame with a mask, the file that cannot be
         read, or the seed when its scenes may have been trained on.
Source:  DAVIS 2017 (J&F); GrabCut (Rother et al., 2004) in OpenCV's implementation as baseline.
Differs: objects below 0.5 % of the image are left out everywhere, as in the EndoVis protocol.
"""

import pathlib
from collections.abc import Iterator

import cv2
import numpy as np

from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.metrics import davis2017
from surgjax.prompts.clicks import center_click
from surgjax.synthetic import generate_clip, generate_image
from surgjax.synthetic.build import HELD_OUT
from surgjax.synthetic.config import PRESETS

MIN_AREA = 0.005


def iou(mask: np.ndarray, target: np.ndarray) -> float:
    """Intersection over union of two bool masks that are not both empty."""
    return float((mask & target).sum() / (mask | target).sum())


def tight_box(mask: np.ndarray) -> np.ndarray:
    """x0, y0, x1, y1 of the outermost foreground columns and rows."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def fill_box(box: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The box as a mask: what a user has without any model."""
    x0, y0, x1, y1 = box.astype(int)
    filled = np.zeros(shape[:2], bool)
    filled[y0 : y1 + 1, x0 : x1 + 1] = True
    return filled


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


def objects_of(label_map: np.ndarray) -> list[np.ndarray]:
    """Masks of the ids of a label map that are large enough."""
    ids = [i for i in np.unique(label_map) if i > 0]
    masks = [label_map == i for i in ids]
    return [mask for mask in masks if mask.mean() >= MIN_AREA]


def answer_image(
    predictor: ImagePredictor, image: np.ndarray, masks: list[np.ndarray]
) -> tuple[list[float], list[float]]:
    """IoU of every object's tight box, and of one click at its centre."""
    predictor.set_image(image)
    boxes = np.stack([tight_box(mask) for mask in masks])
    answers, _, _ = predictor.predict(box=boxes, multimask_output=False)
    boxed = [iou(answer[0], mask) for answer, mask in zip(answers, masks, strict=True)]
    points = np.stack([center_click(None, mask)[0] for mask in masks])[:, None]
    labels = np.ones(points.shape[:2], int)
    answers, ious, _ = predictor.predict(points, labels, multimask_output=True)
    best = ious.argmax(-1)
    return boxed, [iou(answers[k, best[k]], mask) for k, mask in enumerate(masks)]


def score_images(predictor: ImagePredictor, seeds: range, scenes: str) -> dict[str, float]:
    """Mean IoU of a tight box and of one click at the object's centre, on held-out images."""
    boxed, clicked = [], []
    for seed in seeds:
        scene = generate_image(seed, config=PRESETS[scenes])
        masks = objects_of(scene.label_maps[0])
        if not masks:
            continue
        by_box, by_click = answer_image(predictor, scene.frames_u8[0], masks)
        boxed += by_box
        clicked += by_click
    return {
        "images": len(seeds),
        "objects": len(boxed),
        "box_iou": float(np.mean(boxed)),
        "click_iou": float(np.mean(clicked)),
    }


def score_clips(
    predictor: VideoPredictor, seeds: range, frames: int, scenes: str
) -> dict[str, float]:
    """DAVIS J&F of objects prompted by a tight box on the first frame that shows enough of them.

    An object is scored from its prompted frame on; the rule drops that frame and the last.
    """
    scores = davis2017.init_state()
    for seed in seeds:
        clip = generate_clip(seed, frames, config=PRESETS[scenes])
        targets = {k: clip.label_maps == k for k in clip.object_ids}
        starts = {}
        for k, target in targets.items():
            shown = np.nonzero(target.mean((1, 2)) >= MIN_AREA)[0]
            if len(shown) and shown[0] <= frames - 3:
                starts[k] = int(shown[0])
        if not starts:
            continue
        state = predictor.init_state(clip.frames_u8, max_objects=4)
        for k, start in starts.items():
            box = tight_box(targets[k][start])
            predictor.add_new_points_or_box(state, start, k, box=box)
        masks = {k: np.zeros_like(targets[k]) for k in starts}
        for t, ids, logits in predictor.propagate_in_video(state):
            for k, logit in zip(ids, logits, strict=True):
                masks[k][t] = logit[0] > 0
        for k, start in starts.items():
            found = davis2017.score_frames(masks[k][start:], targets[k][start:])
            scores = davis2017.update(scores, f"clip_{seed}", k, found)
    result = davis2017.compute(scores)
    return {
        "clips": len(seeds),
        "objects": len(scores),
        "J&F": result["J&F"],
        "J": result["J"]["mean"],
        "F": result["F"]["mean"],
    }


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
    predictor: ImagePredictor, folder: str, grabcut_scale: float
) -> dict[str, object]:
    """Mean IoU from tight boxes, beside the filled box and GrabCut on the same boxes."""
    rows, shown = [], None
    for name, image, target in endovis_components(pathlib.Path(folder)):
        if name.split("/")[0] != shown:
            predictor.set_image(image)
            shown = name.split("/")[0]
        box = tight_box(target)
        mask = predictor.predict(box=box, multimask_output=False)[0][0]
        filled = iou(fill_box(box, target.shape), target)
        row = {"name": name, "nano": iou(mask, target), "filled_box": filled}
        if grabcut_scale:
            row["grabcut"] = iou(grabcut(image, box, grabcut_scale), target)
        rows.append(row)
    methods = [key for key in rows[0] if key != "name"]
    means = {key: float(np.mean([row[key] for row in rows])) for key in methods}
    wins = sum(row["nano"] > max(row[key] for key in methods[1:]) for row in rows)
    over_box = sum(row["nano"] > row["filled_box"] for row in rows)
    counts = {"components": len(rows), "above_filled_box": over_box, "above_all": wins}
    return {**counts, **means, "rows": rows}


def check_held_out(seed: int) -> None:
    """Refuses scenes that `surgjax.synthetic.build` may have made for training."""
    if seed < HELD_OUT:
        raise ValueError(f"--seed {seed}: expected {HELD_OUT} or more, scenes kept for scoring.")
