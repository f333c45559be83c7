"""Folders through every protocol: values by hand, layouts, processes, report files."""

import dataclasses
import json
import math
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation import report_files
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.options import Options
from surgjax.inference.output_folder import OutputFolder
from surgjax.metrics import davis2017
from tests.evaluation import folders
from tests.evaluation.folders import refused, square

# 12 x 12 shifted by 6: half of each is shared, 72 of 216 pixels.
HALF = 72 / 216


@pytest.fixture
def both(tmp_path):
    return folders.two_sequences(tmp_path)


def test_davis17_by_hand(both):
    report = score_folders("davis17", *both, prompt_source="first mask", split="toy")
    assert report["protocol"] == report["preset"] == "davis17"
    assert (report["prompt_source"], report["split"]) == ("first mask", "toy")
    assert report["J"] == pytest.approx((1 + HALF + 1 + 1) / 4)
    assert report["JF"] == pytest.approx((report["J"] + report["F"]) / 2)
    rows = report["per_object"]
    assert [(r["sequence"], r["object"]) for r in rows] == [
        ("a", 1), ("a", 2), ("b", 1), ("b", 2),
    ]  # fmt: skip
    assert all(row.keys() == {"sequence", "object", "J", "F", "JF"} for row in rows)
    truth, found = square((2, 20, 30, 12)) == 2, square((2, 20, 36, 12)) == 2
    assert rows[1]["J"] == pytest.approx(HALF)
    assert rows[1]["F"] == pytest.approx(davis2017.boundary_measure(found, truth))
    assert [r["sequence"] for r in report["per_sequence"]] == ["a", "b"]
    assert report["per_sequence"][0]["J"] == pytest.approx((1 + HALF) / 2)


def test_flat_folders_are_one_sequence(both):
    predictions, truth = (str(Path(folder) / "a") for folder in both)
    report = score_folders("davis17", predictions, truth)
    assert report["J"] == pytest.approx((1 + HALF) / 2) and report["sequences"] == 1
    assert {row["sequence"] for row in report["per_object"]} == {"a"}
    # Folders with different names are paired all the same.
    moved = Path(predictions).rename(Path(predictions).with_name("masks"))
    assert score_folders("davis17", str(moved), truth)["per_object"] == report["per_object"]


def test_only_annotated_frames_are_scored(tmp_path):
    maps = [square((1, 5, 5 + t, 10)) for t in range(9)]
    wrong = [m if t % 2 == 0 else square((1, 25, 40, 5)) for t, m in enumerate(maps)]
    predictions = folders.write(tmp_path / "pred", wrong)
    truth = Path(folders.write(tmp_path / "gt", maps))
    for t in range(1, 9, 2):
        (truth / f"{t:05d}.png").unlink()
    report = score_folders("davis17", predictions, str(truth))
    assert report["J"] == 1
    table = report["tables"]["per_frame"]
    assert [row["frame"] for row in table] == ["00000", "00002", "00004", "00006", "00008"]


def test_255_in_the_truth_is_ignored(tmp_path):
    truth = [square((1, 5, 5, 10), (255, 5, 15, 10)) for _ in range(3)]
    found = [square((1, 5, 5, 10), (1, 5, 15, 10)) for _ in range(3)]
    both = folders.write(tmp_path / "pred", found), folders.write(tmp_path / "gt", truth)
    assert score_folders("davis17", *both)["JF"] == 1
    assert score_folders("endovis_type", *both)["isi_iou"] == 1
    assert score_folders("dice", *both)["dice_class"] == 1


