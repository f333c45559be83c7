"""Sheets of the worst answers: which ones, and what is drawn where."""

import numpy as np
import pytest
from PIL import Image

from experiments.promptable_sam2 import failure_pictures
from experiments.promptable_sam2.scoring import Answer


def _answer(iou, name="", size=(80, 160), **prompt):
    image = np.full((*size, 3), 90, np.uint8)
    target, mask = np.zeros((2, *size), bool)
    target[20:60, 20:60], mask[20:60, 100:140] = True, True
    return Answer(name, image, target, mask, iou, **prompt)


def test_the_worst_are_kept_in_order():
    worst = failure_pictures.Worst(3)
    for score in (0.9, 0.2, 0.5, 0.2, 0.95, 0.1):
        worst(_answer(score))
    assert [answer.iou for answer in worst.answers] == [0.1, 0.2, 0.2]


def test_a_tile_outlines_truth_answer_and_box():
    tile = failure_pictures.draw_tile(_answer(0.0, box_xyxy=np.array([10.0, 10, 70, 70])))
    assert tile.shape == (failure_pictures.TILE, failure_pictures.TILE, 3)

    def pixels(colour):
        return np.argwhere(np.abs(tile.astype(int) - colour).max(-1) < 40)

    top = (320 - 160) // 2  # twice the size, centred
    green, orange = pixels(failure_pictures.TRUTH), pixels(failure_pictures.ANSWER)
    assert abs(green - [top + 80, 80]).max() <= 42 and len(green) > 200
    assert abs(orange - [top + 80, 240]).max() <= 42 and len(orange) > 200
    white = np.argwhere((tile == 255).all(-1))
    assert white.min(0).tolist() == [top + 20, 20] and white.max(0).tolist() == [top + 140, 140]
    clicked = failure_pictures.draw_tile(_answer(0.0, points_xy=np.array([[80.0, 40.0]])))
    assert (clicked[160, 160] == 255).all()


def test_a_sheet_is_written_whole(tmp_path):
    worst = failure_pictures.Worst(5)
    for i in range(6):
        worst(_answer(i / 10, f"scene {i}"))
    failure_pictures.write_sheet(tmp_path / "new" / "sheet.png", worst)
    (path,) = (tmp_path / "new").iterdir()
    side, caption = failure_pictures.TILE, failure_pictures.CAPTION
    assert Image.open(path).size == (4 * side, 2 * (side + caption))
    with pytest.raises(ValueError, match="at least one answer"):
        failure_pictures.write_sheet(path, failure_pictures.Worst())
