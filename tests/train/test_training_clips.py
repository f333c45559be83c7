"""Both kinds of batch in one form: masks, unknown pixels, annotation, places, order of visits."""

import numpy as np
import pytest

from surgjax.data.clips import ClipBatch
from surgjax.train.steps.training_clips import SceneBatch, training_clips

SIDE, FRAMES, OBJECTS = 8, 3, 2


def clip_batch(annotated=((True, False, True), (True, True, True))):
    """Object 1 in the left column, object 2 in the top row, an unknown corner."""
    maps = np.zeros((2, FRAMES, SIDE, SIDE), np.uint8)
    maps[:, :, 0], maps[:, :, :, 0], maps[:, :, -1, -1] = 2, 1, 255
    annotated = np.array(annotated)
    maps[~annotated] = 255
    frames = np.zeros((2, FRAMES, SIDE, SIDE, 3), np.uint8)
    frames[:] = 10 * np.arange(FRAMES).reshape(1, -1, 1, 1, 1)
    return ClipBatch(
        frames_u8=frames,
        label_maps=maps,
        object_valid=np.array([[True, True], [True, False]]),
        visible=np.stack([(maps == o).any((2, 3)) for o in (1, 2)], -1),
        is_annotated=annotated,
        is_long=np.zeros_like(annotated),
        is_reversed=np.array([False, True]),
        frame_index=np.array([[0, 2, 7], [0, 1, 2]], np.int32),
        time_s=np.zeros((2, FRAMES), np.float32),
        category=np.zeros((2, OBJECTS), np.int32),
        set_index=np.zeros(2, np.int32),
    )


def test_long_range_frames_stay_marked_in_the_order_of_the_visits():
    batch = clip_batch()
    marked = np.array([[False, True, False], [False, False, True]])
    clips = training_clips(batch.replace(is_long=marked))
    np.testing.assert_array_equal(clips.is_long, marked)
    turned = clips.visited(np.array([[0, 2, 1], [0, 1, 2]]))
    assert np.asarray(turned.is_long).tolist() == [[False, False, True]] * 2
    masks = np.zeros((2, FRAMES, OBJECTS, SIDE, SIDE), bool)
    frames = np.zeros((2, FRAMES, SIDE, SIDE, 3), np.uint8)
    index = np.tile(np.arange(FRAMES, dtype=np.int32), (2, 1))
    scenes = training_clips(SceneBatch(frames, masks, np.ones((2, OBJECTS), bool), index))
    assert not np.asarray(scenes.is_long).any() and scenes.is_long.shape == (2, FRAMES)


def test_label_maps_become_masks_and_unknown_pixels():
    clips = training_clips(clip_batch())
    assert clips.objects == OBJECTS and clips.masks.shape == (2, FRAMES, OBJECTS, SIDE, SIDE)
    assert np.asarray(clips.masks)[0, 0, 0].sum() == SIDE
    assert np.asarray(clips.masks)[0, 0, 1].sum() == SIDE - 1
    assert np.asarray(clips.ignored).sum((2, 3)).tolist() == [[1, 64, 1], [1, 1, 1]]
    np.testing.assert_array_equal(clips.row_weights, [1, 1, 1, 0])


def test_rows_count_where_there_is_an_object_and_an_annotation():
    truth = training_clips(clip_batch()).truths()
    np.testing.assert_array_equal(truth.weights, [[1, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 0]])
    assert truth.masks.shape == truth.known.shape == (FRAMES, 4, SIDE, SIDE)
    known = np.asarray(truth.known)
    assert not known[1, :2].any() and known[1, 2:].sum() == 2 * 63
    np.testing.assert_array_equal(truth.masks[2, 2], clip_batch().label_maps[1, 2] == 1)


def test_frames_in_the_order_of_the_visits():
    clips = training_clips(clip_batch()).visited(np.array([[0, 2, 1], [0, 1, 2]]))
    assert np.asarray(clips.frames_u8)[:, :, 0, 0, 0].tolist() == [[0, 20, 10], [0, 10, 20]]
    assert np.asarray(clips.travelled).tolist() == [[0, 7, 2], [0, 1, 2]]
    assert np.asarray(clips.annotated).tolist() == [[True, True, False], [True] * 3]
    assert np.asarray(clips.ignored).sum((2, 3)).tolist() == [[1, 1, 64], [1, 1, 1]]
    np.testing.assert_array_equal(clips.valid, clip_batch().object_valid)


def test_scenes_run_forward_in_their_direction_of_travel():
    masks = np.zeros((2, FRAMES, OBJECTS, SIDE, SIDE), bool)
    index = np.array([[4, 6, 11], [9, 8, 3]], np.int32)
    frames = np.zeros((2, FRAMES, SIDE, SIDE, 3), np.uint8)
    clips = training_clips(SceneBatch(frames, masks, np.ones((2, OBJECTS), bool), index))
    np.testing.assert_array_equal(clips.travelled, [[0, 2, 7], [0, 1, 6]])
    assert np.asarray(clips.annotated).all() and clips.truths().known is None
    assert clips.first(1).masks.shape[1] == clips.first(1).travelled.shape[1] == 1


def test_what_is_no_batch_is_refused():
    with pytest.raises(TypeError, match="a SceneBatch or a ClipBatch expected, found dict"):
        training_clips({})  # pyright: ignore[reportArgumentType]
    batch = clip_batch()
    with pytest.raises(ValueError, match="label_maps must be"):
        training_clips(batch.replace(label_maps=batch.label_maps[0]))
    with pytest.raises(ValueError, match="do not fit masks"):
        training_clips(batch.replace(frames_u8=batch.frames_u8[:, :2]))
