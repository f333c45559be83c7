"""COCO average precision: against pycocotools reading files, by hand, over merges, refusals."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from surgjax.metrics import coco_map

ORDER = "mAP AP50 AP75 AP_small AP_medium AP_large AR_1 AR_10 AR_100 AR_small AR_medium AR_large"


def _ellipse(rng, side, radius):
    y, x = np.mgrid[:side, :side]
    at, radii = rng.uniform(0.2, 0.8, 2) * side, radius * rng.uniform(0.6, 1.4, 2)
    return ((y - at[0]) / radii[0]) ** 2 + ((x - at[1]) / radii[1]) ** 2 <= 1


def _images(seed, count=12, side=130):
    """Images with objects of all three sizes, crowds, duplicates, ties and wrong categories."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        truths = [_ellipse(rng, side, r) for r in rng.choice([6, 14, 25, 48], rng.integers(0, 6))]
        truths = np.array(truths, bool).reshape(-1, side, side)
        kinds = rng.integers(1, 4, len(truths))
        found, found_kinds = [], []
        for truth, kind in zip(truths, kinds, strict=True):
            for _ in range(rng.integers(0, 3)):
                shift = rng.integers(-4, 5, 2)
                found.append(np.roll(truth, shift, (0, 1)))
                found_kinds.append(kind if rng.random() < 0.9 else rng.integers(1, 5))
        for _ in range(rng.integers(0, 2)):
            found.append(_ellipse(rng, side, 20))
            found_kinds.append(rng.integers(1, 5))
        yield (
            f"frame {number:02}",
            dict(
                masks=np.array(found, bool).reshape(-1, side, side),
                scores=np.round(rng.random(len(found)), 1),  # with ties
                categories=found_kinds,
                truths=truths,
                truth_categories=kinds,
                crowd=rng.random(len(truths)) < 0.15,
            ),
        )


def _state(images):
    state = coco_map.init_state()
    for name, image in images:
        state = coco_map.update(state, name, coco_map.score_image(**image))
    return state


def _by_files(images, folder):
    """The twelve numbers of `COCOeval.summarize` from files as a benchmark would hand them out."""

    def code(mask):
        found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": found["size"], "counts": found["counts"].decode()}

    data = {"images": [], "annotations": [], "categories": [{"id": k} for k in (1, 2, 3, 4)]}
    results = []
    for number, (_, image) in enumerate(images):
        data["images"].append({"id": 70 + number, "height": 130, "width": 130})
        for mask, kind, crowd in zip(
            image["truths"], image["truth_categories"], image["crowd"], strict=True
        ):
            data["annotations"].append(
                dict(id=len(data["annotations"]) + 500, image_id=70 + number, iscrowd=int(crowd),
                     category_id=int(kind), segmentation=code(mask), area=int(mask.sum()))
            )  # fmt: skip
        for mask, kind, score in zip(
            image["masks"], image["categories"], image["scores"], strict=True
        ):
            results.append(
                dict(image_id=70 + number, category_id=int(kind), score=float(score),
                     segmentation=code(mask))
            )  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(data))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(truths, truths.loadRes(str(folder / "results.json")), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_pycocotools_on_files(seed, tmp_path):
    images = list(_images(seed))
    want = _by_files(images, tmp_path)
    found = coco_map.compute(_state(images))
    scores = [-1 if found[name] is None else found[name] for name in ORDER.split()]
    np.testing.assert_allclose(scores, want, rtol=0, atol=1e-12)
    assert 0.05 < found["mAP"] < 0.95  # a case that shows something


def _square(left, side=8):
    mask = np.zeros((1, 20, 40), bool)
    mask[0, 4 : 4 + side, left : left + side] = True
    return mask


def test_average_precision_by_hand():
    """Two truths; ranked detections are right, wrong, right: precision 1 to half the recall, then
    2/3. COCO reads it at 101 recalls, 51 of which lie in the first half."""
    truths = np.concatenate([_square(2), _square(22)])
    masks = np.concatenate([_square(2), _square(12), _square(22)])
    record = coco_map.score_image(masks, [0.9, 0.8, 0.7], [1] * 3, truths, [1] * 2)
    found = coco_map.compute({"a": record})
    want = (51 + 50 * 2 / 3) / 101
    for name in ("mAP", "AP50", "AP75", "AP_small"):
        assert found[name] == pytest.approx(want, abs=1e-12)
    assert (found["AP_medium"], found["AP_large"]) == (None, None)
    assert (found["AR_1"], found["AR_100"]) == (0.5, 1.0)


def test_an_iou_between_two_thresholds_by_hand():
    """A square moved by one of eight columns: IoU 56 / 72 = 0.78, right for 6 of 10 thresholds."""
    record = coco_map.score_image(_square(3), [0.5], [1], _square(2), [1])
    found = coco_map.compute({"a": record})
    assert (found["mAP"], found["AP50"], found["AP75"]) == pytest.approx((0.6, 1, 1))


def test_nothing_found_and_nothing_to_find():
    none = np.zeros((0, 20, 40), bool)
    missed = coco_map.compute({"a": coco_map.score_image(none, [], [], _square(2), [1])})
    assert (missed["mAP"], missed["AR_100"]) == (0.0, 0.0)
    empty = coco_map.compute({"a": coco_map.score_image(none, [], [], none, [])})
    assert empty["mAP"] is None and empty["per_category"] == []
    alarm = coco_map.compute({"a": coco_map.score_image(_square(2), [1.0], [3], none, [])})
    assert alarm["per_category"] == [{"category": 3, "AP": None}]


def test_areas_can_be_the_annotations_own():
    truth = coco_map.score_image(_square(2), [1], [1], _square(2), [1], truth_areas=[2000.0])
    found = coco_map.compute({"a": truth})
    assert found["AP_small"] is None and found["AP_medium"] == pytest.approx(1)


def test_order_of_merges_changes_no_bit():
    images = list(_images(9))
    parts = [_state([image]) for image in images]
    backwards = coco_map.init_state()
    for part in parts[::-1]:
        backwards = coco_map.merge(part, backwards)
    assert coco_map.compute(backwards) == coco_map.compute(_state(images))


def test_refusals(capsys):
    mask = _square(2)
    with pytest.raises(ValueError, match=r"scores: expected one per mask, \(1,\), found \(2,\)"):
        coco_map.score_image(mask, [1, 2], [1], mask, [1])
    with pytest.raises(ValueError, match=r"crowd: expected one per mask"):
        coco_map.score_image(mask, [1], [1], mask, [1], crowd=[True, False])
    with pytest.raises(ValueError, match="scores: expected finite numbers, found .nan."):
        coco_map.score_image(mask, [np.nan], [1], mask, [1])
    with pytest.raises(TypeError, match="truths"):
        coco_map.score_image(mask, [1], [1], mask[:, :5], [1])
    record = coco_map.score_image(mask, [1], [1], mask, [1])
    with pytest.raises(ValueError, match=r"Scored twice: \['a'\]"):
        coco_map.update({"a": record}, "a", record)
    with pytest.raises(ValueError, match="Nothing was scored"):
        coco_map.compute({})
    coco_map.compute({"a": record})
    assert capsys.readouterr().out == ""
