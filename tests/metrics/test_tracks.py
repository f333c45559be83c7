"""Pairs of tracks: IoU by hand, masklets against masks one by one, refusals."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from surgjax.metrics import clear, hota, identity, tracks


def test_box_iou_by_hand():
    truth = np.array([[0, 0, 4, 4], [2, 2, 2, 6]], float)  # the second has no area
    predicted = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4]], float)
    assert tracks.box_iou(truth, predicted).tolist() == [[1, 8 / 24, 0], [0, 0, 0]]


def test_mask_iou_is_cocos():
    rng = np.random.default_rng(1)
    truths, predictions = rng.random((4, 9, 7)) < 0.4, rng.random((3, 9, 7)) < 0.5
    truths[2] = False

    def encode(masks):
        return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))

    want = coco_mask.iou(encode(predictions), encode(truths), [0] * 4).T
    np.testing.assert_allclose(tracks.mask_iou(truths, predictions), want, rtol=0, atol=1e-12)


def _label_maps(rng, frames=6, ids=(0, 1, 2, 9)):
    return np.asarray(rng.choice(ids, (frames, 8, 10)))


@pytest.mark.parametrize("offset", [0, 5000])  # few ids, and ids too large to count directly
def test_masklets_are_compared_mask_by_mask(offset):
    rng = np.random.default_rng(offset)
    predictions, targets = _label_maps(rng), _label_maps(rng)
    predictions[1], targets[2], targets[3, :2] = 0, 0, 255
    predictions = np.where(predictions == 9, 9 + offset, predictions)
    pair = tracks.pair_from_label_maps(predictions, targets)
    for t in range(6):
        out = targets[t] == 255
        want_true = [i for i in (1, 2, 9) if ((targets[t] == i) & ~out).any()]
        want_predicted = [i for i in (1, 2, 9 + offset) if ((predictions[t] == i) & ~out).any()]
        assert pair.truth_ids[t].tolist() == want_true
        assert pair.predicted_ids[t].tolist() == want_predicted
        truths = np.array([targets[t] == i for i in want_true], bool).reshape(-1, 8, 10)
        found = np.array([(predictions[t] == i) & ~out for i in want_predicted], bool).reshape(
            -1, 8, 10
        )
        np.testing.assert_array_equal(pair.similarities[t], tracks.mask_iou(truths, found))


def test_ignored_pixels_can_count():
    predictions, targets = np.ones((1, 2, 2), np.uint8), np.full((1, 2, 2), 255, np.uint8)
    assert tracks.pair_from_label_maps(predictions, targets).predicted_ids[0].size == 0
    pair = tracks.pair_from_label_maps(predictions, targets, ignore=None)
    assert pair.truth_ids[0].tolist() == [255] and pair.similarities[0].tolist() == [[1.0]]


def test_boxes_of_masklets_run_from_edge_to_edge():
    target = np.zeros((1, 6, 8), np.uint8)
    target[0, 2:5, 3:5] = 4  # columns 3 and 4, rows 2 to 4
    prediction = np.roll(target, 1, 2)
    assert tracks.boxes_of_labels(target[0], np.array([4])).tolist() == [[3, 2, 5, 5]]
    pair = tracks.pair_from_label_maps(prediction, target, similarity="box")
    assert pair.similarities[0].tolist() == [[3 / 9]]
    diagonal = np.zeros((1, 4, 4), np.uint8)
    diagonal[0, [0, 3], [0, 3]] = 1
    corners = np.zeros((1, 4, 4), np.uint8)
    corners[0, [0, 3], [3, 0]] = 1
    for similarity, want in (("mask", 0.0), ("box", 1.0)):
        pair = tracks.pair_from_label_maps(corners, diagonal, similarity=similarity)
        assert pair.similarities[0].tolist() == [[want]]


def test_two_objects_that_swap_names_by_hand():
    """Two squares, three frames right and one with names swapped: DetA 1, all else follows."""
    target = np.zeros((4, 4, 8), np.uint8)
    target[:, :, :3], target[:, :, 4:7] = 1, 2
    prediction = target.copy()
    prediction[3] = np.array([0, 2, 1], np.uint8)[target[3]]
    pair = tracks.pair_from_label_maps(prediction, target)
    scores = hota.compute({"v": hota.score_sequence(pair)})
    # Each right match shares 3 of 4 + 4 - 3 frames, each swapped one 1 of 4 + 4 - 1.
    association = (6 * 3 / 5 + 2 * 1 / 7) / 8
    assert scores["DetA"] == 1 and scores["LocA"] == 1
    assert scores["AssA"] == pytest.approx(association, abs=1e-12)
    assert scores["HOTA"] == pytest.approx(association**0.5, abs=1e-12)
    assert clear.compute({"v": clear.score_sequence(pair)})["MOTA"] == 1 - 2 / 8
    assert identity.compute({"v": identity.score_sequence(pair)})["IDF1"] == 6 / 8


@pytest.mark.parametrize("metric", [hota, clear, identity])
def test_order_and_grouping_of_merges_change_no_bit(metric):
    rng = np.random.default_rng(4)
    parts = []
    for i in range(7):
        maps = _label_maps(rng), _label_maps(rng)
        counts = metric.score_sequence(tracks.pair_from_label_maps(*maps))
        parts.append(metric.update(metric.init_state(), f"v{i}", counts))
    left = parts[0]
    for part in parts[1:]:
        left = metric.merge(left, part)
    right = parts[-1]
    for part in parts[-2::-1]:
        right = metric.merge(right, part)
    assert metric.compute(left) == metric.compute(right)
    assert metric.merge(metric.init_state(), left) == left
    assert len(parts[0]) == 1  # what was merged stayed as it was


@pytest.mark.parametrize("metric", [hota, clear, identity])
def test_a_video_in_pieces_is_one_video(metric):
    rng = np.random.default_rng(5)
    predictions, targets = _label_maps(rng, 9), _label_maps(rng, 9)
    whole = tracks.pair_from_label_maps(predictions, targets)
    pieces = [
        tracks.pair_from_label_maps(predictions[a:b], targets[a:b]) for a, b in ((0, 4), (4, 9))
    ]
    joined = tracks.concatenate(pieces)
    assert len(joined) == 9
    found, want = (metric.compute({"v": metric.score_sequence(p)}) for p in (joined, whole))
    assert found == want


@pytest.mark.parametrize("metric", [hota, clear, identity])
def test_refusals_of_states(metric):
    counts = metric.score_sequence(tracks.make_pair([[1]], [[1]], [np.ones((1, 1))]))
    state = metric.update(metric.init_state(), "v", counts)
    with pytest.raises(ValueError, match=r"Scored twice: \['v'\]"):
        metric.update(state, "v", counts)
    with pytest.raises(ValueError, match="Nothing was scored"):
        metric.compute(metric.init_state())


def test_refusals():
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match=r"cover \(1, 2, 1\) frames"):
        tracks.make_pair([[1]], [[1], [1]], [one])
    with pytest.raises(ValueError, match=r"frame 1: predicted ids \[3\] occur twice"):
        tracks.make_pair([[1], [1]], [[1], [3, 3]], [one, np.ones((1, 2))])
    with pytest.raises(ValueError, match=r"frame 0: true ids are float64\[1\]"):
        tracks.make_pair([[1.0]], [[1]], [one])
    with pytest.raises(ValueError, match=r"similarities are \(1, 1\), the ids need \(1, 2\)"):
        tracks.make_pair([[1]], [[1, 2]], [one])
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match="outside 0..1"):
            tracks.make_pair([[1]], [[1]], [np.full((1, 1), wrong)])
    maps = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(ValueError, match=r"predictions \(2, 3, 4\) and targets \(1, 3, 4\) differ"):
        tracks.pair_from_label_maps(maps, maps[:1])
    with pytest.raises(ValueError, match=r"targets: expected whole numbers .* float64\[2, 3, 4\]"):
        tracks.pair_from_label_maps(maps, maps.astype(float))
    with pytest.raises(ValueError, match="mask or box, found 'iou'"):
        tracks.pair_from_label_maps(maps, maps, similarity="iou")
    with pytest.raises(ValueError, match="id 3 is not in the label map"):
        tracks.boxes_of_labels(maps[0], np.array([3]))
    with pytest.raises(ValueError, match="expected all or trackeval, found 'some'"):
        clear.compute({"v": clear.SequenceCounts()}, frames="some")


def test_false_alarms_per_frame_count_frames_without_truth():
    none = np.zeros(0, int)
    empty = tracks.make_pair([none] * 4, [[1, 2]] * 4, [np.zeros((0, 2))] * 4)
    state = {"v": clear.score_sequence(empty)}
    assert clear.compute(state)["FP_per_frame"] == 2
    assert clear.compute(state, frames="trackeval")["FP_per_frame"] == 8  # over max(1, 0) frames
