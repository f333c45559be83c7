"""Overlays and contact sheets: which pixels change, and that colours belong to ids."""

import numpy as np
import pytest

from surgjax.viz import contact_sheet, overlay


def _frame(height=60, width=80):
    return np.full((height, width, 3), 100, np.uint8)


def test_the_first_21_objects_have_colours_of_their_own():
    colours = [overlay.object_colour(i) for i in range(1, 255)]
    assert len(set(colours[:21])) == 21  # seven colours in three shades
    assert colours[0] == (86, 180, 233)


def test_contour_is_the_rim_of_each_object():
    label_map = np.zeros((7, 9), np.uint8)
    label_map[1:6, 1:5], label_map[1:6, 5:8] = 1, 2
    edge = overlay.contours(label_map)
    inner = np.zeros_like(edge)
    inner[2:5, 2:4] = inner[2:5, 6:7] = True
    np.testing.assert_array_equal(edge, (label_map > 0) & ~inner)
    assert not overlay.contours(np.ones((4, 4), np.uint8)).any()  # the frame's edge is no contour


def test_pixels_off_the_masks_stay_and_the_input_is_not_touched():
    frame, label_map = _frame(), np.zeros((60, 80), np.uint8)
    label_map[30:50, 30:60] = 4
    before = frame.copy()
    frame.setflags(write=False)
    out = overlay.draw_overlay(frame, label_map)
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(out[52:], before[52:])
    np.testing.assert_array_equal(out[:, :28], before[:, :28])
    colour = np.array(overlay.object_colour(4))
    np.testing.assert_array_equal(out[49, 45], colour)  # contour at full strength
    np.testing.assert_allclose(out[40, 45], 0.6 * 100 + 0.4 * colour, atol=1)


def test_nothing_tracked_leaves_the_frame():
    np.testing.assert_array_equal(
        overlay.draw_overlay(_frame(), np.zeros((60, 80), np.uint8)), _frame()
    )


def test_name_score_and_prompts_are_drawn():
    label_map = np.zeros((60, 80), np.uint8)
    label_map[30:50, 30:60] = 1
    plain = overlay.draw_overlay(_frame(), label_map)
    named = overlay.draw_overlay(_frame(), label_map, {1: "grasper"}, {1: 0.9})
    assert (named[:30] != plain[:30]).any()  # the label sits above the mask
    marks = overlay.PromptMarks(1, np.array([[10.0, 55.0], [70.0, 55.0]]), np.array([1, 0]))
    marked = overlay.draw_overlay(_frame(), label_map, marks=[marks])
    assert tuple(marked[50, 10]) != tuple(plain[50, 10])
    # A point on the object is a plus, one off it a bar: told apart without colour.
    assert tuple(marked[52, 10]) == (0, 0, 0) and tuple(marked[52, 70]) == (255, 255, 255)
    box = overlay.PromptMarks(1, box_xyxy=np.array([5.0, 35, 75, 58]))
    boxed = overlay.draw_overlay(_frame(), np.zeros((60, 80), np.uint8), marks=[box])
    assert tuple(boxed[45, 5]) != (100, 100, 100) and tuple(boxed[45, 40]) == (100, 100, 100)


def test_label_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\) on a frame of \(60, 80\)"):
        overlay.draw_overlay(_frame(), np.zeros((4, 4), np.uint8))


def test_sheet_takes_even_steps_with_both_ends():
    assert contact_sheet.even_indices(range(5)) == [0, 1, 2, 3, 4]
    chosen = contact_sheet.even_indices(range(100), 12)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 99, 12)
    assert set(np.diff(chosen)) == {9}


def test_sheet_shows_the_frames_in_reading_order():
    sheet = contact_sheet.ContactSheet(range(100), count=4, tile_width=40)
    for index in range(100):
        sheet.add(index, np.full((30, 60, 3), index + 100, np.uint8))
    image = np.asarray(sheet.image())
    tiles = [value for value in (100, 133, 166, 199) if (image == value).all(-1).sum() >= 600]
    assert tiles == [100, 133, 166, 199]
    first, last = (np.argwhere((image == v).all(-1)).min(0).tolist() for v in (100, 199))
    assert first[0] < last[0] or first[1] < last[1]


def test_sheet_of_a_run_that_stopped_early_and_of_none():
    sheet = contact_sheet.ContactSheet(range(100))
    with pytest.raises(ValueError, match="at least one frame"):
        sheet.image()
    sheet.add(0, _frame())
    assert sheet.image().width > 80
