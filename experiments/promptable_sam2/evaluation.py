"""Scores and pictures of a run while it trains: held-out generated scenes, the averaged weights.

Path:    TrainState -> [evaluation] -> scores, overlays -> train.fit
Units:   IoU and J&F in 0..1.
Errors:  ValueError naming the seed when its scenes may have been trained on.
Differs: the scenes are not those of `evaluate_nano`, so that the best checkpoint is not chosen on
         what it is judged by afterwards.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.promptable_sam2 import scoring
from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.memory.registry import options_for
from surgjax.models import variants
from surgjax.synthetic import generate_image
from surgjax.synthetic.build import CLIP_OFFSET
from surgjax.synthetic.config import PRESETS
from surgjax.train import TrainState, auxiliary_head, lora, recipes
from surgjax.viz.overlay import PromptMarks, draw_overlay


def evaluation_scores(images: int, clips: int) -> tuple[str, ...]:
    """Names of the scores that so many images and clips give."""
    return ("box_iou", "click_iou") * bool(images) + ("J&F",) * bool(clips)


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """What a config may say."""

    images: int = 40
    clips: int = 0
    frames: int = 12  # of a clip
    pictures: int = 6  # overlays of the first images
    scenes: str = "simple"
    seed: int = 11_000_000  # first scene; from 10,000,000 on no scene is trained on
    memory: str = "recent"  # policy that tracks clips, with its options
    memory_options: str = ""

    def __post_init__(self):
        options_for(self.memory, self.memory_options)
        scoring.check_held_out(self.seed)

    @property
    def scores(self) -> tuple[str, ...]:
        """What it will be called."""
        return evaluation_scores(self.images, self.clips)


def _on_host(params: Any) -> dict:
    """Whole arrays, wherever their parts lie."""

    def leaf(x: Any) -> np.ndarray:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return np.asarray(multihost_utils.process_allgather(x, tiled=True))
        return np.asarray(x)

    return jax.tree.map(leaf, params)


class Predictors:
    """Image and video predictors of a state's averaged weights; compiled at the first use only."""

    def __init__(
        self, config: variants.Sam2Config, adapters: lora.LoraOptions | None, **memory: Any
    ):
        """memory: `memory` and `memory_options` of the video predictor."""
        self._config, self._adapters, self._memory = config, adapters, memory
        self._made: tuple[ImagePredictor, VideoPredictor] | None = None

    def of(self, state: TrainState) -> tuple[ImagePredictor, VideoPredictor]:
        params = _on_host(auxiliary_head.without(recipes.averaged(state)))
        if self._adapters is not None:
            params = lora.merge(params, self._adapters)
        if self._made is None:
            images = ImagePredictor(params, self._config)
            self._made = (
                images,
                VideoPredictor(params, self._config, keep_records=False, **self._memory),
            )
        for predictor in self._made:
            predictor.programs.params = jax.device_put(params)
        return self._made


class Evaluation:
    """Called with a state by the loop."""

    def __init__(
        self,
        config: variants.Sam2Config,
        options: EvaluationOptions,
        adapters: lora.LoraOptions | None = None,
    ):
        self._options = options
        memory = dict(memory=options.memory, memory_options=options.memory_options)
        self._predictors = Predictors(config, adapters, **memory)

    def __call__(self, state: TrainState) -> tuple[Mapping[str, float], Mapping[str, np.ndarray]]:
        """Scores of the averaged weights, and overlays of truth and answers to boxes."""
        images, videos = self._predictors.of(state)
        options, scores = self._options, {}
        if options.images:
            seeds = range(options.seed, options.seed + options.images)
            found = scoring.score_images(images, seeds, options.scenes)
            scores |= {name: found[name] for name in ("box_iou", "click_iou")}
        if options.clips:
            first = options.seed + CLIP_OFFSET
            seeds = range(first, first + options.clips)
            found = scoring.score_clips(videos, seeds, options.frames, options.scenes)
            scores["J&F"] = found["J&F"]
        pictures = {}
        for seed in range(options.seed, options.seed + options.pictures):
            scene = generate_image(seed, config=PRESETS[options.scenes])
            masks = scoring.objects_of(scene.label_maps[0])
            if masks:
                pictures[f"boxes_{seed}"] = draw_answers(images, scene.frames_u8[0], masks)
        return scores, pictures


def draw_answers(
    predictor: ImagePredictor, image: np.ndarray, masks: list[np.ndarray]
) -> np.ndarray:
    """Truth on the left, the masks that the objects' boxes give on the right.

    Where two answers overlap, the later object is shown.
    """
    boxes = np.stack([scoring.tight_box(mask) for mask in masks])
    predictor.set_image(image)
    answers = predictor.predict(box=boxes, multimask_output=False)[0][:, 0]
    truth = np.zeros(image.shape[:2], np.uint8)
    found = truth.copy()
    scores = {}
    for number, (mask, answer) in enumerate(zip(masks, answers, strict=True), start=1):
        truth[mask], found[answer] = number, number
        scores[number] = scoring.iou(answer, mask)
    marks = [PromptMarks(n, box_xyxy=box) for n, box in enumerate(boxes, start=1)]
    left = draw_overlay(image, truth, marks=marks, caption="truth")
    return np.concatenate([left, draw_overlay(image, found, scores=scores, caption="IoU")], axis=1)
