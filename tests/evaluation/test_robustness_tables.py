"""Means and drops of small tables by hand; the page and the files."""

import csv
import json
import math

import pytest

from surgjax.evaluation import robustness_page
from surgjax.evaluation.robustness_tables import CLEAN, Cell, build_report, score, shape, tables
from surgjax.metrics.label_maps import Areas
from surgjax.robustness import CORRUPTIONS, SURGICAL


def _scored(iou_percent, frames=2):
    """The score of a cell whose every frame has one label of that IoU."""
    areas = {1: Areas(iou_percent, iou_percent, 100)}
    return score({("video", frame): areas for frame in range(frames)})


def _cell(name, severity, kind="corruptions"):
    return Cell(kind, name, severity)


def test_the_score_of_a_cell():
    """Two labels on frame 0, a false one on frame 1, nothing on frame 2."""
    state = {
        ("a", 0): {1: Areas(50, 50, 100), 2: Areas(0, 0, 10)},
        ("a", 1): {1: Areas(100, 100, 100), 3: Areas(0, 7, 0)},
        ("a", 2): {},
    }
    found = score(state)
    assert found["mean_iou"] == pytest.approx((0.25 + 0.5) / 2)
    assert found["challenge_iou"] == pytest.approx((0.25 + 1.0) / 2)
    assert found["mc_iou"] == pytest.approx((0.75 + 0 + 0) / 3)
    assert found["frames"] == 2 and found["per_class"] == {1: 0.75, 2: 0, 3: 0}
    with pytest.raises(ValueError, match="the truth shows no label on any frame"):
        score({("a", 0): {}})


def test_means_and_drops_by_hand():
    values = {
        CLEAN: 80,
        _cell("fog", 1): 60,
        _cell("fog", 3): 40,
        _cell("snow", 1): 80,
        _cell("snow", 3): 20,
        _cell("fog", 1, "surgical"): 72,
    }
    scores = {("image_box", "binary", cell): _scored(value) for cell, value in values.items()}
    report = build_report(scores, {})
    fog, snow = [r for r in report["per_corruption"] if r["set"] == "corruptions"][::-1]
    assert (fog["corruption"], snow["corruption"]) == ("fog", "snow")  # snow is listed before fog
    assert fog["severity_1"] == 0.6 and fog["severity_3"] == 0.4 and "severity_2" not in fog
    assert fog["mean"] == pytest.approx(0.5) and fog["drop"] == pytest.approx(0.3)
    assert fog["relative_drop"] == pytest.approx(0.3 / 0.8)
    ours, surgical = report["summary"]
    assert ours["severity_1"] == pytest.approx(0.7) and ours["severity_3"] == pytest.approx(0.3)
    assert ours["mean"] == pytest.approx(0.5)
    assert ours["relative_drop"] == pytest.approx(0.3 / 0.8)
    assert ours["corruptions"] == 2 and ours["complete"] is False
    # The surgical fog is another thing than the weather, and in no mean with it.
    assert surgical["set"] == "surgical" and surgical["mean"] == pytest.approx(0.72)
    assert len(report["per_cell"]) == 6


def test_all_eighteen_are_complete():
    cells = [_cell(name, s) for name in CORRUPTIONS for s in range(1, 6)]
    cells += [_cell(name, s, "surgical") for name in SURGICAL for s in range(1, 6)]
    scores = {("video_point", "type", c): {"mean_iou": 0.9 - c.severity / 10} for c in cells}
    scores["video_point", "type", CLEAN] = {"mean_iou": 0.9}
    rows = tables(scores)
    assert [row["complete"] for row in rows["summary"]] == [True, True]
    assert [row["corruptions"] for row in rows["summary"]] == [18, 6]
    assert rows["summary"][0]["mean"] == pytest.approx(0.6)
    assert len(rows["per_corruption"]) == 24
    del scores["video_point", "type", CLEAN]
    with pytest.raises(ValueError, match="video_point, type: no score without a corruption"):
        tables(scores)


