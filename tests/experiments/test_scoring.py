"""The scoring of nano: its measures by hand, its protocol with predictors that know the answer."""

import functools

import cv2
import numpy as np
import pytest

from experiments.promptable_sam2 import scoring
from surgjax.synthetic import generate_clip, generate_image
from surgjax.synthetic.build import CLIP_OFFSET
from surgjax.synthetic.config import PRESETS

SEEDS = range(10_000_000, 10_000_002)


class KnowingImages:
    """Answers with the object the prompt points at; `grow` pixels too many on every side."""

    def __init__(self, seeds=(), grow=0):
        self._scenes = [generate_image(s, config=PRESETS["simple"]) for s in seeds]
        self._grow = grow
        self.images = 0

    def set_image(self, image):
        self.images += 1
        (self._labels,) = (
            s.label_maps[0] for s in self._scenes if np.array_equal(s.frames_u8[0], image)
        )

    def _grown(self, mask):
        size = 2 * self._grow + 1
        return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0

    def predict(self, points=None, labels=None, box=None, multimask_output=True):
        masks = scoring.objects_of(self._labels)
        if box is not None:
            boxes = [scoring.tight_box(mask) for mask in masks]
            found = [next(m for m, b in zip(masks, boxes, strict=True) if (b == x).all())
                     for x in box]  # fmt: skip
            return np.stack([self._grown(m) for m in found])[:, None], None, None
        assert labels.tolist() == [[1]] * len(points)
        found = []
        for ((x, y),) in points.astype(int):
            found.append(self._grown(self._labels == self._labels[y, x]))
        wrong = np.zeros_like(found[0])
        answers = np.stack([np.stack([wrong, mask, wrong]) for mask in found])
        return answers, np.array([[0.1, 0.9, 0.2]] * len(found)), None


def test_measures_by_hand():
    a, b = np.zeros((2, 8, 8), bool)
    a[2:6, 1:5], b[2:6, 3:7] = True, True
    assert scoring.iou(a, b) == 8 / 24
    np.testing.assert_array_equal(scoring.tight_box(a), [1, 2, 4, 5])
    np.testing.assert_array_equal(scoring.fill_box(scoring.tight_box(a), a.shape), a)


def test_small_objects_are_left_out():
    labels = np.zeros((100, 100), np.uint8)
    labels[:10, :5], labels[50:57, 50:57] = 1, 2  # 0.50 % and 0.49 %
    (mask,) = scoring.objects_of(labels)
    assert mask[0, 0]


def test_a_perfect_predictor_scores_one_and_a_swollen_one_less():
    perfect = scoring.score_images(KnowingImages(SEEDS), SEEDS, "simple")
    assert perfect["box_iou"] == perfect["click_iou"] == 1.0
    assert perfect["images"] == 2 and perfect["objects"] >= 2
    swollen = scoring.score_images(KnowingImages(SEEDS, grow=3), SEEDS, "simple")
    assert swollen["box_iou"] < 0.95 and swollen["click_iou"] < 0.95


_clip = functools.cache(lambda seed, frames: generate_clip(seed, frames, config=PRESETS["simple"]))


class OpenClip:
    """What the predictor below remembers of a video."""

    def __init__(self, labels):
        self.labels, self.ids = labels, []

    def close(self):
        del self.labels


