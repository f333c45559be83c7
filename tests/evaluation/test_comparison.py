"""Two runs compared: differences are those of the scores, intervals those of drawn sequences."""

import json
import math
import re

import numpy as np
import pytest

from surgjax.evaluation import bootstrap, html_report, report_files, sequence_sums
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.options import Options
from surgjax.inference.output_folder import OutputFolder
from tests.evaluation import folders

LENGTHS = {"a": 9, "b": 3, "c": 5, "d": 4}


def _maps(rng, frames):
    """Objects 1 to 3 on random places; the third is often away."""
    maps = []
    for _ in range(frames):
        places = rng.integers(0, 28, (3, 2))
        shown = [1, 2] + [3] * (rng.random() < 0.5)
        maps.append(folders.square(*[(i, *places[i - 1].tolist(), 12) for i in shown]))
    return maps


def _near(rng, maps):
    """The same moved a little, with some frames and objects lost."""
    found = []
    for label_map in maps:
        moved = np.roll(label_map, rng.integers(-4, 5, 2), (0, 1))
        moved[moved == rng.integers(1, 6)] = 0
        found.append(moved)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(3)
    for name, frames in LENGTHS.items():
        truth = _maps(rng, frames)
        folders.write(root / "gt" / name, truth)
        folders.write(root / "first" / name, _near(rng, truth))
        folders.write(root / "second" / name, _near(rng, truth))
        (root / "flow" / name).mkdir(parents=True)
        for t in range(frames):
            np.save(root / "flow" / name / f"{t:05d}.npy", np.ones((10, 15, 2), np.float32))
    return root


