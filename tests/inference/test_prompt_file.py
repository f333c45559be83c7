"""Prompt files: what a good one means, and one message for every rule a bad one can break."""

import json
import zlib

import numpy as np
import pytest
from PIL import Image

from surgjax.inference.prompt_file import PromptError, read_prompts

WIDTH, HEIGHT, FRAMES = 40, 30, 10


def _read(tmp_path, content, num_frames=FRAMES):
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_prompts(path, WIDTH, HEIGHT, num_frames)


def _one(**prompt):
    return {"objects": [{"id": 7, "prompts": [{"frame": 3, **prompt}]}]}


def _save_mask(path, value=1, size=(WIDTH, HEIGHT), mode="L"):
    image = np.zeros((size[1], size[0]), np.uint8)
    image[2:5, 3:9] = value
    Image.fromarray(image).convert(mode).save(path)


def test_a_whole_file(tmp_path):
    (tmp_path / "masks").mkdir()
    _save_mask(tmp_path / "masks" / "m.png", value=200)
    content = {
        "objects": [
            {
                "id": 254,
                "name": "grasper",
                "prompts": [
                    {"frame": 9, "mask": "masks/m.png"},
                    {"frame": 0, "points": [[0, 30], [40, 0.5]], "labels": [1, 0]},
                ],
            },
            {"id": 1, "prompts": [{"frame": 2, "points": [[3, 4]], "box": [0, 0, 40, 30]}]},
        ]
    }
    got = _read(tmp_path, content)
    assert [item.object_id for item in got.objects] == [254, 1]
    assert [item.name for item in got.objects] == ["grasper", None]
    assert got.frames == [0, 2, 9]
    clicks, mask = got.objects[0].prompts  # sorted by frame
    np.testing.assert_array_equal(clicks.points_xy, np.array([[0, 30], [40, 0.5]], np.float32))
    np.testing.assert_array_equal(clicks.labels, [1, 0])
    assert mask.mask.dtype == bool and mask.mask.shape == (HEIGHT, WIDTH)
    assert mask.mask.sum() == 18 and mask.mask[2:5, 3:9].all() and mask.points_xy is None
    both = got.objects[1].prompts[0]
    np.testing.assert_array_equal(both.box_xyxy, [0, 0, 40, 30])
    np.testing.assert_array_equal(both.labels, [1])  # the default


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_single_channel_masks_of_any_kind(tmp_path, mode):
    _save_mask(tmp_path / "m.png", value=255, mode=mode)
    if mode == "P":  # palette values are indices, whatever their colours
        image = Image.open(tmp_path / "m.png")
        image.putpalette([0] * 768)
        image.save(tmp_path / "m.png")
    prompt = _read(tmp_path, _one(mask="m.png")).objects[0].prompts[0]
    assert prompt.mask.sum() == 18


def test_empty_mask_is_a_correction_but_not_all_there_is(tmp_path):
    _save_mask(tmp_path / "none.png", value=0)
    with pytest.raises(PromptError, match="object 7: its mask is zero everywhere"):
        _read(tmp_path, _one(mask="none.png"))
    content = _one(mask="none.png")
    content["objects"][0]["prompts"].append({"frame": 0, "points": [[1, 1]]})
    assert not _read(tmp_path, content).objects[0].prompts[1].mask.any()


def test_palette_png_is_one_object_per_value_at_frame_0(tmp_path):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[:5], values[5:8, :4], values[20:] = 3, 200, 255
    image = Image.fromarray(values)  # mode L; a palette turns it into P
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "first.png")
    got = read_prompts(tmp_path / "first.png", WIDTH, HEIGHT, FRAMES)
    assert [item.object_id for item in got.objects] == [3, 200]
    for item in got.objects:
        np.testing.assert_array_equal(item.prompts[0].mask, values == item.object_id)
    assert got.frames == [0]


