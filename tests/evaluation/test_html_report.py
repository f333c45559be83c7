"""The page: self-contained, well formed, and what it shows; intervals of known differences."""

import html.parser
import re

import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation import html_report, report_files, worst_frames
from surgjax.evaluation.folder_protocols import PROTOCOLS
from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.mask_folders import find_sequences, pair_sequences
from surgjax.evaluation.page_options import PageOptions
from surgjax.inference.output_folder import OutputFolder
from surgjax.metrics.object_scores import PRESETS
from tests.evaluation import folders
from tests.evaluation.folders import square

_VOID = {"meta", "img", "br", "line", "rect", "path", "circle", "polyline", "wbr"}


class _Page(html.parser.HTMLParser):
    """Counts tags and checks that they close in order."""

    def __init__(self, text):
        super().__init__()
        self.counts, self.open, self.texts, self.sources = {}, [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        if tag not in _VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            assert tag in _VOID, (tag, self.open)

    def handle_data(self, data):
        self.texts.append(data)


def _page(text):
    return _Page(re.sub(r"<!doctype html>", "", text))


@pytest.fixture
def both(tmp_path):
    return folders.two_sequences(tmp_path)


def test_page_shows_every_part_and_needs_no_network(both):
    report = score_folders("davis17", *both, prompt_source="box", split="fold<1>")
    text = html_report.build_page(report, prompted={"a": ["00000"]})
    page = _page(text)
    assert page.sources and all(s.startswith("data:image/png;base64,") for s in page.sources)
    assert not re.search(r"https?://|<script|@import|url\(", text)
    assert page.counts["svg"] == 2 * 4  # a chart and a strip for each of four objects
    assert page.counts["img"] == 4 * 3  # four objects, three scored frames each
    shown = " ".join(page.texts)
    for part in ("davis17", "box", "fold<1>", "a, object 2", "Worst frames", f"{report['J']:.4f}"):
        assert part in shown, part
    assert text.count("prompt on 00000") == 2  # the two objects of sequence a
    assert text.count("not scored") == 2 * 4


@pytest.mark.parametrize("protocol", ["endovis_type", "dice", "temporal"])
def test_other_protocols_have_tables(both, protocol):
    report = score_folders(protocol, *both)
    page = _page(html_report.build_page(report))
    assert page.counts["table"] >= 3 and "svg" not in page.counts
    assert all(name in page.texts for name in report_files.measures(report))


def test_runs_are_compared_over_the_same_objects(both, tmp_path):
    predictions, truth = both
    worse = score_folders("davis17", predictions, truth)
    output = OutputFolder(tmp_path / "out", report_files.FILES, overwrite=True)
    report_files.write_report(worse, output, html_report.build_page(worse))
    earlier = report_files.read_report(tmp_path / "out")
    perfect = score_folders("davis17", truth, truth)
    text = html_report.build_page(perfect, others={"before": earlier}, name="now")
    shown = " ".join(_page(text).texts)
    assert f"{1 - worse['J']:+.4f}" not in shown and f"{worse['J'] - 1:+.4f}" in shown
    # Sequence b is equal, sequence a worse by twice the mean.
    assert f"{2 * (worse['J'] - 1):+.4f} to +0.0000" in shown
    sav = score_folders("sav", truth, truth)
    with pytest.raises(ValueError, match="--compare before: protocol davis17 cannot be compared"):
        html_report.build_page(sav, others={"before": earlier})
    with pytest.raises(ValueError, match="nothing/report.json: no report can be read"):
        report_files.read_report(tmp_path / "nothing")


def test_worst_rows_take_turns_between_objects():
    rows = [
        {"sequence": "a", "object": i, "frame": str(t), "J": j, "F": j}
        for i, scores in ((1, (0.0, 0.1, 0.2)), (2, (0.9, 0.5)))
        for t, j in enumerate(scores)
    ]
    order = [(row["object"], row["J"]) for row in worst_frames.worst_rows(rows, 4)]
    assert order == [(1, 0.0), (2, 0.5), (1, 0.1), (2, 0.9)]


def test_picture_colours_found_missed_and_false(tmp_path):
    predictions = folders.write(tmp_path / "pred", [square((1, 0, 10, 20))] * 2)
    truth = folders.write(tmp_path / "gt", [square((1, 0, 0, 20))] * 2)
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (60, 40), (200, 100, 0)).save(tmp_path / "frames" / "00001.png")
    pair = pair_sequences(find_sequences(predictions, "p"), find_sequences(truth, "t"))[0][0]
    plain, lacks = worst_frames.draw(pair, 1, "00001")
    tinted = worst_frames.draw(pair, 1, "00001", str(tmp_path / "frames")).pixels
    assert not lacks  # none was asked for
    for picture, ground in ((plain, (40, 40, 40)), (tinted, (200, 100, 0))):
        assert tuple(picture[30, 50]) == ground
        for column, colour in ((15, worst_frames.RIGHT), (5, worst_frames.MISSED),
                               (25, worst_frames.FALSE)):  # fmt: skip
            wanted = 0.35 * np.array(ground) + 0.65 * np.array(colour)
            assert np.abs(picture[5, column] - wanted).max() <= 1


def test_pictures_without_their_image_are_counted(both, tmp_path):
    for name, size in (("a", (60, 40)), ("b", (30, 20))):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for t in range(4):
            Image.new("RGB", size).save(tmp_path / "frames" / name / f"{t:05d}.png")
    report = score_folders("resurg", *both)
    text = html_report.build_page(report, frames=str(tmp_path / "frames"))
    # Of 20 pictures those of `b` are of another size, and the two of frame 4 of `a` have none.
    found = re.findall(r"Note: (\d+ of \d+) pictures lack their image; ([^<]*)", text)
    assert [count for count, _ in found] == ["12 of 20"]
    assert "is 30x20 pixels, its masks are 60x40" in found[0][1] or "no image of a" in found[0][1]
    _page(text)
    assert "lack their image" not in html_report.build_page(report)


def test_page_options_are_refused_where_nothing_would_come_of_them(both, tmp_path):
    truth = both[1]
    for options, protocol, message in [
        (PageOptions(frames="nowhere"), "davis17", "--frames nowhere: no such folder"),
        (PageOptions(frames=truth), "hota", "--frames: the page of protocol hota shows no frames"),
        (PageOptions(prompted=("first",)), "temporal", "--prompted: the page of protocol temporal"),
        (
            PageOptions(prompted=("first", "7")),
            "sav",
            "--prompted 7: .*; expected first, or",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            options.check(protocol, truth)
    options = PageOptions(truth, ("first", "00003"))
    options.check("davis17", truth)
    assert options.marks({"stems": {"a": ("00000", "00003")}}) == {"a": ["00000", "00003"]}
    for protocol in PROTOCOLS:
        assert ("stems" in score_folders(protocol, *both)) == (protocol in PRESETS)