class KnowingVideos:
    """Gives the clip's own masks, each object from its prompted frame on; `late` frames behind.

    A clicked object is answered with its half above the click, then with too much, then right.
    """

    def __init__(self, late=0):
        self._late = late
        self.clicks = []

    def init_state(self, frames, max_objects):
        clips = (_clip(s + CLIP_OFFSET, len(frames)) for s in SEEDS)
        clip = next(c for c in clips if np.array_equal(c.frames_u8, frames))
        return OpenClip(clip.label_maps)

    def _answer(self, state, frame, obj_id, mask):
        if obj_id not in state.ids:
            state.ids.append(obj_id)
        logits = np.full((len(state.ids), 1, *mask.shape), -1.0)
        logits[state.ids.index(obj_id), 0][mask] = 1.0
        return frame, state.ids, logits

    def add_new_mask(self, state, frame, obj_id, mask):
        np.testing.assert_array_equal(mask, state.labels[frame] == obj_id)
        return self._answer(state, frame, obj_id, mask)

    def add_new_points_or_box(self, state, frame, obj_id, points=None, labels=None, box=None):
        shown = state.labels[frame] == obj_id
        if box is not None:
            np.testing.assert_array_equal(box, scoring.tight_box(shown))
            return self._answer(state, frame, obj_id, shown)
        before = len(points) - 1  # all clicks so far are handed over
        (x, y), label = points[-1].astype(int), labels[-1]
        self.clicks.append((int(label), bool(shown[y, x])))
        answer = shown.copy()
        if before == 0:
            answer[y:] = False
        elif before == 1:
            answer[~shown & scoring.fill_box(scoring.tight_box(shown), shown.shape)] = True
        return self._answer(state, frame, obj_id, answer)

    def propagate_in_video(self, state, start, reverse):
        assert not reverse
        for t in range(start, len(state.labels)):
            labels = state.labels[max(0, t - self._late)]
            yield t, state.ids, np.stack([(labels == k)[None] - 0.5 for k in state.ids])


CLIP_SEEDS = range(SEEDS[0] + CLIP_OFFSET, SEEDS[-1] + CLIP_OFFSET + 1)


@pytest.mark.parametrize("prompt", scoring.PROMPTS)
def test_clips_are_scored_by_the_davis_rule(prompt):
    perfect = scoring.score_clips(KnowingVideos(), CLIP_SEEDS, 6, "simple", prompt)
    assert perfect["J&F"] == perfect["J"] == perfect["F"] == 1.0 and perfect["clips"] == 2
    late = scoring.score_clips(KnowingVideos(late=4), CLIP_SEEDS, 6, "simple", prompt)
    assert late["J&F"] < 1.0


def test_three_clicks_correct_the_answers_before_them():
    videos = KnowingVideos()
    found = scoring.score_clips(videos, CLIP_SEEDS, 6, "simple", "3-click")
    assert len(videos.clicks) == 3 * found["objects"]
    # on the object; in the half that was missed; on what was too much
    assert videos.clicks == [(1, True), (1, True), (0, False)] * found["objects"]


def test_an_unknown_prompt_is_refused():
    with pytest.raises(ValueError, match="prompt 'scribble': expected one of"):
        scoring.score_clips(KnowingVideos(), CLIP_SEEDS, 6, "simple", "scribble")


def test_an_object_starts_where_enough_of_it_shows_and_two_frames_follow():
    targets = {k: np.zeros((5, 20, 20), bool) for k in (1, 2, 3)}
    targets[1][0, 0, 0] = True  # 0.25 %
    targets[1][1:, 0, :2] = True  # 0.5 %
    targets[2][3:] = True  # only one frame follows
    assert scoring.first_frames(targets) == {1: 1}


def test_every_answer_is_handed_on():
    kept = []
    scores = scoring.score_images(KnowingImages(SEEDS, grow=3), SEEDS, "simple", kept.append)
    boxed = [a for a in kept if a.box_xyxy is not None]
    clicked = [a for a in kept if a.points_xy is not None]
    assert len(boxed) == len(clicked) == scores["objects"]
    assert np.mean([a.iou for a in boxed]) == pytest.approx(scores["box_iou"])
    assert all(a.iou == scoring.iou(a.mask, a.target) for a in kept)


def test_scenes_that_may_have_been_trained_on_are_refused():
    with pytest.raises(ValueError, match="--seed 9999999: expected 10000000 or more"):
        scoring.check_held_out(9_999_999)