def test_palette_png_without_objects_of_wrong_size_or_in_colour(tmp_path):
    values = np.full((HEIGHT, WIDTH), 255, np.uint8)
    Image.fromarray(values).save(tmp_path / "none.png")
    with pytest.raises(PromptError, match="marks no object"):
        read_prompts(tmp_path / "none.png", WIDTH, HEIGHT, FRAMES)
    with pytest.raises(PromptError, match="31x30 expected, 40x30 found"):
        read_prompts(tmp_path / "none.png", 31, HEIGHT, FRAMES)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "rgb.png")
    with pytest.raises(PromptError, match="not single-channel: its pixel mode is RGB"):
        read_prompts(tmp_path / "rgb.png", WIDTH, HEIGHT, FRAMES)


def test_a_live_stream_has_no_last_frame(tmp_path):
    content = _one(points=[[1, 1]])
    content["objects"][0]["prompts"][0]["frame"] = 10**6
    assert _read(tmp_path, content, num_frames=None).frames == [10**6]


POINT = {"frame": 3, "points": [[1, 1]]}


def _ids(*ids):
    return {"objects": [{"id": i, "prompts": [POINT]} for i in ids]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ('{"objects": [], "objects": []}', "key objects appears twice"),
        ([], r"an object \{...\} expected, \[\] found"),
        ({}, "key objects is missing"),
        ({"objects": []}, "objects: a list of at least one expected"),
        ({"objects": [], "version": 1}, "unknown key version; the keys are objects"),
        ({"objects": [{"id": 1}]}, r"objects\[0\]: key prompts is missing"),
        ({"objects": [{"id": 1, "prompts": []}]}, "object 1: prompts: a list of at least one"),
        ({"objects": [{"id": 1, "nam": "x", "prompts": [POINT]}]}, "unknown key nam"),
        ({"objects": [{"id": 1, "name": 4, "prompts": [POINT]}]}, "name: a text expected, 4"),
        (_ids(0), r"objects\[0\]: id: an integer from 1 to 254 expected, 0 found"),
        (_ids(255), "from 1 to 254 expected, 255 found"),
        (_ids("1"), 'from 1 to 254 expected, "1" found'),
        (_ids(True), "from 1 to 254 expected, true found"),
        (_ids(1.0), "from 1 to 254 expected, 1.0 found"),
        (_ids(4, 4), "object 4 appears twice"),
        (_one(), "object 7, frame 3: points, a box or a mask expected, none found"),
        (_one(point=[1, 1]), r"object 7, prompts\[0\]: unknown key point"),
        (_one(points=[]), r"frame 3: points: a list \[\[x, y\], ...\] expected"),
        (_one(points=[1, 2]), r"points\[0\]: two numbers \[x, y\] expected, 1 found"),
        (_one(points=[[1, "2"]]), r"points\[0\]: two numbers"),
        (_one(points=[[1, float("nan")]]), r"points\[0\]: two numbers .* NaN\] found"),
        (_one(points=[[1, True]]), r"points\[0\]: two numbers"),
        (_one(points=[[1, 10**400]]), r"points\[0\]: two numbers"),
        (_one(points=[[1, 1], [40.5, 1]]), r"points\[1\]: \(40.5, 1\) lies outside the frame"),
        (_one(points=[[1, -1]]), "x from 0 to 40 and y from 0 to 30 expected"),
        (_one(points=[[1, 1]], labels=[1, 1]), r"labels: a list of 1, one per point, expected"),
        (_one(points=[[1, 1]], labels=[2]), r"labels\[0\]: 1 \(object\) or 0 .* 2 found"),
        (_one(points=[[1, 1]], labels=[True]), r"labels\[0\]: .* true found"),
        (_one(points=[[1, 1], [1, 1]], labels=[1, 0]), r"point \(1, 1\) is labelled both 1 and 0"),
        (_one(box=[1, 1, 2, 2], labels=[1]), "labels belong to points"),
        (_one(box=[1, 1, 2]), r"box: four numbers \[x0, y0, x1, y1\] expected, \[1, 1, 2\] found"),
        (_one(box=[5, 1, 5, 2]), "x0 < x1 and y0 < y1 expected"),
        (_one(box=[1, 1, 41, 2]), r"box: \(41, 2\) lies outside the frame"),
        (_one(mask="m.png", points=[[1, 1]]), "a mask stands alone, points found beside it"),
        (_one(mask="m.png", box=[1, 1, 2, 2]), "a mask stands alone, box found"),
        (_one(mask=3), "mask: the path of an image expected, 3 found"),
        (_one(mask="gone.png"), "mask: file .*gone.png does not exist"),
        (_one(mask="small.png"), "wrong size: the video's 40x30 expected, 20x15 found"),
        (_one(mask="rgb.png"), "not single-channel: its pixel mode is RGB"),
        (_one(mask="broken.png"), "broken.png cannot be read as an image"),
        (_one(box=[1, 1, 2, 2], correction=1), "frame 3: correction: true or false expected, 1"),
        (_one(box=[1, 1, 2, 2], correction=True), "object 7: all of its prompts are corrections"),
    ],
)
def test_each_rule_has_its_message(tmp_path, content, message):
    _save_mask(tmp_path / "m.png")
    _save_mask(tmp_path / "small.png", size=(20, 15))
    _save_mask(tmp_path / "rgb.png", mode="RGB")
    (tmp_path / "broken.png").write_bytes((tmp_path / "m.png").read_bytes()[:40])
    with pytest.raises(PromptError, match=message):
        _read(tmp_path, content)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAMES, "object 7, frame 10: the video has 10 frames, 0 to 9"),
        (-1, "an integer, 0 for the first frame expected, -1 found"),
        ("0", 'an integer, 0 for the first frame expected, "0" found'),
        (None, "an integer, 0 for the first frame expected, null found"),
    ],
)
def test_frames_outside_the_video(tmp_path, frame, message):
    content = {"objects": [{"id": 7, "prompts": [{"frame": frame, "points": [[1, 1]]}]}]}
    with pytest.raises(PromptError, match=message):
        _read(tmp_path, content)


