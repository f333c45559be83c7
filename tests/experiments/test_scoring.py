"""The scoring of nano: its measures by hand, its protocol with predictors that know the answer."""

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


class KnowingVideos:
    """Gives the clip's own masks, each object from its prompted frame on; `late` frames behind."""

    def __init__(self, late=0):
        self._late = late

    def init_state(self, frames, max_objects):
        clips = (generate_clip(s + CLIP_OFFSET, len(frames), config=PRESETS["simple"])
                 for s in SEEDS)  # fmt: skip
        clip = next(c for c in clips if np.array_equal(c.frames_u8, frames))
        return {"labels": clip.label_maps, "ids": []}

    def add_new_points_or_box(self, state, frame, obj_id, box):
        shown = state["labels"][frame] == obj_id
        np.testing.assert_array_equal(box, scoring.tight_box(shown))
        state["ids"].append(obj_id)

    def propagate_in_video(self, state):
        for t in range(len(state["labels"])):
            labels = state["labels"][max(0, t - self._late)]
            yield t, state["ids"], np.stack([(labels == k)[None] - 0.5 for k in state["ids"]])


def test_clips_are_scored_by_the_davis_rule():
    seeds = range(SEEDS[0] + CLIP_OFFSET, SEEDS[-1] + CLIP_OFFSET + 1)
    perfect = scoring.score_clips(KnowingVideos(), seeds, 6, "simple")
    assert perfect["J&F"] == perfect["J"] == perfect["F"] == 1.0 and perfect["clips"] == 2
    late = scoring.score_clips(KnowingVideos(late=4), seeds, 6, "simple")
    assert late["J&F"] < 1.0


@pytest.fixture
def endovis(tmp_path):
    """One frame: label 3 in two pieces, of which one is too small; label 7 touching by a corner."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:40, 10:40], labels[90:92, 90:92] = 3, 3
    labels[60:70, 60:70], labels[70:80, 70:80] = 7, 7
    image = np.full((100, 100, 3), 40, np.uint8)
    image[labels > 0] = 220
    cv2.imwrite(str(tmp_path / "f_mask.png"), labels)
    cv2.imwrite(str(tmp_path / "f.jpg"), image)
    return tmp_path, labels


def test_endovis_components_are_eight_connected_and_large_enough(endovis):
    folder, labels = endovis
    found = list(scoring.endovis_components(folder))
    assert [name for name, _, _ in found] == ["f/3.1", "f/7.1"]
    assert found[0][2].sum() == 900
    np.testing.assert_array_equal(found[1][2], labels == 7)


def test_endovis_scores_stand_beside_the_baselines(endovis):
    folder, labels = endovis

    class Half:
        def set_image(self, image):
            assert image.shape == (100, 100, 3)

        def predict(self, box, multimask_output):
            assert not multimask_output
            x, y = box[:2].astype(int)
            mask = labels == labels[y, x]
            mask[(y + int(box[3]) + 1) // 2 :] = False
            return mask[None], None, None

    scores = scoring.score_endovis(Half(), str(folder), grabcut_scale=1.0)
    assert scores["components"] == 2 and scores["above_all"] == scores["above_filled_box"] == 0
    assert scores["nano"] == pytest.approx(0.5)
    assert scores["filled_box"] == pytest.approx((1.0 + 0.5) / 2)
    assert scores["grabcut"] > 0.9  # the objects stand out by colour
    assert "grabcut" not in scoring.score_endovis(Half(), str(folder), grabcut_scale=0.0)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no \*_mask.png found"):
        list(scoring.endovis_components(tmp_path))
    cv2.imwrite(str(tmp_path / "a_mask.png"), np.ones((8, 8), np.uint8))
    with pytest.raises(ValueError, match="a_mask.png.*cannot be read"):
        list(scoring.endovis_components(tmp_path))
    with pytest.raises(ValueError, match="--seed 9999999: expected 10000000 or more"):
        scoring.check_held_out(9_999_999)
