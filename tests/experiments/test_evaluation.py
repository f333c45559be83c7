"""Evaluation during training: held-out scenes only, truth beside answers."""

import numpy as np
import pytest

from experiments.promptable_sam2 import evaluation, scoring
from surgjax.synthetic import generate_image
from surgjax.synthetic.config import PRESETS

SEED = 11_000_000


class _FilledBoxes:
    """Answers a box by the box itself."""

    def set_image(self, image):
        self.shape = image.shape

    def predict(self, box, multimask_output):
        assert not multimask_output
        return np.stack([scoring.fill_box(b, self.shape)[None] for b in box]), None, None


def test_truth_is_left_and_the_answers_are_right():
    scene = generate_image(SEED, config=PRESETS["simple"])
    masks = scoring.objects_of(scene.label_maps[0])
    picture = evaluation.draw_answers(_FilledBoxes(), scene.frames_u8[0], masks)
    height, width = scene.label_maps.shape[1:]
    assert picture.shape == (height, 2 * width, 3) and picture.dtype == np.uint8
    changed = (picture != np.concatenate([scene.frames_u8[0]] * 2, axis=1)).any(-1)
    box = scoring.fill_box(scoring.tight_box(masks[0]), (height, width))
    outside = box & ~np.any(masks, axis=0)
    assert changed[:, :width][masks[0]].mean() > 0.9
    assert changed[:, width:][outside].mean() > 0.9 > 0.5 > changed[:, :width][outside].mean()


def test_scenes_of_the_training_range_are_refused():
    with pytest.raises(ValueError, match="--seed 5: expected 10000000 or more"):
        evaluation.EvaluationOptions(seed=5)
