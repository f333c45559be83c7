"""The pixel under the pointer is the pixel that is prompted, and masks are drawn where they are."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

WIDTH, HEIGHT = 64, 48
CORNERS = [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]
EDGES = [(0.02, 0.02), (0.98, 0.98), (0.02, 0.98), (0.5, 0.5)]  # places inside a pixel


def _wrong(tab, pixels):
    """Those of the pixels whose clicks prompted another one."""
    before = sum(len(prompt["points"]) for prompt in tab.prompts().values()) if tab.ids() else 0
    for pixel, inside in pixels:
        tab.click(*pixel, inside)
    points = tab.prompts()[0]["points"][before:]
    assert len(points) == len(pixels)
    return [(pixel, got) for (pixel, _), got in zip(pixels, points, strict=True)
            if list(pixel) != got]  # fmt: skip


def _canvas(tab):
    """Its size, and where the video's corner is in it."""
    box = tab.page.locator("#picture").bounding_box()
    corner = (float(tab.page.get_attribute("#picture", f"data-{side}")) for side in ("left", "top"))
    return (box["width"], box["height"]), tuple(corner)


def _look_at(tab, x, y, times):
    """Zooms in on a pixel, which stays under the pointer."""
    where = tab.at(x, y)
    tab.page.mouse.move(*where)
    for _ in range(times):
        before = tab.zoom
        tab.page.mouse.wheel(0, -200)
        tab.page.wait_for_function(
            "before => Number(document.body.dataset.zoom) > before", arg=before
        )
    assert tab.at(x, y) == pytest.approx(where, abs=tab.zoom)


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
def test_the_pixel_clicked_is_the_pixel_prompted(workplace, ratio):
    tab = workplace.tab(ratio=ratio).open().ready(frame=0)
    device = tab.zoom * ratio
    assert device == round(device) and 8 <= tab.zoom <= 11  # fits, with pixels of one size
    some = [*CORNERS, (17, 30)]
    places = [(pixel, EDGES[i % 4]) for i, pixel in enumerate(some)]
    assert _wrong(tab, places) == []
    _look_at(tab, 62, 46, 3)
    assert tab.zoom > 16
    assert _wrong(tab, [((62, 46), inside) for inside in EDGES] + [((63, 47), EDGES[0])]) == []
    # Moved by a middle drag, in a window of another size.
    x, y = tab.at(60, 44)
    tab.page.mouse.move(x, y)
    tab.page.mouse.down(button="middle")
    tab.page.mouse.move(x - 37, y + 23)
    tab.page.mouse.up(button="middle")
    assert tab.at(60, 44) == pytest.approx((x - 37, y + 23), abs=1 / ratio)
    assert _wrong(tab, [((60, 44), EDGES[1])]) == []
    zoom = tab.zoom
    tab.page.set_viewport_size({"width": 1101, "height": 633})
    tab.page.wait_for_function("() => document.getElementById('picture').clientWidth < 900")
    assert tab.zoom == zoom
    middle = tuple(
        int((size / 2 - start) // zoom) for size, start in zip(*_canvas(tab), strict=True)
    )
    assert _wrong(tab, [(middle, inside) for inside in EDGES[:2]]) == []


def test_a_video_larger_than_the_window(workplace):
    workplace.serve(width=1900, height=1300, num_frames=2)
    tab = workplace.tab(ratio=1.5).open().ready(frame=0)
    assert 0.3 < tab.zoom < 0.7
    last = (1899, 1299)
    assert _wrong(tab, [((0, 0), (0.1, 0.1)), (last, (0.9, 0.9)), ((1000, 7), (0.5, 0.5))]) == []


@pytest.mark.parametrize(
    "line, shifted",
    [
        ("return [Math.floor(x), Math.floor(y)];", "return [Math.floor(x + 0.5), Math.floor(y)];"),
        ("event.clientX - rect.left", "event.clientX - rect.left - this.scale / 2"),
        ("(cssY - this.top) / this.scale", "cssY / this.scale"),
    ],
)
def test_a_shift_would_be_found(workplace, line, shifted):
    tab = workplace.tab()

    def change(route):
        source = route.fetch().text()
        assert line in source
        route.fulfill(body=source.replace(line, shifted), content_type="text/javascript")

    tab.page.route("**/view.js", change)
    tab.open().ready(frame=0)
    assert _wrong(tab, [((20, 20), inside) for inside in EDGES])


def test_points_boxes_and_strokes(workplace):
    tab = workplace.tab(ratio=2)
    strokes, paint = [], tab.session.paint

    def recorded(object_id, frame, stroke, radius, erase):
        strokes.append((stroke, radius, erase))
        return paint(object_id, frame, stroke, radius, erase)

    tab.session.paint = recorded
    tab.open().ready(frame=0)
    tab.click(10, 11).click(12, 13, button="right")
    tab.page.keyboard.down("Alt")
    tab.click(14, 15)
    tab.page.keyboard.up("Alt")
    prompt = tab.prompts()[0]
    assert (prompt["points"], prompt["labels"]) == ([[10, 11], [12, 13], [14, 15]], [1, 0, 0])
    tab.drag((40, 30), (35, 20), (20, 9))  # up and to the left
    assert tab.prompts()[0]["box"] == [20, 9, 40, 30]
    assert len(tab.prompts()[0]["points"]) == 3
    tab.drag((5, 5), (-3, -2))  # what leaves the frame ends at its edge
    assert tab.prompts()[0]["box"] == [0, 0, 5, 5]

    tab.press("g", "}", "}")
    radius = int(tab.data("radius"))
    path = [(30, 30), (36, 31), (44, 40)]
    tab.drag(*path)
    tab.drag((50, 20), (51, 20), button="right")
    tab.press("e")
    tab.click(31, 30)
    assert strokes == [
        ([list(pixel) for pixel in path], radius, False),
        ([[50, 20], [51, 20]], radius, True),
        ([[31, 30]], radius, True),
    ]


@pytest.mark.parametrize("ratio", [1, 2])
def test_mask_pixels_are_drawn_where_they_are(workplace, ratio):
    server = workplace.serve()
    rng = np.random.default_rng(5)
    for object_id in (1, 2):
        server.session.add_object()
        for x, y in rng.integers(0, (WIDTH, HEIGHT), (40, 2)).tolist():
            server.session.paint(object_id, 0, [[x, y]], 1.5, False)
    tab = workplace.tab(ratio=ratio).open().seen()
    tab.press(*["o"] * 6).ready(opacity=1).seen()
    labels, _ = server.session.masks(0)
    _look_at(tab, 30, 20, 1)
    tab.page.mouse.move(1200, 300)  # away, with the mark of its pixel
    tab.page.wait_for_timeout(100)
    with Image.open(io.BytesIO(tab.page.screenshot())) as image:
        shown = np.asarray(image.convert("RGB"), int)
    colours = {i: ImageColor.getrgb(item["colour"])
               for i, item in enumerate(server.session.describe()["objects"], 1)}  # fmt: skip
    counts = {0: 0, 1: 0, 2: 0}
    (left, top), zoom = tab.at(0, 0, (0, 0)), tab.zoom
    box = tab.page.locator("#picture").bounding_box()
    for y, x in np.ndindex(HEIGHT, WIDTH):
        for inside in (0.35, 0.5, 0.65):  # away from the outlines along its edges
            across, down = left + (x + inside) * zoom, top + (y + inside) * zoom
            if not (0 <= across - box["x"] < box["width"] and 0 <= down - box["y"] < box["height"]):
                continue
            colour = shown[int(down * ratio), int(across * ratio)]
            found = [i for i, wanted in colours.items() if np.abs(colour - wanted).max() <= 2]
            label = int(labels[y, x])
            assert found == ([label] if label else []), (x, y, colour)
            counts[label] += 1
    assert min(counts.values()) > 300, counts


@pytest.mark.parametrize("ratio", [1.25, 1.5, 2])
def test_magnified_pixels_are_squares_of_one_colour(workplace, ratio):
    tab = workplace.tab(ratio=ratio).open().seen()
    _look_at(tab, 22, 24, 2)  # the last pixel of the disc
    tab.page.mouse.move(1200, 300)
    tab.page.wait_for_timeout(100)
    with Image.open(io.BytesIO(tab.page.screenshot())) as image:
        shown = np.asarray(image.convert("RGB"), int)
    left, top = (value * ratio for value in tab.at(22, 24, (0, 0)))
    size = round(tab.zoom * ratio)
    assert left == pytest.approx(round(left), abs=0.05) and size > 16
    squares = []
    for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1)):
        x, y = round(left) + dx * size, round(top) + dy * size
        squares.append(shown[y : y + size, x : x + size].reshape(-1, 3))
        assert np.ptp(squares[-1], axis=0).max() <= 1, (dx, dy)
    assert np.abs(squares[0][0] - squares[1][0]).max() > 60
