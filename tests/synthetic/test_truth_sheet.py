"""Sheets of truth: colours by hand, a picture on disk, refusals; the page that explains it all."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from surgjax.synthetic import PRESETS, annotators, generate_clip, procedure, truth_sheet

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "synthetic.md"


def test_near_is_red_far_is_blue_and_nothing_is_black():
    near, far, none = truth_sheet.depth_picture(np.array([[25.0, 110.0, 0.0]], np.float32))[0]
    assert near[0] > near[2] and far[2] > far[0] and not none.any()


def test_flow_is_dark_where_still_bright_where_fast_and_white_where_unknown():
    flow = np.zeros((50, 50, 2), np.float32)
    flow[0, 1] = 2, 0
    valid = np.ones((50, 50), bool)
    valid[0, 2] = False
    picture = truth_sheet.flow_picture(flow, valid)
    assert picture[0, 0].max() == 0 and picture[0, 1].max() == 255
    assert (picture[0, 2] == 255).all()


def test_the_sheet_is_written(tmp_path):
    out = tmp_path / "sheet.png"
    truth_sheet.main(["--out", str(out), "--frames", "3", "--seed", "5"])
    assert np.asarray(Image.open(out)).shape == (4 * 256 + 118, 5 * 256, 3)


def test_a_clip_without_depth_or_flow_is_refused():
    with pytest.raises(ValueError, match="needs a clip made with"):
        truth_sheet.truth_sheet(generate_clip(0, 2, 64, PRESETS["surgery"]))


def test_the_page_tells_the_table_and_the_bounds_as_they_are():
    page = PAGE.read_text(encoding="utf-8")
    for phase, hands in procedure.TRIPLETS.items():
        cells = [
            "; ".join(" ".join(line[:3]) for line in hands.get(hand, ())) or "–"
            for hand in procedure.HANDS
        ]
        assert f"| `{phase}` | {' | '.join(cells)} |" in page
    for rater, (low, high) in annotators.IOU_BOUNDS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{rater}`"))
        cell = row.split("|")[3].split()
        assert (float(cell[0]), float(cell[2])) == (low, high)