def test_means_of_groups_and_classes_by_hand():
    """Class 2 is there on clean frames and in the fog, and goes down to nothing in the snow."""
    ious = {
        CLEAN: (0.9, 0.6),
        _cell("fog", 1): (0.8, 0.4),
        _cell("fog", 5): (0.6, 0.2),
        _cell("snow", 1): (0.7, 0.0),
        _cell("snow", 5): (0.5, 0.0),
        _cell("pixelate", 1): (0.9, 0.6),
        _cell("pixelate", 5): (0.3, 0.6),
        _cell("smoke", 5, "surgical"): (0.9, 0.3),
    }
    scores = {}
    for task in ("binary", "type"):
        for cell, (one, two) in ious.items():
            found = {"mean_iou": (one + two) / 2, "per_class": {4: one, 7: two}}
            scores["image_box", task, cell] = found
    report = build_report(scores, {})
    weather, digital = [row for row in report["per_group"] if row["task"] == "type"]
    assert (weather["group"], digital["group"]) == ("weather", "digital")
    assert weather["clean"] == 0.75 and weather["corruptions"] == 2
    assert weather["severity_1"] == pytest.approx((0.6 + 0.35) / 2)
    assert weather["mean"] == pytest.approx((0.6 + 0.4 + 0.35 + 0.25) / 4)
    assert weather["relative_drop"] == pytest.approx((0.75 - 0.4) / 0.75)
    assert digital["mean"] == pytest.approx((0.75 + 0.45) / 2) and not weather["complete"]
    rows = report["per_class"]
    assert {row["task"] for row in rows} == {"type"}  # binary has one label only
    four, seven, smoke, _ = sorted(rows, key=lambda row: (row["set"], row["class"]))
    assert (four["class"], four["clean"], seven["class"]) == (4, 0.9, 7)
    assert four["severity_5"] == pytest.approx((0.6 + 0.5 + 0.3) / 3)
    assert seven["mean"] == pytest.approx((0.4 + 0.2 + 0 + 0 + 0.6 + 0.6) / 6)
    assert seven["relative_drop"] == pytest.approx((0.6 - 0.3) / 0.6)
    assert smoke["set"] == "surgical" and smoke["relative_drop"] == 0
    page = robustness_page.build_page(report | {"settings": {"data": "toy"}})
    assert "mean: weather" in page and "mean: class 7" in page and "50.0 %" in page


def test_shape_of_the_claims():
    values = {CLEAN: (0.6, 0.8), _cell("fog", 1): (0.5, 0.5), _cell("fog", 3): (0.55, 0.4)}
    scores = {}
    for cell, (point, box) in values.items():
        scores["image_point", "parts", cell] = {"mean_iou": point}
        scores["image_box", "parts", cell] = {"mean_iou": box}
    found = shape(tables(scores)["summary"])
    assert found["falls_with_severity"] == {
        "image_point, parts, corruptions": False,
        "image_box, parts, corruptions": True,
    }
    gained = found["box_minus_point"]["parts, corruptions"]
    assert gained["clean"] == pytest.approx(0.2) and gained["mean"] == pytest.approx(0.45 - 0.525)


def test_nothing_found_on_clean_frames_has_no_relative_drop():
    scores = {("image_box", "binary", c): _scored(0) for c in (CLEAN, _cell("fog", 2))}
    row = build_report(scores, {})["summary"][0]
    assert row["drop"] == 0 and math.isnan(row["relative_drop"])


@pytest.mark.parametrize("names", [("fog",), ()])
def test_files(tmp_path, names):
    cells = [CLEAN, *(_cell(name, s) for name in names for s in (1, 5))]
    scores = {("image_box", "parts", c): _scored(90 - 10 * c.severity) for c in cells}
    report = build_report(scores, {"data": "a<b", "seed": 0}, "val")
    files = robustness_page.write(report, tmp_path)
    assert {path.name for path in files} == {path.name for path in tmp_path.iterdir()}
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["protocol"] == "robustness" and stored["split"] == "val"
    assert "a point or the box" in stored["prompt_source"] and len(stored["per_cell"]) == len(cells)
    page = (tmp_path / "report.html").read_text()
    assert "a&lt;b" in page and "http" not in page and "<script" not in page
    rows = list(csv.DictReader((tmp_path / "per_cell.csv").open()))
    assert [row["severity"] for row in rows] == [str(c.severity) for c in cells]
    if names:
        assert "mean of 1 (not all were run)" in page and "33.3 %" in page  # 0.9 to 0.6
        assert "image_box" in robustness_page.summary_text(report)
    else:
        assert "No corruption was asked for." in page
