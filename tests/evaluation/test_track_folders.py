"""Folders as tracks: values by hand, TrackEval on the same pixels, late objects, missing frames."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgjax.evaluation import report_files
from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.options import Options
from surgjax.inference.output_folder import OutputFolder
from tests.evaluation import folders
from tests.evaluation.folders import square

HALF = 72 / 216  # 12 x 12 shifted by 6
QUIET = {"PRINT_CONFIG": False}


@pytest.fixture
def both(tmp_path):
    return folders.two_sequences(tmp_path)


def test_by_hand(both):
    report = score_folders("hota", *both, prompt_source="first mask")
    assert report["protocol"] == report["preset"] == "hota"
    assert report["settings"] == {"missing": "error", "similarity": "mask"}
    # 20 detections a side, 15 of IoU 1 and 5 of 1/3. That pair counts at the 6 thresholds to 0.30,
    # where all fits; above, 15 of 25 do, and each of their three tracks is whole.
    assert report["DetA"] == pytest.approx((6 + 13 * 15 / 25) / 19)
    assert report["AssA"] == pytest.approx(1)
    assert report["HOTA"] == pytest.approx((6 + 13 * np.sqrt(15 / 25)) / 19)
    assert report["LocA"] == pytest.approx((6 * (15 + 5 * HALF) / 20 + 13) / 19)
    assert report["MOTA"] == pytest.approx((15 - 5) / 20)
    assert report["IDF1"] == pytest.approx(15 / 20)
    assert report["IDSW"] == 0 and report["CLR_TP"] == 15 and report["IDTP"] == 15
    rows = report["per_sequence"]
    assert [row["sequence"] for row in rows] == ["a", "b"]
    assert rows[0]["MOTA"] == pytest.approx(0) and rows[0]["IDF1"] == pytest.approx(0.5)
    assert rows[1]["HOTA"] == rows[1]["MOTA"] == rows[1]["IDF1"] == 1
    assert len(report["per_alpha"]["HOTA"]) == 19


def test_names_that_swap(tmp_path):
    """Each frame is perfect, so only who is who can cost anything."""
    truth = [square((1, 2, 2, 10), (2, 20, 30, 12)) for _ in range(4)]
    swapped = [square((2, 2, 2, 10), (1, 20, 30, 12)) for _ in range(4)]
    both = (
        folders.write(tmp_path / "pred", truth[:2] + swapped[2:]),
        folders.write(tmp_path / "gt", truth),
    )
    report = score_folders("hota", *both)
    assert report["DetA"] == 1 and report["IDSW"] == 2
    assert report["AssA"] == pytest.approx(2 / 6)  # 2 frames of 4 + 4 - 2
    assert report["MOTA"] == pytest.approx((8 - 2) / 8) and report["IDF1"] == pytest.approx(0.5)


def test_other_ids_are_no_error(tmp_path):
    truth = [square((1, 2, 2, 10)) for _ in range(3)]
    found = [square((9, 2, 2, 10)) for _ in range(3)]
    both = folders.write(tmp_path / "pred", found), folders.write(tmp_path / "gt", truth)
    report = score_folders("hota", *both)
    assert report["HOTA"] == report["MOTA"] == report["IDF1"] == 1 and report["notes"] == []


def test_a_late_object_costs_nothing_before_it_appears(tmp_path):
    truth = [square((1, 2, 2, 10), *[(2, 20, 30, 12)] * (t >= 3)) for t in range(6)]
    both = folders.write(tmp_path / "pred", truth), folders.write(tmp_path / "gt", truth)
    assert score_folders("hota", *both)["HOTA"] == 1
    early = [square((1, 2, 2, 10), (2, 20, 30, 12)) for _ in range(6)]
    both = folders.write(tmp_path / "early", early), folders.write(tmp_path / "gt", truth)
    report = score_folders("hota", *both)
    assert report["CLR_FP"] == 3 and report["MOTA"] == pytest.approx(1 - 3 / 9)
    assert report["IDF1"] == pytest.approx(9 / (9 + 1.5))
    assert report["DetA"] == pytest.approx(9 / 12)
    assert report["AssA"] == pytest.approx((6 + 3 * 3 / 6) / 9)


def test_missing_frames(both):
    for stem in ("00001", "00004"):
        (Path(both[0]) / "a" / f"{stem}.png").unlink()
    with pytest.raises(ValueError, match=r"pred/a/00001.png: this prediction is missing \(2 in"):
        score_folders("hota", *both)
    report = score_folders("hota", *both, missing="empty")
    assert "2 missing predictions counted as empty" in report["notes"][0]
    assert report["CLR_FN"] == 5 - 2 + 4 and report["CLR_FP"] == 3 and report["CLR_TP"] == 13
    assert report["settings"]["missing"] == "empty"


def test_only_annotated_frames_and_pixels_count(tmp_path):
    truth = [square((1, 5, 5, 10), (255, 5, 15, 10)) for _ in range(4)]
    found = [square((1, 5, 5, 10), (3, 5, 15, 10)) for _ in range(4)]
    both = folders.write(tmp_path / "pred", found), folders.write(tmp_path / "gt", truth)
    assert score_folders("hota", *both)["HOTA"] == 1  # id 3 lies on ignored pixels only
    (Path(both[1]) / "00002.png").unlink()
    report = score_folders("hota", *both)
    assert report["HOTA"] == 1 and report["CLR_TP"] == report["CLR_Frames"] == 3


def test_tracks_may_be_named_in_any_order_of_colours(tmp_path):
    """The colours of 1 and 2 swapped together with the values: wrong ids, the same tracks."""
    truth = [square((1, 2, 2, 10), (2, 20, 30, 12))] * 3
    both = folders.write(tmp_path / "pred", truth), folders.write(tmp_path / "gt", truth)
    for path in Path(both[0]).iterdir():
        swapped = square((2, 2, 2, 10), (1, 20, 30, 12))
        folders.write_palette(path, swapped, [(0, 0, 0), (0, 128, 0), (128, 0, 0)])
    assert score_folders("hota", *both)["HOTA"] == 1
    with pytest.raises(ValueError, match="the values are not the ids"):
        score_folders("davis17", *both)


def test_255_in_a_prediction_is_no_track(tmp_path):
    truth = [square((1, 2, 2, 10))] * 3
    found = [square((1, 2, 2, 10), *[(255, 20, 20, 10)] * (t == 1)) for t in range(3)]
    both = folders.write(tmp_path / "pred", found), folders.write(tmp_path / "gt", truth)
    report = score_folders("hota", *both)
    assert report["HOTA"] == 1 and report["CLR_FP"] == 0
    assert report["notes"] == [f"{both[0]}/00001.png: it holds 255, which is not scored as a track"]
    full = folders.write(tmp_path / "full", [square((255, 2, 2, 10))] * 3)
    with pytest.raises(ValueError, match="full/00000.png: .* hold 0 and 255 only. 255 is no track"):
        score_folders("hota", full, both[1])


def test_boxes(tmp_path):
    """A ring and its filled square differ in pixels, not in the box around them."""
    ring = square((1, 5, 5, 12), (0, 6, 6, 10))
    both = (
        folders.write(tmp_path / "pred", [ring] * 3),
        folders.write(tmp_path / "gt", [square((1, 5, 5, 12))] * 3),
    )
    assert score_folders("hota", *both)["MOTA"] == -1  # IoU 44 / 144: missed, and a false alarm
    report = score_folders("hota", *both, options=Options(similarity="box"))
    assert report["HOTA"] == report["MOTA"] == 1 and report["settings"]["similarity"] == "box"
    with pytest.raises(ValueError, match="--similarity: protocol davis17 does not use it"):
        score_folders("davis17", *both, options=Options(similarity="box"))
    with pytest.raises(ValueError, match="--similarity giou: expected mask or box"):
        score_folders("hota", *both, options=Options(similarity="giou"))


def test_bad_files_are_named(both, tmp_path):
    path = Path(both[0]) / "a" / "00001.png"
    label_map = square((1, 4, 5, 10), (2, 20, 36, 12))
    wanted = score_folders("hota", *both)
    folders.write_palette(path, label_map, [(0, 0, 0), (0, 128, 0), (128, 0, 0)])  # 1, 2 swapped
    assert score_folders("hota", *both)["HOTA"] == wanted["HOTA"]  # ids need not agree
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a/00001.png: it is not an image"):
        score_folders("hota", *both)
    objects = folders.write(tmp_path / "objects" / "a" / "001", [square((1, 5, 5, 10))] * 5)
    root = str(Path(objects).parents[1])
    with pytest.raises(ValueError, match="objects/a: a folder of masks for each object"):
        score_folders("hota", root, both[1], missing="empty")


def test_a_sequence_without_objects_is_noted(both):
    folders.write(Path(both[0]) / "b", [square()] * 5)
    folders.write(Path(both[1]) / "b", [square()] * 5)
    report = score_folders("hota", *both)
    assert report["notes"] == ["the ground truth of 'b' shows no object"]
    alone = score_folders("hota", *(str(Path(folder) / "a") for folder in both))
    assert report["HOTA"] == alone["HOTA"]  # counts are added, not scores


def test_files(both, tmp_path):
    report = score_folders("hota", *both)
    report_files.write_report(
        report, OutputFolder(tmp_path / "out", report_files.FILES, overwrite=True)
    )
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"HOTA", "DetA", "AssA", "MOTA", "IDF1"} <= stored.keys()
    head = (tmp_path / "out" / "per_sequence.csv").read_text().splitlines()[0].split(",")
    assert head[:6] == ["sequence", "HOTA", "DetA", "AssA", "MOTA", "IDF1"] and "Frag" in head
    assert "per_alpha" not in head


def test_memory_does_not_grow_with_the_frames(tmp_path):
    size = (400, 400)
    peaks = []
    for frames in (4, 40):
        maps = [square((1, 5, 5 + t, 100), (2, 200, 50, 80), size=size) for t in range(frames)]
        root = folders.write(tmp_path / str(frames), maps)
        tracemalloc.start()
        score_folders("hota", root, root)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * 400 * 400  # 36 more frames, less than one pair of maps


def _random_maps(rng, frames=12, size=(40, 56)):
    """Discs that drift, appear late, vanish, and come back; some pixels ignored in the truth."""
    count = rng.integers(1, 6)
    centre, speed = rng.uniform(5, 40, (count, 2)), rng.normal(0, 2, (count, 2))
    born, radius = rng.integers(0, frames, count), rng.uniform(3, 9, count)
    y, x = np.mgrid[: size[0], : size[1]]
    names, truth, found = np.arange(1, count + 1), [], []
    for t in range(frames):
        pair = [np.zeros(size, np.uint8), np.zeros(size, np.uint8)]
        if rng.random() < 0.2:
            names = rng.permutation(names)
        for i in range(count):
            if t < born[i]:
                continue
            at = centre[i] + t * speed[i]
            if rng.random() < 0.9:
                pair[0][np.hypot(y - at[0], x - at[1]) < radius[i]] = i + 1
            if rng.random() < 0.85:
                off = at + rng.normal(0, 1.5, 2)
                pair[1][np.hypot(y - off[0], x - off[1]) < radius[i]] = 10 * names[i]
        if rng.random() < 0.3:
            pair[0][:8, :20] = 255
        truth.append(pair[0])
        found.append(pair[1])
    return truth, found


def _for_trackeval(truth, found):
    """TrackEval's input straight from the pixels, by code that shares nothing with ours."""
    out: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for target, mask in zip(truth, found, strict=True):
        target, mask = np.where(target == 255, 0, target), np.where(target == 255, 0, mask)
        mine = [i for i in np.unique(target) if i]
        theirs = [i for i in np.unique(mask) if i]
        table = np.zeros((len(mine), len(theirs)))
        for g, i in enumerate(mine):
            for p, j in enumerate(theirs):
                either = ((target == i) | (mask == j)).sum()
                table[g, p] = ((target == i) & (mask == j)).sum() / either
        out["gt_ids"].append(mine)
        out["tracker_ids"].append(theirs)
        out["similarity_scores"].append(table)
    for side, short in (("gt_ids", "gt"), ("tracker_ids", "tracker")):
        known = {i: n for n, i in enumerate(sorted({i for ids in out[side] for i in ids}))}
        out[side] = [np.array([known[i] for i in ids], int) for ids in out[side]]
        out[f"num_{short}_ids"] = len(known)
        out[f"num_{short}_dets"] = sum(map(len, out[side]))
    return out | {"num_timesteps": len(truth)}


