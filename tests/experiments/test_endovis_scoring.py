"""The protocol of the EndoVis frames, on a frame of squares whose answers are known."""

import cv2
import numpy as np
import pytest

from experiments.promptable_sam2 import endovis_scoring


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
    found = list(endovis_scoring.endovis_components(folder))
    assert [name for name, _, _ in found] == ["f/3.1", "f/7.1"]
    assert found[0][2].sum() == 900
    np.testing.assert_array_equal(found[1][2], labels == 7)


def test_endovis_scores_stand_beside_the_baselines(endovis):
    folder, labels = endovis

    class Half:
        def __init__(self):
            self.labels = labels

        def set_image(self, image):
            assert image.shape == (100, 100, 3)

        def predict(self, points=None, labels=None, box=None, multimask_output=True):
            if box is None:  # whole, and rated best
                assert points.shape == (1, 1, 2) and multimask_output
                (((x, y),),) = points.astype(int)
                whole = self.labels == self.labels[y, x]
                masks = np.stack([~whole, whole, ~whole])[None]
                return masks, np.array([[0.1, 0.9, 0.2]]), None
            assert not multimask_output
            x, y = box[:2].astype(int)
            mask = self.labels == self.labels[y, x]
            mask[(y + int(box[3]) + 1) // 2 :] = False
            return mask[None], None, None

    scores = endovis_scoring.score_endovis(Half(), str(folder), grabcut_scale=1.0)
    assert scores["components"] == 2 and scores["above_all"] == scores["above_filled_box"] == 0
    assert scores["nano"] == pytest.approx(0.5)
    assert scores["nano_click"] == pytest.approx((900 / 904 + 1) / 2)  # with label 3's other piece
    assert scores["filled_box"] == pytest.approx((1.0 + 0.5) / 2)
    assert scores["grabcut"] > 0.9  # the objects stand out by colour
    assert "grabcut" not in endovis_scoring.score_endovis(Half(), str(folder), grabcut_scale=0.0)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no \*_mask.png found"):
        list(endovis_scoring.endovis_components(tmp_path))
    cv2.imwrite(str(tmp_path / "a_mask.png"), np.ones((8, 8), np.uint8))
    with pytest.raises(ValueError, match="a_mask.png.*cannot be read"):
        list(endovis_scoring.endovis_components(tmp_path))
