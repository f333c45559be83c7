"""Our video predictor behind the Segmenter contract, and one run of nano on a generated clip."""

import numpy as np
import pytest

from surgjax.evaluation import interactive, semi_supervised
from surgjax.evaluation.annotated_video import AnnotatedVideo
from surgjax.evaluation.our_segmenter import OurSegmenter
from surgjax.evaluation.prompted_run import Start, score
from surgjax.evaluation.segmenter import Prompt
from surgjax.inference import VideoPredictor
from surgjax.synthetic import generate_clip
from surgjax.synthetic.build import CLIP_OFFSET, HELD_OUT
from surgjax.synthetic.config import PRESETS
from surgjax.testing import debug_config, lively_params, moving_squares

BOX = Prompt(box_xyxy=np.array([5.0, 5, 30, 40]))
CLICK = Prompt(np.array([[60.0, 30.0]]), np.array([1]))
FRAMES = 5


@pytest.fixture(scope="module")
def segmenter():
    config = debug_config()
    return OurSegmenter(VideoPredictor(lively_params(config), config), "ours")


@pytest.fixture(scope="module")
def frames():
    return moving_squares(FRAMES)


def masks_of(propagation):
    return {t: dict(masks) for t, masks in propagation}


def assert_equal(first, second):
    assert list(first) == list(second)
    for t, masks in first.items():
        assert list(masks) == list(second[t])
        for k, mask in masks.items():
            np.testing.assert_array_equal(mask, second[t][k], f"frame {t}, object {k}")


def test_masks_are_those_of_the_predictor(segmenter, frames):
    tracking = segmenter.open(frames)
    answer = tracking.prompt(0, 7, BOX)
    tracking.prompt(1, 3, CLICK)
    found = masks_of(tracking.propagate(0))
    predictor = segmenter.predictor
    state = predictor.init_state(frames)
    predictor.add_new_points_or_box(state, 0, 7, box=BOX.box_xyxy)
    predictor.add_new_points_or_box(state, 1, 3, CLICK.points_xy, CLICK.labels)
    assert list(found) == list(range(FRAMES))
    for t, ids, logits in predictor.propagate_in_video(state):
        assert list(found[t]) == ids == [7, 3]
        for k, logit in zip(ids, logits, strict=True):
            np.testing.assert_array_equal(found[t][k], logit[0] > 0)
    np.testing.assert_array_equal(found[0][7], answer)
    assert answer.dtype == bool and answer.any() and not found[0][3].any()
    backward = masks_of(tracking.propagate(FRAMES - 1, reverse=True))
    assert list(backward) == list(range(FRAMES - 1, -1, -1))
    again = masks_of(tracking.propagate(2))
    assert list(again) == [2, 3, 4]
    tracking.close()
    state.close()


def test_a_prompt_replaces_the_one_before_and_passes_can_be_repeated(segmenter, frames):
    mask = np.zeros(frames.shape[1:3], bool)
    mask[10:30, 20:50] = True
    tracking = segmenter.open(frames)
    tracking.prompt(0, 1, CLICK)
    tracking.prompt(0, 1, Prompt(mask=mask))
    once, twice = masks_of(tracking.propagate(0)), masks_of(tracking.propagate(0))
    assert_equal(once, twice)
    fresh = segmenter.open(frames)
    fresh.prompt(0, 1, Prompt(mask=mask))
    assert_equal(once, masks_of(fresh.propagate(0)))
    for opened in (tracking, fresh):
        opened.close()


def test_objects_together_and_apart_agree(segmenter, frames):
    """Objects of our predictor do not see each other, so the protocols give the same."""
    maps = {t: np.zeros(frames.shape[1:3], np.uint8) for t in range(FRAMES)}
    for t, label_map in maps.items():
        label_map[5 + t : 17 + t, 3 + 2 * t : 15 + 2 * t] = 1
        if t:
            label_map[18 + t : 30 + t, 34 + 2 * t : 46 + 2 * t] = 2
    video = AnnotatedVideo("squares", frames, maps)
    runs = []
    for together in (True, False):
        settings = interactive.Offline(Start("1-click", together=together), rounds=2, clicks=2)
        runs.append(interactive.run_offline(segmenter, video, settings))
    for both, alone in zip(*runs, strict=True):
        assert both.rows == alone.rows and both.clicks == alone.clicks
        assert [g[:3] for g in sorted(both.given, key=lambda g: g[1::-1])] == [
            g[:3] for g in sorted(alone.given, key=lambda g: g[1::-1])
        ]
    assert runs[0][0].starts == {1: 0, 2: 1} and runs[0][1].stops == 2


@pytest.mark.slow
def test_nano_follows_boxes_on_a_generated_clip():
    """Compiles the video programs of nano, which is what takes long."""
    clip = generate_clip(HELD_OUT + CLIP_OFFSET, 6, config=PRESETS["simple"])
    video = AnnotatedVideo("generated", clip.frames_u8, dict(enumerate(clip.label_maps)))
    nano = OurSegmenter(VideoPredictor.from_checkpoint("nano"), "nano")
    found = {}
    for prompt in ("1-click", "box", "mask"):
        start = Start(prompt, min_area=0.005)
        outcome = semi_supervised.run(nano, video, start)
        found[prompt] = score([outcome], "davis17", semi_supervised.stated(start))["JF"]
    print(found)
    assert found["box"] > 0.6 and found["box"] >= found["1-click"]
