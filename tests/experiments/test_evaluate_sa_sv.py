"""SA-SV's evaluation on drawn archives: averages by hand, missing sets, and going on."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from configs.sam2s import sa_sv
from experiments.promptable_sam2 import debug_data
from experiments.sam2s import sa_sv_evaluation, sa_sv_report
from experiments.sam2s.sa_sv_evaluation import GROUPS, SaSvOptions, averages, evaluate, sets_of
from surgjax.checkpoints import save_params
from surgjax.evaluation.shares import Share
from surgjax.models.sam2 import init_params
from surgjax.models.variants import get_config
from tests.data import prepared

ROOT = pathlib.Path(__file__).parents[2]
DRAWN = ("cvc_clinicdb", "autolaparo", "endovis18/types")  # no times; tissue too; zero-shot
TEST: dict[str, Any] = sa_sv.get_config().to_dict()["test"]
SMALL = TEST | {k: [e for e in TEST[k] if e["name"] in DRAWN] for k in ("sets", "held_out")}
_TRACKERS = {}  # compiled once for all runs of this file


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    debug_data.write_sets(folder, DRAWN)
    save_params(folder / "weights", _present(), get_config("debug"))
    return folder


def _present():
    """Random weights that see every object, so that masks are not all empty."""
    params = init_params(get_config("debug"))
    head = params["sam_mask_decoder"]["pred_obj_score_head"]
    last = head[sorted(head)[-1]]
    last["bias"] = np.full_like(last["bias"], 5.0)
    return params


def _options(data, **changes):
    options = SaSvOptions(str(data), str(data / "weights"), "divemem", "delta=2,gamma=-1")
    return dataclasses.replace(options, **changes)


def _evaluate(options, test, output):
    said = []
    report = evaluate(options, test, output, said.append, _TRACKERS)
    assert report is not None
    return report, said


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory, quick_compiling):
    output = tmp_path_factory.mktemp("whole")
    report, said = _evaluate(_options(data), SMALL, output)
    return output, report, said


def _row(name, zero_shot, score, early):
    scores = dict.fromkeys(sa_sv_evaluation.SCORES) | {"JF": score, "0-5 s": early}
    return {"name": name, "zero_shot": zero_shot, "scores": scores}


def test_averages_by_hand():
    rows = [
        _row("a", False, 0.9, 0.8),
        _row("b", False, 0.5, None),
        _row("c", True, 0.4, 0.6),
        _row("d", False, None, None),  # nothing was there to measure
    ]
    found = averages(rows)
    assert tuple(found) == GROUPS
    assert [found[group]["scores"]["JF"] for group in GROUPS] == pytest.approx([0.6, 0.7, 0.4])
    assert [found[group]["sets"]["JF"] for group in GROUPS] == [3, 2, 1]
    assert [found[group]["scores"]["0-5 s"] for group in GROUPS] == pytest.approx([0.7, 0.8, 0.6])
    assert found["all"]["scores"]["5-30 s"] is None and found["all"]["sets"]["5-30 s"] == 0


@pytest.mark.slow
def test_a_set_is_the_mean_of_its_objects_in_the_files(whole):
    output, report, _ = whole
    assert [row["name"] for row in report["sets"]] == list(DRAWN)
    assert [row["zero_shot"] for row in report["sets"]] == [False, False, True]
    for row in report["sets"]:
        means, early = [], []
        for path in (output / row["name"].replace("/", "_")).rglob("rows/**/*.json"):
            content = json.loads(path.read_text())
            for one in content["objects"]:
                both = (np.array(one["region"]) + np.array(one["contour"])) / 2
                assert one["prompt_frame"] not in one["frames"]
                if len(both):
                    means.append(both.mean())
                seconds = (np.array(one["frames"]) - one["prompt_frame"]) / (content["fps"] or 1e-9)
                if (seconds <= 5).any():
                    early.append(both[seconds <= 5].mean())
        assert row["scores"]["JF"] == pytest.approx(np.mean(means))
        assert row["objects"]["JF"] == len(means) > 0
        assert row["objects"]["0-5 s"] == len(early)
        expected = pytest.approx(np.mean(early)) if early else None
        assert row["scores"]["0-5 s"] == expected
    scores = [row["scores"]["JF"] for row in report["sets"]]
    assert len(set(scores)) == 3
    average = report["average"]
    assert average["all"]["scores"]["JF"] == pytest.approx(sum(scores) / 3)
    assert average["seen in training"]["scores"]["JF"] == pytest.approx(sum(scores[:2]) / 2)
    assert average["zero-shot"]["scores"]["JF"] == pytest.approx(scores[2])


@pytest.mark.slow
def test_tissue_counts_and_sets_without_times_have_no_horizons(whole):
    _, report, _ = whole
    by_name = {row["name"]: row for row in report["sets"]}
    assert by_name["cvc_clinicdb"]["objects"]["JF"] == 1  # a polyp
    assert by_name["cvc_clinicdb"]["videos_with_times"] == 0
    text = sa_sv_report.markdown(report)
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines()}
    assert lines["cvc_clinicdb/test"].count("no times") == 3
    assert "| nephrectomy | zero-shot |" in lines["endovis18/types/val"]
    assert "(3 sets)" in lines["average, all"] and "(2 sets)" in lines["average, all"]
    assert "Partial" not in text
    for name in (*sa_sv.ABSENT, *(each["name"] for each in sa_sv.TEST_IMAGES)):
        assert name in text
    assert "memory: `divemem" in text and "delta=2" in text


@pytest.mark.slow
def test_again_tracks_nothing_and_a_lost_video_is_tracked_to_the_same(whole, data):
    output, report, _ = whole
    again, said = _evaluate(_options(data), SMALL, output)
    assert again == report
    assert sum("1 videos are there already, 0 to track" in line for line in said) == 3
    [lost] = (output / "endovis18_types").rglob("rows/**/*.json")
    before = lost.read_text()
    lost.unlink()
    again, said = _evaluate(_options(data), SMALL, output)
    assert again == report and lost.read_text() == before
    assert sum("1 to track" in line for line in said) == 1
    with pytest.raises(ValueError, match="rows of other settings or weights"):
        _evaluate(_options(data, precision="bf16"), SMALL, output)


@pytest.mark.slow
def test_missing_sets_are_refused_and_partial_says_over_how_many(whole, data, tmp_path):
    _, report, _ = whole
    test = SMALL | {"sets": TEST["sets"]}
    with pytest.raises(ValueError) as refused:
        evaluate(_options(data), test, tmp_path, print, _TRACKERS)
    message = str(refused.value)
    assert "5 of 8 sets cannot be evaluated. --partial evaluates the others." in message
    missing = [each["name"] for each in TEST["sets"] if each["name"] not in DRAWN]
    for name in missing:
        assert f"experiments.prepare_data --dataset={name} --manual_dir" in message
    assert not any(name in message for name in DRAWN)
    assert not list(tmp_path.iterdir())
    found, _ = _evaluate(_options(data, partial=True), test, tmp_path)
    assert found["sets"] == report["sets"] and found["average"] == report["average"]
    assert list(found["left_out"]) == missing and found["sets_asked"] == 8
    text = sa_sv_report.write_report(tmp_path, found)
    assert "**Partial: the averages are over 3 of 8 sets.**" in text
    assert "- Left out: sar_rarp50, not prepared" in text
    assert (tmp_path / "report.md").read_text() == text
    assert json.loads((tmp_path / "report.json").read_text()) == found
    nothing = SMALL | {"sets": [TEST["sets"][0]], "held_out": []}
    with pytest.raises(ValueError, match="1 of 1 sets cannot be evaluated"):
        evaluate(_options(data, partial=True), nothing, tmp_path, print)


def test_a_split_of_single_images_is_named(tmp_path):
    images = [prepared.synthetic_video(k, 1) for k in range(2)]
    prepared.write_set(str(tmp_path), "stills", {"test": images})
    each = {"name": "stills", "split": "test", "procedure": "none"}
    options = SaSvOptions(str(tmp_path))
    with pytest.raises(ValueError, match=r"stills: .*split 'test' has no object"):
        evaluate(options, SMALL | {"sets": [each], "held_out": []}, tmp_path / "out", print)


@pytest.mark.slow
def test_shares_wait_for_each_other(whole, data, tmp_path):
    _, report, _ = whole
    test = SMALL | {"held_out": []}
    assert evaluate(_options(data, share=Share(1, 2)), test, tmp_path, print, _TRACKERS) is None
    found, _ = _evaluate(_options(data, share=Share(0, 2)), test, tmp_path)
    assert found["sets"] == report["sets"][:2]


def test_the_set_list_is_the_configs():
    sets = sets_of(TEST)
    assert len(sets) == 9 and [one.name for one in sets if one.zero_shot] == [
        "endovis17", "endovis18/types",
    ]  # fmt: skip
    assert {one.procedure for one in sets if one.zero_shot} == {"nephrectomy"}


def test_command_refuses_in_one_message(tmp_path):
    command = [sys.executable, "-m", "experiments.sam2s.evaluate_sa_sv", f"--data={tmp_path}"]
    command += ["--checkpoint=nano", f"--output={tmp_path / 'out'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "evaluate_sa_sv: --data" in done.stderr
    assert "9 of 9 sets cannot be evaluated" in done.stderr
    assert not (tmp_path / "out").exists()
