"""Raters: repeatable, each wrong in its own way, within the stated bounds."""

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, annotators, generate_clip
from surgjax.synthetic.annotators import IOU_BOUNDS, RATERS, annotate


@pytest.fixture(scope="module")
def label_maps():
    made = [generate_clip(seed, 1, 192, PRESETS["clear"]).label_maps[0] for seed in range(8)]
    return made + [
        generate_clip(seed, 1, 192, PRESETS["surgery"]).label_maps[0] for seed in range(6)
    ]


def _ious(truth, version, smallest=400):
    for label in np.unique(truth[truth > 0]):
        a, b = truth == label, version == label
        if a.sum() >= smallest:
            yield (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("rater", RATERS)
def test_iou_with_the_truth_keeps_to_the_stated_bounds(rater, label_maps):
    low, high = IOU_BOUNDS[rater]
    means = []
    for number, truth in enumerate(label_maps):
        for seed in (number, number + 100):
            scores = list(_ious(truth, annotate(truth, rater, seed)))
            means.append(np.mean(scores))
            assert low <= means[-1] <= high, (rater, number, scores)
    print(f"{rater}: mean IoU {np.mean(means):.3f}, {min(means):.3f} to {max(means):.3f}")
    assert np.mean(means) < 0.985  # nobody is exact


@pytest.mark.parametrize("rater", RATERS)
def test_a_rater_repeats_itself_and_differs_from_seed_frame_and_others(rater, label_maps):
    truth = label_maps[0]
    before = truth.copy()
    first = annotate(truth, rater, 3, 1)
    np.testing.assert_array_equal(first, annotate(truth, RATERS.index(rater), 3, 1))
    np.testing.assert_array_equal(truth, before)
    assert first.dtype == np.uint8 and set(np.unique(first)) <= set(np.unique(truth))
    assert (first != annotate(truth, rater, 4, 1)).any()
    for other in set(RATERS) - {rater}:
        assert (first != annotate(truth, other, 3, 1)).any()
    if rater in ("polygon", "shaky"):
        assert (first != annotate(truth, rater, 3, 2)).any()


def _disc():
    y, x = np.mgrid[0:96, 0:96]
    disc = ((x - 48) ** 2 + (y - 48) ** 2 < 30**2).astype(np.uint8)
    disc[44:52, 44:52] = 0  # a hole
    disc[46:49, 77:95] = 1  # a thin part
    return disc


def test_each_errs_as_its_name_says():
    disc = _disc()
    versions = {rater: annotate(disc, rater, 0) > 0 for rater in RATERS}
    assert not (versions["tight"] & (disc == 0)).any() and versions["tight"].sum() < disc.sum()
    assert (versions["loose"] >= (disc > 0)).all() and versions["loose"].sum() > disc.sum()
    assert versions["blunt"][48, 48] and not versions["blunt"][47, 90]
    for rater in ("polygon", "shaky"):  # errs to both sides of the border
        assert (versions[rater] & (disc == 0)).any() and (~versions[rater] & (disc > 0)).any()


def test_small_objects_are_drawn_over_large_ones():
    labels = np.zeros((64, 64), np.uint8)
    labels[10:50, 10:50], labels[20:30, 20:30] = 1, 2
    version = annotate(labels, "loose", 0)
    assert (version[labels == 2] == 2).all()
    assert (version[labels == 1] == 2).any() and (version[labels == 0] == 1).any()


def test_small_objects_stay_with_tight_raters():
    labels = np.zeros((64, 64), np.uint8)
    labels[10:12, 10:50] = 1
    assert (annotate(labels, "tight", 0) == 1).sum() >= labels.sum() // 3


def test_clips_are_annotated_frame_by_frame(label_maps):
    maps = np.stack(label_maps[:2])
    got = annotators.annotate_clip(maps, "shaky", 5)
    np.testing.assert_array_equal(got[1], annotate(maps[1], "shaky", 5, 1))


def test_empty_frames_stay_empty():
    for rater in RATERS:
        assert not annotate(np.zeros((40, 40), np.uint8), rater, 0).any()


@pytest.mark.parametrize("rater", ["exact", 5, -1, None])
def test_unknown_raters_are_refused(rater):
    with pytest.raises(ValueError, match="rater: expected one of"):
        annotate(np.zeros((40, 40), np.uint8), rater, 0)


def test_what_is_no_label_map_is_refused():
    for array in (np.zeros((4, 4), np.int32), np.zeros((2, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"label_map: expected uint8 \[H, W\]"):
            annotate(array, "tight", 0)
    with pytest.raises(ValueError, match="seed"):
        annotate(np.zeros((4, 4), np.uint8), "tight", -1)
