"""A prepared set is read as TFDS reads it, decoding only what is asked, and refuses by name."""

import io
import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from surgjax.data import reader
from surgjax.data.reader import PreparedSet
from tests.data import prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    videos = [prepared.moving_square("a", 9), prepared.moving_square("b", 6)]
    videos[1].annotated = (0, 3)
    return prepared.write_set(
        str(tmp_path_factory.mktemp("sets")), "squares", {"train": videos, "test": videos[:1]}
    )


def test_records_equal_those_of_tfds(folder):
    source = tfds.builder_from_directory(folder).as_data_source("train")
    made = PreparedSet(folder)
    for position, (video, t) in {0: (0, 0), 8: (0, 8), 9: (1, 0), 12: (1, 3)}.items():
        entry = made.index.splits["train"][video]
        images, maps, _ = made.read_frames("train", entry, [t], [True])
        np.testing.assert_array_equal(images[0], source[position]["image"])
        np.testing.assert_array_equal(maps[0], source[position]["instances"][..., 0])
        fields = made.encoded("train", position, ("frame_index", "video_id"))
        assert fields == {"frame_index": t, "video_id": entry.video_id.encode()}


def test_decodes_what_is_asked_and_no_more(folder, monkeypatch):
    calls = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *a: calls.append(1) or decode(*a))
    made = PreparedSet(folder)
    entry = made.index.splits["train"][0]
    _, maps, _ = made.read_frames("train", entry, [5, 1, 1, 3], [True, False, True, False])
    assert (made.decoded.images, made.decoded.maps, len(calls)) == (3, 2, 5)
    assert [m is not None for m in maps] == [True, False, True, False]


def test_few_shards_stay_open(folder, monkeypatch):
    monkeypatch.setattr(reader, "_OPEN_SHARDS", 1)
    made = PreparedSet(folder)
    firsts = [made.raw("train", i) for i in (0, 9, 0, 9)]
    assert firsts[0] == firsts[2] != firsts[1] == firsts[3]
    assert len(made._readers) == 1


def test_travels_to_other_processes_and_threads(folder):
    made = PreparedSet(folder)
    want = [made.raw("train", i) for i in range(15)]
    again = pickle.loads(pickle.dumps(made))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: again.raw("train", i), [*range(15)] * 20))
    assert found == want * 20


def _png(image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_maps_are_stored_values():
    values = np.array([[0, 1], [7, 200]], np.uint8)
    palette = PIL.Image.fromarray(values).convert("L")
    palette = PIL.Image.frombytes("P", (2, 2), values.tobytes())
    palette.putpalette([i for k in range(256) for i in (255 - k, k, 30)])
    np.testing.assert_array_equal(reader.decode_map(_png(palette)), values)
    wide = values.astype(np.uint16) * 300
    np.testing.assert_array_equal(reader.decode_map(cv2.imencode(".png", wide)[1].tobytes()), wide)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\nshort",
        _png(PIL.Image.new("1", (2, 2))),  # one bit: OpenCV would give 0 and 255
        _png(PIL.Image.new("RGB", (2, 2))),
        cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes(),
    ],
    ids=["empty", "cut", "one bit", "colours", "jpeg"],
)
def test_other_pictures_are_no_maps(data):
    assert reader.decode_map(data) is None


def test_image_is_rgb_as_stored():
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(reader.decode_image(prepared.encode_image(red, "png")), red)
    turned = io.BytesIO()  # says "show me turned by a quarter"; the mask would not turn
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(red).save(turned, "JPEG", exif=exif, quality=95)
    assert reader.decode_image(turned.getvalue()).shape == (4, 6, 3)
    assert reader.decode_image(b"no picture") is None and reader.decode_image(b"") is None


@pytest.fixture
def copy(folder, tmp_path):
    """A set to be spoilt."""
    return shutil.copytree(folder, tmp_path / "spoilt")


def _edit_index(copy, change):
    path = copy / "clips.json"
    value = json.loads(path.read_text())
    change(value["splits"])
    path.write_text(json.dumps(value))


def test_sets_that_do_not_fit_are_refused(copy, tmp_path):
    _edit_index(copy, lambda splits: splits["train"][1].update(first=10))
    with pytest.raises(ValueError, match="train/b begins at record 10 in the index, expected 9"):
        PreparedSet(copy)
    _edit_index(copy, lambda splits: splits["train"].pop())
    with pytest.raises(ValueError, match="'train' has 15 records, its index 9"):
        PreparedSet(copy)
    _edit_index(copy, lambda splits: splits.update(val=splits.pop("train")))
    with pytest.raises(ValueError, match="index has split 'val', the shards have test, train"):
        PreparedSet(copy)
    os.remove(copy / "dataset_info.json")
    with pytest.raises(ValueError, match="no dataset_info.json"):
        PreparedSet(copy)
    with pytest.raises(ValueError, match="clips.json does not exist"):
        PreparedSet(tmp_path)


def test_records_that_do_not_fit_are_refused(copy):
    _edit_index(copy, lambda splits: splits["train"][0].update(height=47))
    made = PreparedSet(copy)
    first, second = made.index.splits["train"]
    with pytest.raises(ValueError, match=r"record 2 \(a, frame 2\): image is 48x64, .* 47x64"):
        made.read_frames("train", first, [2], [True])
    with pytest.raises(ValueError, match="b has frames 0..5, asked 6"):
        made.read_frames("train", second, [6], [True])
    with pytest.raises(ValueError, match="train has records 0..14, asked 15"):
        made.raw("train", 15)
    with pytest.raises(ValueError, match=r"records have no \['depth'\]"):
        made.encoded("train", 0, ("image", "depth"))
    os.remove(copy / "squares-train.array_record-00001-of-00002")
    with pytest.raises(ValueError, match="00001-of-00002 does not exist"):
        made.raw("train", 9)


def test_version_folder(tmp_path):
    for version in ("1.0.0", "1.10.0", "1.9.0", "1.0.0.incomplete"):
        (tmp_path / "set" / "config" / version).mkdir(parents=True)
    base = tmp_path / "set" / "config"
    assert reader.version_folder(tmp_path, "set/config") == str(base / "1.10.0")
    assert reader.version_folder(tmp_path, "set/config:1.9.0") == str(base / "1.9.0")
    with pytest.raises(ValueError, match="no version 2.0.0 found"):
        reader.version_folder(tmp_path, "set/config:2.0.0")
    with pytest.raises(ValueError, match="no version folder"):
        reader.version_folder(tmp_path, "other")
