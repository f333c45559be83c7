"""The bundled nano still segments and tracks. Floors, well under the scores of its model card."""

import pytest

from experiments import demo
from experiments.promptable_sam2 import scoring
from surgjax.inference import ImagePredictor
from surgjax.models import sam2, variants

SEEDS = range(10_000_000, 10_000_006)


def test_boxes_and_clicks_on_held_out_scenes():
    predictor = ImagePredictor.from_checkpoint("nano")
    scores = scoring.score_images(predictor, SEEDS, "simple")
    assert scores["objects"] >= 10
    assert scores["box_iou"] > 0.7 and scores["click_iou"] > 0.5


def test_the_same_model_with_random_weights_does_not_reach_the_floors():
    config = variants.get_config("nano")
    predictor = ImagePredictor(sam2.init_params(config, seed=0), config)
    scores = scoring.score_images(predictor, SEEDS, "simple")
    assert scores["box_iou"] < 0.5 and scores["click_iou"] < 0.4


@pytest.mark.slow
def test_the_demo_clip_is_followed(tmp_path):
    assert demo.run(str(tmp_path / "demo"))["J&F"] > 0.85