def test_presets_differ_where_they_should(tmp_path):
    # Object 2 appears on frame 2 of 6 and is found from there on, half off; last frame missed.
    truth = [square((1, 2, 2, 10), *[(2, 20, 30, 12)] * (t >= 2)) for t in range(6)]
    found = [square((1, 2, 2, 10), *[(2, 20, 36, 12)] * (2 <= t < 5)) for t in range(6)]
    both = folders.write(tmp_path / "pred", found), folders.write(tmp_path / "gt", truth)
    wanted = {
        "davis17": (1 + 3 * HALF) / 4,
        "sav": HALF,
        "resurg": 3 * HALF / 4,
    }
    for name, value in wanted.items():
        report = score_folders(name, *both)
        assert report["per_object"][1]["J"] == pytest.approx(value), name
        assert report["preset"] == name
    kept = score_folders("davis17", *both, options=Options(keep_first_and_last=True))
    assert kept["per_object"][1]["J"] == pytest.approx((2 + 3 * HALF) / 6)
    assert kept["settings"]["keep_first_and_last"] is True


def test_literal_davis17_stops_where_its_reference_stops(tmp_path):
    """Ids 1 and 3 on the first frame, 4 later: the reference counts 1, 2, 3 and stops at more."""
    late = [(4, 25, 5, 8)]
    truth = [square((1, 5, 5, 10), (3, 5, 30, 10), *late * (t > 1)) for t in range(5)]
    gap = [square((1, 5, 5, 10), (2, 25, 40, 8), (3, 5, 30, 10)) for _ in range(5)]
    both = folders.write(tmp_path / "pred", gap), folders.write(tmp_path / "gt", truth)
    literal = Options(mode="literal")
    report = score_folders("davis17", *both, options=literal)
    assert [(row["object"], row["J"]) for row in report["per_object"]] == [(1, 1), (2, 0), (3, 1)]
    refused(both, r"holds id 2, which the ground truth of 'gt' never shows \(ids \[1, 3, 4\]\)")
    above = folders.write(tmp_path / "above", truth), both[1]
    with pytest.raises(ValueError, match="00002.png: it holds id 4, .*first frame ends with id 3"):
        score_folders("davis17", *above, options=literal)
    assert score_folders("davis17", *above)["J"] == 1


def test_literal_davis17_scores_ids_that_no_frame_shows(tmp_path):
    maps = [square((3, 5, 5, 10)) for _ in range(4)]
    both = (
        folders.write(tmp_path / "pred", maps[:3] + [square()]),
        folders.write(tmp_path / "gt", maps),
    )
    assert len(score_folders("davis17", *both)["per_object"]) == 1
    literal = score_folders("davis17", *both, options=Options(mode="literal"))
    assert [row["object"] for row in literal["per_object"]] == [1, 2, 3]


def test_endovis_type_and_dice(both):
    report = score_folders("endovis_type", *both)
    frame = (1 + HALF) / 2
    assert report["challenge_iou"] == report["isi_iou"] == pytest.approx((frame + 1) / 2)
    assert report["mc_iou"] == pytest.approx((1 + (HALF + 1) / 2) / 2)
    assert report["pooled_iou"] == pytest.approx((100 + 72 + 100 + 144) / (100 + 216 + 244))
    dice = (1 + (0.5 + 1) / 2) / 2
    assert report["dice_class"] == report["dice_object"] == pytest.approx(dice)
    assert score_folders("dice", *both)["wmdc"] == pytest.approx(dice)


def test_temporal_needs_no_truth(tmp_path):
    still = [square((1, 5, 5, 10))] * 3
    predictions = folders.write(tmp_path / "still", still)
    report = score_folders("temporal", predictions)
    assert report["IoU_T"] == 1 and report["CD_T"] == 0 and "IoU_OF" not in report
    moving = folders.write(tmp_path / "moving", [square((1, 5, 5 + 5 * t, 10)) for t in range(3)])
    assert score_folders("temporal", moving)["per_label"][1]["IoU_T"] == pytest.approx(
        1 / 3, abs=0.02
    )


