"""The page in a real browser: it is drawn, in its colours, and nothing sticks out of it."""

import html
import json
import re
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageColor

from surgjax.evaluation import html_report, worst_frames
from surgjax.evaluation.folder_run import score_folders
from tests.chromium import find_chromium
from tests.evaluation import folders
from tests.evaluation.folders import square

BLUE, ORANGE = "#0072B2", "#D55E00"  # J and F, colours of Okabe and Ito

# Run in a copy of the page only: where things are, left in an attribute of the body.
_MEASURE = """<script>
const box = element => {
  const r = element.getBoundingClientRect();
  return [r.left, r.top, r.right, r.bottom];
};
const all = name => [...document.querySelectorAll(name)];
document.body.dataset.places = JSON.stringify({
  page: [document.documentElement.scrollWidth, document.documentElement.clientWidth],
  svg: all("svg").map(box), img: all("img").map(box),
  loaded: all("img").every(e => e.complete && e.naturalWidth > 0),
  table: all("table").map(e => ({id: e.id, box: box(e), holds: e.scrollWidth,
    shows: e.clientWidth, overflow: getComputedStyle(e).overflowX})),
});
</script></body>"""


@pytest.fixture(scope="module")
def browser():
    return find_chromium()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with every part; object 2 of the first sequence is away on frame 3."""
    root = tmp_path_factory.mktemp("page")
    truth = [square((1, 4, 4 + t, 10), *[(2, 20, 30, 12)] * (t != 3)) for t in range(6)]
    for side, shift in (("gt", 0), ("first", 6), ("second", 3)):
        name = "a rather long name of a sequence, as data sets have them, with words"
        folders.write(root / side / name, [np.roll(m, shift, 1) for m in truth])
        folders.write(root / side / "b", truth)
    first, second = (score_folders("davis17", str(root / s), str(root / "gt"))
                     for s in ("first", "second"))  # fmt: skip
    path = root / "report.html"
    prompted = dict.fromkeys(first["stems"], ["00000"])
    path.write_text(html_report.build_page(first, others={"second": second}, prompted=prompted))
    return path


def _run(browser, *arguments):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _places(browser, page, width, height):
    measured = page.with_name("measured.html")
    measured.write_text(page.read_text().replace("</body>", _MEASURE))
    size = f"--window-size={width},{height}"
    dom = _run(browser, size, "--dump-dom", measured.as_uri())
    found = re.search(r'data-places="([^"]*)"', dom)
    assert found, "the page has no body"
    return json.loads(html.unescape(found[1]))


def _count(pixels, colour, least=0.35):
    """How many pixels have a colour, or at least so much of it beside white, as edges have."""
    ink, full = 255.0 - pixels, 255.0 - np.array(colour)
    amount = ink @ full / (full @ full)
    pure = np.abs(ink - amount[..., None] * full).max(-1) <= 10
    return int((pure & (amount >= least)).sum())


def test_charts_and_pictures_are_drawn_in_their_colours(browser, page, tmp_path):
    places = _places(browser, page, 1280, 5000)
    picture = tmp_path / "page.png"
    _run(browser, "--window-size=1280,5000", f"--screenshot={picture}", page.as_uri())
    with Image.open(picture) as image:
        pixels = np.array(image.convert("RGB"))
    assert pixels.shape == (5000, 1280, 3)

    def part(box):
        left, top, right, bottom = (round(value) for value in box)
        assert 0 <= left < right <= 1280 and 0 <= top < bottom <= 5000, box
        return pixels[top:bottom, left:right]

    assert len(places["svg"]) == 2 * 4 and places["loaded"]
    for chart, strip in zip(places["svg"][::2], places["svg"][1::2], strict=True):
        # Where both are 1, F lies on J, which is seen between its dashes; its dots are pure.
        for colour, least in ((BLUE, 150), (ORANGE, 25)):
            assert _count(part(chart), ImageColor.getrgb(colour)) > least, colour
        assert _count(part(chart), (17, 17, 17)) > 20  # the mark of a prompt
        assert _count(part(chart), (221, 221, 221), 0.9) > 300  # two frames that do not count
        for colour in ("#555555", "#56B4E9"):  # five or six bars of 10 pixels height
            assert _count(part(strip), ImageColor.getrgb(colour)) > 3000, colour
    for chart in places["svg"][:4:2]:  # where J and F differ both lines are seen
        for colour in (BLUE, ORANGE):
            assert _count(part(chart), ImageColor.getrgb(colour)) > 150, colour
    shown = np.concatenate([part(box).reshape(-1, 3) for box in places["img"]])
    for colour in (worst_frames.RIGHT, worst_frames.MISSED, worst_frames.FALSE):
        mixed = 0.35 * 40 + 0.65 * np.array(colour)
        assert (np.abs(shown - mixed).max(-1) <= 2).sum() > 100, colour


@pytest.mark.parametrize("width", [1280, 600])
def test_nothing_sticks_out_of_the_page(browser, page, width):
    places = _places(browser, page, width, 2000)
    held, shown = places["page"]
    assert shown == width and held <= width, places["page"]
    for box in (*places["svg"], *places["img"]):
        assert 0 <= box[0] < box[2] <= width, box
    wide = [table for table in places["table"] if table["holds"] > table["shows"]]
    assert "per_object" in {table["id"] for table in places["table"]}
    for table in places["table"]:
        assert 0 <= table["box"][0] < table["box"][2] <= width, table
    for table in wide:  # such a table scrolls by itself
        assert table["overflow"] == "auto", table
    assert bool(wide) == (width == 600)