def test_folders_against_trackeval(tmp_path):
    trackeval = pytest.importorskip("trackeval")
    metrics = (
        trackeval.metrics.HOTA(),
        trackeval.metrics.CLEAR(dict(QUIET)),
        trackeval.metrics.Identity(dict(QUIET)),
    )
    rng = np.random.default_rng(7)
    data = {}
    for k in range(16):
        truth, found = _random_maps(rng)
        folders.write(tmp_path / "gt" / f"s{k:02d}", truth)
        folders.write(tmp_path / "pred" / f"s{k:02d}", found)
        data[f"s{k:02d}"] = _for_trackeval(truth, found)
    report = score_folders("hota", str(tmp_path / "pred"), str(tmp_path / "gt"))
    rows = {row["sequence"]: row for row in report["tables"]["per_sequence"]}
    compared = 0
    for metric in metrics:
        single = {name: metric.eval_sequence(one) for name, one in data.items()}
        pairs = [(report, metric.combine_sequences(single))]
        pairs += [(rows[name], theirs) for name, theirs in single.items()]
        for ours, theirs in pairs:
            for name, value in theirs.items():
                if name != "MOTP_sum":
                    assert ours[name] == pytest.approx(np.mean(value), abs=1e-9, rel=0), name
                    compared += 1
    assert compared >= 17 * (15 + 20 + 6)
    assert report["IDSW"] > 10 and 0.2 < report["HOTA"] < 0.9