def test_two_entries_for_one_frame(tmp_path):
    content = _one(points=[[1, 1]])
    content["objects"][0]["prompts"].append({"frame": 3, "box": [1, 1, 2, 2]})
    with pytest.raises(PromptError, match="object 7, frame 3: two entries for one frame"):
        _read(tmp_path, content)


def test_corrections_are_told_from_prompts_that_start_an_object(tmp_path):
    content = _one(points=[[1, 1]])
    content["objects"][0]["prompts"] += [
        {"frame": 5, "box": [1, 1, 9, 9], "correction": True},
        {"frame": 1, "mask": "m.png", "correction": True},
        {"frame": 8, "box": [1, 1, 9, 9], "correction": False},
    ]
    _save_mask(tmp_path / "m.png")
    prompts = _read(tmp_path, content)
    assert prompts.frames == [1, 3, 5, 8]
    assert prompts.starts == prompts.objects[0].starts == [3, 8]
    kinds = {p.frame_index: p.is_correction for p in prompts.objects[0].prompts}
    assert kinds == {1: True, 3: False, 5: True, 8: False}


def test_an_image_that_claims_a_huge_size_is_refused(tmp_path):
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    size = (20_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    check = zlib.crc32(b"IHDR" + size).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(header + size + check + b"\x00" * 16)
    with pytest.raises(PromptError, match="huge.png cannot be read as an image"):
        _read(tmp_path, _one(mask="huge.png"))


def test_files_that_are_no_prompts(tmp_path):
    with pytest.raises(PromptError, match="gone.json does not exist"):
        read_prompts(tmp_path / "gone.json", WIDTH, HEIGHT, FRAMES)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(PromptError, match="neither JSON text nor a PNG"):
        read_prompts(tmp_path / "bytes.json", WIDTH, HEIGHT, FRAMES)
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompts(tmp_path, WIDTH, HEIGHT, FRAMES)