def _score(root, protocol, side):
    flow = Options(flow=str(root / "flow")) if protocol == "temporal" else None
    return score_folders(protocol, str(root / side), str(root / "gt"), options=flow)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sums_of_sequences_give_every_score_of_any_choice_of_them(root, tmp_path, protocol):
    report = _score(root, protocol, "first")
    whole = sequence_sums.scores_of(protocol, report["sums"], np.ones((1, len(LENGTHS))))
    measures = report_files.measures(report)
    assert measures.keys() <= whole.keys() and len(measures) >= 3
    for name, score in measures.items():
        assert whole[name][0] == pytest.approx(score, abs=1e-12, nan_ok=True), name
    # Two choices: `a` with `c`, and `b` three times with `d`. The second has each of its files so
    # often, under other names.
    choices = [{"a": 1, "c": 1}, {"b": 3, "d": 1}]
    for number, choice in enumerate(choices):
        for side in ("first", "gt", "flow"):
            for name, times in choice.items():
                for k in range(times):
                    copy = tmp_path / str(number) / side / f"{name}{k}"
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.symlink_to(root / side / name)
    weights = np.array([[choice.get(name, 0) for name in LENGTHS] for choice in choices])
    found = sequence_sums.scores_of(protocol, report["sums"], weights)
    for number in range(2):
        chosen = report_files.measures(_score(tmp_path / str(number), protocol, "first"))
        for name, score in chosen.items():
            assert found[name][number] == pytest.approx(score, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_page_shows_the_difference_of_the_scores(root, tmp_path, protocol):
    first, second = (_score(root, protocol, side) for side in ("first", "second"))
    output = OutputFolder(tmp_path / "out", report_files.FILES, overwrite=True)
    report_files.write_report(second, output)
    stored = report_files.read_report(tmp_path / "out")  # null for NaN
    intervals = bootstrap.paired_intervals(first, stored)
    page = html_report.build_page(first, others={"other": stored}, name="this")
    table = re.findall(r'<table id="comparison">.*?</table>', page)[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    shown = {mine[0]: theirs[3] for mine, theirs in zip(cells[::2], cells[1::2], strict=True)}
    for name, score in report_files.measures(first).items():
        if math.isnan(score):
            continue
        difference = second[name] - score
        assert shown[name] == f"{difference:+.4f}", name
        if "false_positive_rate" not in name:  # some draws may have no frame without the object
            assert intervals[name].low - 1e-9 <= intervals[name].high, name
    main = next(iter(report_files.measures(first)))
    weights = np.random.default_rng(1).multinomial(4, [0.25] * 4, 2000)
    drawn = [sequence_sums.scores_of(protocol, r["sums"], weights)[main] for r in (first, second)]
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    assert intervals[main] == pytest.approx((low, high), abs=0.02)
    assert bootstrap.paired_intervals(first, stored) == intervals  # seeded


def test_a_long_sequence_outweighs_a_short_one(tmp_path):
    """The mean over sequences rises by 0.15 where the score falls."""
    whole, half = folders.square((1, 10, 10, 10)), folders.square((1, 10, 10, 10))
    half[:, 15:] = 0
    most = folders.square((1, 10, 10, 10))
    most[:, 17:] = 0
    for name, frames, first, second in (("long", 10, most, half), ("short", 1, half, whole)):
        folders.write(tmp_path / "gt" / name, [whole] * frames)
        folders.write(tmp_path / "first" / name, [first] * frames)
        folders.write(tmp_path / "second" / name, [second] * frames)
    first, second = (_score(tmp_path, "endovis_type", side) for side in ("first", "second"))
    assert first["challenge_iou"] == pytest.approx((10 * 0.7 + 0.5) / 11)
    assert second["challenge_iou"] == pytest.approx((10 * 0.5 + 1) / 11)
    low, high = bootstrap.paired_intervals(first, second)["challenge_iou"]
    # Draws: only the long sequence, only the short one, or both.
    assert (low, high) == pytest.approx((-0.2, 0.5))
    assert "-0.1364" in html_report.build_page(first, others={"b": second}, name="a")


def _report(scores, objects=1):
    """A davis17 report of one object in each sequence, of the given J."""
    rows = [{"sequence": str(k), "object": i, "J": s} for k, s in enumerate(scores)
            for i in range(objects)]  # fmt: skip
    sums = [{"sequence": str(k), "values": {"J": s * objects, "objects": objects}}
            for k, s in enumerate(scores)]  # fmt: skip
    return {"protocol": "davis17", "J": float(np.mean(scores)), "per_object": rows, "sums": sums}


def test_interval_of_a_constant_difference_is_a_point_and_noise_holds_zero():
    found = bootstrap.paired_intervals(_report([0.5] * 8, 3), _report([0.6] * 8, 3))
    assert found["J"] == pytest.approx((0.1, 0.1)) and found.keys() == {"J"}
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 0.1, (2, 200))
    low, high = bootstrap.paired_intervals(_report(first), _report(second))["J"]
    assert low < 0 < high
    # The interval of a mean: 1.96 standard errors to either side.
    half = 1.96 * np.std(second - first) / np.sqrt(200)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_no_interval_without_sums_that_give_the_score():
    good, one = _report([0.5, 0.25]), _report([0.5])
    assert "J" in bootstrap.paired_intervals(good, good)
    for bad in (good | {"sums": []}, good | {"J": 0.4}, good | {"J": None}):
        assert bootstrap.paired_intervals(good, bad) == {}
        assert bootstrap.paired_intervals(bad, good) == {}
    assert bootstrap.paired_intervals(one, one) == {}
    assert bootstrap.paired_intervals(good | {"protocol": "new"}, good) == {}


def test_runs_with_other_objects_are_refused():
    with pytest.raises(ValueError, match="--compare old: runs cannot be paired.*has 1, object 0"):
        bootstrap.check_pairs(_report([0.5, 0.5]), _report([0.5]), "old")
    rows = [{"sequence": name} for name in "ab"]
    with pytest.raises(ValueError, match="--compare old: .* only one of them has b.$"):
        bootstrap.check_pairs({"per_sequence": rows}, {"per_sequence": rows[:1]}, "old")
    bootstrap.check_pairs(_report([0.5, 0.5]), _report([0.1, 0.2]), "old")


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"protocol": None}, "protocol: str expected, None found"),
        ({"preset": ...}, "preset: str expected, nothing found"),
        ({"settings": "none"}, "settings: dict expected, 'none' found"),
        ({"prompt_source": ...}, "prompt_source: str expected, nothing found"),
        ({"split": 5}, "split: str expected, 5 found"),
        ({"per_object": [{"J": 1.0}]}, "per_object: a list of rows that name a sequence"),
        ({"sums": [{"sequence": "a"}]}, "sums: a list of rows that name a sequence"),
        ({"per_sequence": 3}, "per_sequence: a list of rows"),
    ],
)
def test_a_damaged_report_is_named(tmp_path, changed, message):
    report: dict = dict.fromkeys(("protocol", "preset", "prompt_source", "split"), "davis17")
    report["settings"] = {}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert report_files.read_report(tmp_path) == report
    report = {k: v for k, v in (report | changed).items() if v is not ...}
    path.write_text(json.dumps(report))
    with pytest.raises(ValueError, match=f"{path}: {message}"):
        report_files.read_report(tmp_path)