def test_flow_from_files_and_from_a_function(tmp_path):
    size = (299, 299)
    maps = [square((1, 50, 50 + 20 * t, 60), size=size) for t in range(3)]
    predictions = folders.write(tmp_path / "pred", maps)
    back = np.zeros((50, 100, 2), np.float32)
    back[..., 0] = -20 * 100 / 299  # pixels of the flow's own grid
    flow = tmp_path / "flow"
    flow.mkdir()
    np.save(flow / "00001.npy", back)
    cv2.writeOpticalFlow(str(flow / "00002.flo"), back)
    by_file = score_folders("temporal", predictions, options=Options(flow=str(flow)))
    assert by_file["IoU_OF"] == by_file["Dice_OF"] == 1
    assert by_file["per_label"][1]["IoU_T"] == pytest.approx(0.5)
    asked = []

    def estimate(sequence, stem, following):
        asked.append((sequence, stem, following))
        return back

    by_function = score_folders("temporal", predictions, options=Options(flow=estimate))
    assert by_function["IoU_OF"] == 1
    assert asked == [("pred", "00000", "00001"), ("pred", "00001", "00002")]
    with pytest.raises(ValueError, match=r"00000.npy: no such flow.*from frame 00000 to 00001"):
        score_folders("temporal", predictions, options=Options(flow=str(flow), mode="literal"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_states_are_joined_once(both, monkeypatch, protocol):
    for k in range(6):
        for folder in both:
            folders.write(Path(folder) / f"more_{k}", [square((1, 5, 5, 10))] * 3)
    chosen, joined = PROTOCOLS[protocol], []

    def join(states):
        joined.append(len(states))
        return chosen.join(states)

    counting = dataclasses.replace(chosen, join=join)
    monkeypatch.setitem(PROTOCOLS, protocol, counting)
    score_folders(protocol, *both)
    assert joined == [8]  # each state is handed over once, never a sum of earlier ones


def _peak_of_scoring(protocol, root):
    tracemalloc.start()
    try:
        report = score_folders(protocol, root, root)
        assert len(report.get("tables", {}).get("per_frame", ())) >= 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", ["davis17", "dice", "temporal", "hota"])
def test_memory_hardly_grows_with_the_videos(tmp_path, protocol):
    size, peaks = (160, 240), []
    for count in (4, 24):
        root = tmp_path / str(count)
        for v in range(count):
            maps = [square((1, 5, 5 + t, 60), (2, 80, 50, 50), size=size) for t in range(8)]
            folders.write(root / f"v{v:02d}", maps)
        peaks.append(_peak_of_scoring(protocol, str(root)))
    frames = 20 * 8
    # One map has 38 400 bytes, its two masks as bits 9 600; what stays is numbers and names.
    assert peaks[1] - peaks[0] < 4_000 * frames


def test_processes_and_one_process_agree(both):
    one, two = (score_folders("davis17", *both, jobs=jobs) for jobs in (1, 2))
    tables = [report.pop("tables") for report in (one, two)]
    assert tables[0] == tables[1] and len(tables[0]["per_frame"]) == 20
    assert json.dumps(one) == json.dumps(two)


@pytest.mark.parametrize("sides", [("pred", "gt"), ("pred",), ("gt",)])
@pytest.mark.parametrize("protocol", ["sav", "resurg"])
def test_folders_of_objects_score_as_label_maps(both, tmp_path, sides, protocol):
    wanted = score_folders(protocol, *both)
    moved = tmp_path / "objects"
    for side in ("pred", "gt"):
        for name in ("a", "b"):
            files = sorted((tmp_path / side / name).iterdir())
            maps = [np.array(Image.open(path)) for path in files]
            target = moved / side / name
            if side in sides:
                for i in (1, 2):
                    folders.write(target / f"{i:03d}", [(255 * (m == i)).astype(np.uint8)
                                                        for m in maps])  # fmt: skip
            else:
                folders.write(target, maps)
    report = score_folders(protocol, str(moved / "pred"), str(moved / "gt"))
    assert report["per_object"] == wanted["per_object"]
    if "gt" in sides and "pred" in sides:
        (moved / "pred" / "a" / "002" / "00003.png").unlink()
        with pytest.raises(ValueError, match=r"a/002/00003.png: this prediction is missing"):
            score_folders(protocol, str(moved / "pred"), str(moved / "gt"))
        with pytest.raises(ValueError, match="this protocol needs label maps"):
            score_folders("dice", str(moved / "pred"), str(moved / "gt"), missing="empty")


def test_objects_that_are_never_there(tmp_path):
    """Folder 2 of the truth is empty; 3 has no folder in it, so nobody knows about it."""
    one, nothing = square((1, 5, 5, 10)), square()
    for side, objects in {
        "gt": {1: [one] * 5, 2: [nothing] * 5},
        "pred": {1: [one] * 5, 2: [one, one, nothing, nothing, one], 3: [one] * 5},
    }.items():
        for i, masks in objects.items():
            folders.write(tmp_path / side / "v" / str(i), masks)
    both = str(tmp_path / "pred"), str(tmp_path / "gt")
    report = score_folders("sav", *both)
    assert report["J"] == 1 and math.isnan(report["false_positive_rate"])
    assert report["absent_false_positive_rate"] == pytest.approx(1 / 3)  # frames 1 to 3
    absent = [{"sequence": "v", "object": 2, "frames": 3, "false_positives": 1}]
    assert report["per_absent_object"] == absent
    assert len(report["notes"]) == 1
    assert "pred/v/3/00000.png: it holds id 3" in report["notes"][0]
    assert "not annotated and not scored" in report["notes"][0]
    assert score_folders("resurg", *both)["absent_false_positive_rate"] == pytest.approx(3 / 5)
    # Label maps say of every id whether it is there, so here 2 and 3 are known to be absent.
    maps = folders.write(tmp_path / "maps" / "v", [one] * 5)
    report = score_folders("resurg", both[0], str(Path(maps).parent))
    assert report["absent_false_positive_rate"] == pytest.approx((3 + 5) / 10)
    assert "holds id 2, which the ground truth of 'v' never shows" in report["notes"][0]
    refused((both[0], str(Path(maps).parent)), "v/2/00000.png: it holds id 2")
    found = [square((1, 5, 5, 10), *[(9, 20, 20, 10)] * (t == 1)) for t in range(5)]
    found = str(Path(folders.write(tmp_path / "found" / "v", found)).parent)
    report = score_folders("resurg", found, str(Path(maps).parent))
    assert report["absent_false_positive_rate"] == pytest.approx(1 / 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_report_files(both, tmp_path, protocol):
    report = score_folders(protocol, *both, split="toy")
    output = OutputFolder(tmp_path / "out", report_files.FILES, overwrite=True)
    files = report_files.write_report(report, output)
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert stored["protocol"] == protocol and stored["split"] == "toy"
    assert "tables" not in stored and {p.suffix for p in files} == {".json", ".csv"}
    for row in (tmp_path / "out" / "summary.csv").read_text().splitlines()[1:]:
        name, value = row.split(",")
        assert stored[name] == (float(value) if value else None)
    text = report_files.summary_text(report)
    assert f"preset: {report['preset']}" in text
    assert "prompts: not stated   split: toy" in text


def test_an_earlier_report_of_another_protocol_leaves_nothing_behind(both, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for protocol in ("endovis_type", "davis17"):
        output = OutputFolder(tmp_path / "out", report_files.FILES, overwrite=True)
        report_files.write_report(score_folders(protocol, *both), output)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "notes.txt", "report.json", "summary.csv", "per_object.csv", "per_sequence.csv",
        "per_frame.csv",
    }  # fmt: skip


def test_nan_is_null_in_json(tmp_path):
    both = (
        folders.write(tmp_path / "pred", [square((1, 5, 5, 9))] * 3),
        folders.write(tmp_path / "gt", [square()] * 3),
    )
    report = score_folders("endovis_type", *both)
    assert math.isnan(report["challenge_iou"]) and report["isi_iou"] == 0
    output = OutputFolder(tmp_path / "out", report_files.FILES, overwrite=True)
    report_files.write_report(report, output)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["challenge_iou"] is None
