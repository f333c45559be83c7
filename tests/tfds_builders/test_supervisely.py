"""Shapes of Supervisely's annotation files."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from tfds_builders.kit import supervisely
from tfds_builders.kit.archive import LabelError

SQUARE = [[2, 1], [6, 1], [6, 5], [2, 5]]


def written(tmp_path, *objects, height=8, width=10):
    path = tmp_path / "a.png.json"
    supervisely.write(path, list(objects), height, width)
    return path


def test_a_polygon_with_a_hole(tmp_path):
    hole = [[3, 2], [5, 2], [5, 4], [3, 4]]
    path = written(tmp_path, supervisely.write_polygon("Lens", SQUARE, [hole]))
    size, [(title, mask)] = supervisely.read(path)
    expected = np.zeros((8, 10), bool)
    expected[1:6, 2:7] = True
    expected[2:5, 3:6] = False
    assert (size, title) == ((8, 10), "Lens")
    assert mask.tolist() == expected.tolist()


def test_a_polygon_may_lack_its_kind_and_its_holes(tmp_path):
    item = dict(classTitle="Lens", points=dict(exterior=SQUARE))
    _, [(_, mask)] = supervisely.read(written(tmp_path, item))
    assert mask.sum() == 25


@pytest.mark.parametrize("mode", ["1", "L", "RGBA"])
def test_a_bitmap_lies_at_its_origin(tmp_path, mode):
    drawn = np.zeros((8, 10), bool)
    drawn[2:5, 4:9] = [[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1]]
    item = supervisely.write_bitmap("Spatula", drawn)
    if mode == "RGBA":  # Supervisely's own files: the mask is the alpha channel
        pixels = np.zeros((3, 5, 4), np.uint8)
        pixels[..., 3] = drawn[2:5, 4:9] * 255
        item["bitmap"]["data"] = packed(Image.fromarray(pixels))
    elif mode == "L":
        item["bitmap"]["data"] = packed(Image.fromarray(drawn[2:5, 4:9].astype(np.uint8) * 255))
    assert item["bitmap"]["origin"] == [4, 2]
    _, [(_, mask)] = supervisely.read(written(tmp_path, item))
    assert mask.tolist() == drawn.tolist()


def packed(picture) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def test_a_bitmap_that_fills_its_rectangle(tmp_path):
    drawn = np.zeros((8, 10), bool)
    drawn[1:4, 2:6] = True
    _, [(_, mask)] = supervisely.read(written(tmp_path, supervisely.write_bitmap("x", drawn)))
    assert mask.tolist() == drawn.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(bitmap=dict(data="!", origin=[0, 0])), "object 0: a damaged bitmap"),
        (dict(bitmap=dict(data=base64.b64encode(b"x").decode(), origin=[0, 0])), "damaged bitmap"),
        (
            dict(bitmap=dict(data=base64.b64encode(zlib.compress(b"x")).decode(), origin=[0, 0])),
            "object 0: its bitmap is no image",
        ),
        (dict(geometryType="line"), "expected a polygon or a bitmap, found 'line'"),
        (dict(geometryType="polygon"), "object 0: a damaged polygon .*points"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, message):
    item = {**supervisely.write_bitmap("x", np.ones((2, 2), bool)), **change}
    with pytest.raises(LabelError, match=message):
        supervisely.read(written(tmp_path, item))


def test_a_bitmap_beyond_the_image_is_refused(tmp_path):
    item = supervisely.write_bitmap("x", np.ones((3, 3), bool))
    item["bitmap"]["origin"] = [8, 0]
    with pytest.raises(LabelError, match="from 8, 0 to 11, 3 does not lie in the 10x8 image"):
        supervisely.read(written(tmp_path, item))


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"objects": []})])
def test_a_file_that_is_no_annotation_is_named(tmp_path, text):
    path = tmp_path / "a.png.json"
    path.write_text(text)
    with pytest.raises(LabelError, match="a.png.json: not an annotation of Supervisely"):
        supervisely.read(path)
