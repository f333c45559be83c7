"""Our scores against those of published evaluators on the same masks, without them.

Units:   fractions of 1; contour distances in pixels.
Errors:  AssertionError naming the object.
Source:  evaluators.npz, written by make_evaluators.py.
Differs: F may differ in the last bits, which is the order of two factors.
"""

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from surgjax import metrics
from surgjax.metrics import contours, endovis_type, object_scores, temporal
from tests.golden import evaluator_cases as cases

pytestmark = pytest.mark.golden

LIMIT = 1e-9


@functools.cache
def _golden():
    with np.load(Path(__file__).with_name("evaluators.npz")) as file:
        return {name: file[name] for name in file.files}


def _result(name):
    return json.loads(str(_golden()["results"]))[name]


def _state(kind):
    state = object_scores.init_state()
    for name, (prediction, target) in cases.sequences(kind).items():
        frames = {
            t: object_scores.score_label_map(prediction[t], target[t]) for t in range(len(target))
        }
        state = object_scores.update(state, name, frames)
    return state


def test_j_and_f_of_masks_equal_davis2017_evaluation():
    wanted = _golden()["masks"]
    assert len(wanted) == sum(count for *_, count in cases.SIZES) > 1000
    for (mask, target, ignored), (j, f) in zip(cases.mask_pairs(), wanted, strict=True):
        mask = mask if ignored is None else mask & ~ignored
        row = object_scores.score_mask(mask, target)
        assert (row.region, row.contour) == pytest.approx((j, f), abs=LIMIT)
        assert metrics.region_similarity(mask, target) == pytest.approx(j, abs=LIMIT)
        assert metrics.contour_accuracy(mask[None], target[None])[0] == pytest.approx(f, abs=LIMIT)


def test_ignored_pixels_equal_davis2017_evaluation():
    seen = 0
    for (mask, target, ignored), (j, f) in zip(cases.mask_pairs(), _golden()["masks"], strict=True):
        if ignored is None or not (mask.any() and target.any()):
            continue
        label_map = np.where(ignored, 255, target).astype(np.uint8)
        rows = object_scores.score_label_map(mask.astype(np.uint8), label_map)
        assert (rows[1].region, rows[1].contour) == pytest.approx((j, f), abs=LIMIT)
        seen += (mask & ignored).any()
    assert seen > 50


@pytest.mark.parametrize(("kind", "golden"), [("davis", "davis"), ("gaps", "davis_gaps")])
def test_folders_equal_davis2017_evaluation(kind, golden):
    # "gaps": the reference also scores ids that no frame shows, as perfect, and leaves out later
    # ones; that is what `literal` repeats.
    result = object_scores.compute(
        _state(kind), object_scores.PRESETS["davis17"], literal=kind == "gaps"
    )
    wanted = _result(golden)
    assert len(result["per_object"]) == len(wanted)
    for row in result["per_object"]:
        ours = [row["J"], row["J_recall"], row["J_decay"], row["F"], row["F_recall"]]
        ours.append(row["F_decay"])
        assert ours == pytest.approx(wanted[f"{row['sequence']}_{row['object']}"], abs=LIMIT)
    assert result["J"] == pytest.approx(np.mean([m[0] for m in wanted.values()]), abs=LIMIT)


def test_gaps_differ_unless_literal():
    state, preset = _state("gaps"), object_scores.PRESETS["davis17"]
    ours, theirs = (object_scores.compute(state, preset, literal=x) for x in (False, True))
    phantom = [row for row in theirs["per_object"] if row["object"] == 2]
    assert phantom and all(row["J"] == row["F"] == 1 for row in phantom)
    assert {row["object"] for row in ours["per_object"]} == {1, 3, 4}


@pytest.mark.parametrize(
    ("preset", "kind", "golden"),
    [
        ("sav", "davis", "sav"),
        ("sav", "late", "sav_label_maps"),
        ("resurg", "late", "resurg"),
    ],
)
def test_presets_equal_their_benchmarks(preset, kind, golden):
    result = object_scores.compute(_state(kind), object_scores.PRESETS[preset])
    wanted = _result(golden)
    rows = {f"{row['sequence']}/{row['object']}": row for row in result["per_object"]}
    assert rows.keys() == wanted.keys()
    for name, values in wanted.items():
        ours = [rows[name][key] for key in ("J", "F", "Dice")]
        assert ours[: len(values)] == pytest.approx(values, abs=LIMIT), name
    means = np.mean(list(wanted.values()), axis=0)
    ours = [result[key] for key in ("J", "F", "Dice")]
    assert ours[: len(means)] == pytest.approx(means.tolist(), abs=LIMIT)


def test_presets_give_different_numbers():
    state = _state("late")
    means = [object_scores.compute(state, p)["J"] for p in object_scores.PRESETS.values()]
    kept = dataclasses.replace(object_scores.PRESETS["sav"], drop_first_and_last=False)
    assert len({round(mean, 6) for mean in means}) == 3
    assert object_scores.compute(state, kept)["J"] == means[2]


def test_endovis_type_equals_surgicalsam():
    state = endovis_type.init_state()
    for name, (prediction, target) in cases.sequences("classes").items():
        frames = {
            t: endovis_type.class_areas(prediction[t], target[t], 7) for t in range(len(target))
        }
        state = endovis_type.update(state, name, frames)
    result, wanted = endovis_type.compute(state), _result("endovis")
    names = {"challenge_iou": "challengIoU", "isi_iou": "IoU", "mc_iou": "mcIoU"}
    for ours, theirs in (names | {"pooled_iou": "mIoU"}).items():  # rounded to 1e-5
        assert result[ours] == pytest.approx(wanted[theirs] / 100, abs=6e-6), ours
    assert len({round(value, 3) for value in wanted.values()}) == 4


def test_contour_distance_equals_scikit_image_and_torch():
    wanted, place = _golden()["contour_distances"], 0
    for k, (mask, target, _) in enumerate(cases.mask_pairs()):
        if k % 4 or mask.size > 3000:
            continue
        ours = contours.contour_distance(mask, target)
        assert ours == pytest.approx(wanted[place], abs=LIMIT, nan_ok=True)
        place += 1
    assert place == len(wanted) and np.isfinite(wanted).sum() > 100


def test_resized_label_maps_equal_torch():
    sizes = ((480, 854), (1024, 1280), (61, 47), (299, 299), (300, 301))
    weights = np.arange(299 * 299).reshape(299, 299) % 97
    for (height, width), wanted in zip(sizes, _golden()["resize_sums"], strict=True):
        label_map = (np.arange(height * width).reshape(height, width) * 7 % 251).astype(np.uint8)
        assert (temporal.resize_labels(label_map) * weights).sum() == wanted
