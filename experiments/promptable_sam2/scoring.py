"""Scores of promptable models on held-out generated images and clips.

Path:    predictors, scenes -> [scoring] -> scores -> endovis_scoring, evaluation, evaluate_nano
Axes:    T frames of a clip, H W pixels.
Units:   IoU, J and F in 0..1; areas as a share of the image; points and boxes in pixels, a box
         x0, y0, x1, y1 with the last pixel included.
Errors:  ValueError naming the prompt that is not known, the scenes without an object to score, or
         the seed when its scenes may have been trained on.
Source:  DAVIS 2017 (J&F); SAM 2, arXiv:2408.00714, for the prompts on a first frame.
Differs: objects below 0.5 % of the image are left out everywhere, as in the EndoVis protocol; an
         object is prompted on the first frame that shows enough of it, not always on frame 0.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from surgjax.evaluation.our_segmenter import OurSegmenter
from surgjax.evaluation.prompting import first_prompt, first_visible, tight_box
from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.metrics import davis2017
from surgjax.prompts.clicks import center_click
from surgjax.synthetic import Clip, generate_clip, generate_image
from surgjax.synthetic.build import HELD_OUT
from surgjax.synthetic.config import PRESETS

MIN_AREA = 0.005
PROMPTS = ("1-click", "3-click", "box", "mask")  # of a clip


@dataclasses.dataclass(frozen=True)
class Answer:
    """One prompted object on one image, for pictures; arrays at the image's size."""

    name: str
    image: np.ndarray  # uint8 RGB
    target: np.ndarray  # bool
    mask: np.ndarray  # bool
    iou: float
    box_xyxy: np.ndarray | None = None
    points_xy: np.ndarray | None = None


Keep = Callable[[Answer], None]  # is handed every answer


def keep_nothing(answer: Answer) -> None:
    """For who wants the scores alone."""


def iou(mask: np.ndarray, target: np.ndarray) -> float:
    """Intersection over union of two bool masks that are not both empty."""
    return float((mask & target).sum() / (mask | target).sum())


def fill_box(box: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The box as a mask: what a user has without any model."""
    x0, y0, x1, y1 = box.astype(int)
    filled = np.zeros(shape[:2], bool)
    filled[y0 : y1 + 1, x0 : x1 + 1] = True
    return filled


def objects_of(label_map: np.ndarray) -> list[np.ndarray]:
    """Masks of the ids of a label map that are large enough."""
    ids = [i for i in np.unique(label_map) if i > 0]
    masks = [label_map == i for i in ids]
    return [mask for mask in masks if mask.mean() >= MIN_AREA]


def best_of_three(
    predictor: ImagePredictor, points_xy: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Masks [objects, H, W] of clicks [objects, clicks, 2]: of three the one rated best."""
    answers, ious, _ = predictor.predict(points_xy, labels, multimask_output=True)
    return answers[np.arange(len(answers)), ious.argmax(-1)]


class ImageAnswers(NamedTuple):
    """What a predictor makes of each object's prompts; masks are [objects, H, W] bool."""

    boxes_xyxy: np.ndarray  # [objects, 4] tight
    by_box: np.ndarray
    points_xy: np.ndarray  # [objects, 1, 2] at the centre
    by_click: np.ndarray


def answer_image(
    predictor: ImagePredictor, image: np.ndarray, masks: list[np.ndarray]
) -> ImageAnswers:
    """Answers to every object's tight box, and to one click at its centre."""
    predictor.set_image(image)
    boxes = np.stack([tight_box(mask) for mask in masks])
    by_box = predictor.predict(box=boxes, multimask_output=False)[0][:, 0]
    points = np.stack([center_click(None, mask)[0] for mask in masks])[:, None]
    by_click = best_of_three(predictor, points, np.ones(points.shape[:2], int))
    return ImageAnswers(boxes, by_box, points, by_click)


def score_images(
    predictor: ImagePredictor, seeds: range, scenes: str, keep: Keep = keep_nothing
) -> dict[str, float]:
    """Mean IoU of a tight box and of one click at the object's centre, on held-out images."""
    boxed, clicked = [], []
    for seed in seeds:
        scene = generate_image(seed, config=PRESETS[scenes])
        image, masks = scene.frames_u8[0], objects_of(scene.label_maps[0])
        if not masks:
            continue
        boxes, by_box, points, by_click = answer_image(predictor, image, masks)
        for k, mask in enumerate(masks):
            boxed.append(iou(by_box[k], mask))
            clicked.append(iou(by_click[k], mask))
            name = f"{scenes} {seed}"
            keep(Answer(f"{name} box", image, mask, by_box[k], boxed[-1], box_xyxy=boxes[k]))
            click = points[k]
            keep(Answer(f"{name} click", image, mask, by_click[k], clicked[-1], points_xy=click))
    return {
        "images": len(seeds),
        "objects": len(boxed),
        "box_iou": float(np.mean(boxed)),
        "click_iou": float(np.mean(clicked)),
    }


def first_frames(targets: dict[int, np.ndarray]) -> dict[int, int]:
    """The first frame that shows 0.5 % of each object, for objects with two more frames after it.

    targets: bool [T, H, W] by object id.
    """
    starts = {k: first_visible(target, MIN_AREA) for k, target in targets.items()}
    return {k: t for k, t in starts.items() if t is not None and t <= len(targets[k]) - 3}


@functools.lru_cache(maxsize=32)  # 5 MB each, wanted once per kind of prompt
def _clip(seed: int, frames: int, scenes: str) -> Clip:
    return generate_clip(seed, frames, config=PRESETS[scenes])


def score_clips(
    predictor: VideoPredictor,
    seeds: Sequence[int],
    frames: int,
    scenes: str,
    prompt: str = "box",
) -> dict[str, float]:
    """DAVIS J&F of objects prompted on the first frame that shows enough of them.

    An object is scored from its prompted frame on; the rule drops that frame and the last.
    """
    scores = davis2017.init_state()
    for seed in seeds:
        clip = _clip(seed, frames, scenes)
        targets = {k: clip.label_maps == k for k in clip.object_ids}
        starts = first_frames(targets)
        if not starts:
            continue
        tracking = OurSegmenter(predictor).open(clip.frames_u8)
        for k, start in starts.items():
            first_prompt(prompt, targets[k][start], partial(tracking.prompt, start, k))
        masks = {k: np.zeros_like(targets[k]) for k in starts}
        for t, found in tracking.propagate(min(starts.values())):
            for k, mask in found.items():
                masks[k][t] = mask
        tracking.close()
        for k, start in starts.items():
            found = davis2017.score_frames(masks[k][start:], targets[k][start:])
            scores = davis2017.update(scores, f"clip_{seed}", k, found)
    if not scores:
        raise ValueError(f"{scenes!r} clips of seeds {list(seeds)}: no object to score.")
    result = davis2017.compute(scores)
    return {
        "clips": len(seeds),
        "objects": len(scores),
        "J&F": result["J&F"],
        "J": result["J"]["mean"],
        "F": result["F"]["mean"],
    }


def check_held_out(seed: int) -> None:
    """Refuses scenes that `surgjax.synthetic.build` may have made for training."""
    if seed < HELD_OUT:
        raise ValueError(f"--seed {seed}: expected {HELD_OUT} or more, scenes kept for scoring.")
