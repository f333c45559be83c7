"""Label images, look-ups and sizes by hand."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tfds_builders.kit import archive
from tfds_builders.kit.archive import CorruptImage, LabelError


def test_a_palette_image_gives_its_indices(tmp_path):
    picture = Image.new("P", (3, 2))
    picture.putdata([0, 1, 2, 3, 4, 255])
    picture.putpalette([7] * 768)  # every colour the same: OpenCV could not tell them apart
    picture.save(tmp_path / "mask.png")
    assert archive.read_labels(tmp_path / "mask.png").tolist() == [[0, 1, 2], [3, 4, 255]]


def test_sixteen_bits_and_one_bit_survive(tmp_path):
    wide = np.array([[0, 300], [65535, 1]], np.uint16)
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    np.testing.assert_array_equal(archive.grey_labels(tmp_path / "wide.png"), wide)
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "one.png")
    assert archive.grey_labels(tmp_path / "one.png").tolist() == [[1, 0]]


def test_three_equal_channels_are_one_number_and_colours_are_refused(tmp_path):
    grey = np.repeat(np.array([[[5], [6]]], np.uint8), 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert archive.grey_labels(tmp_path / "grey.png").tolist() == [[5, 6]]
    grey[0, 0, 1] = 9
    Image.fromarray(grey).save(tmp_path / "colour.png")
    with pytest.raises(LabelError, match=r"colour\.png: expected a grey"):
        archive.grey_labels(tmp_path / "colour.png")


def test_look_up_renames_and_refuses_what_it_does_not_know():
    labels = np.array([[0, 50], [13, 50]])
    assert archive.look_up(labels, {0: 0, 50: 1, 13: 2}, "m").tolist() == [[0, 1], [2, 1]]
    with pytest.raises(LabelError, match=r"m\.png: unknown label value 13; expected 0, 50"):
        archive.look_up(labels, {0: 0, 50: 1}, "m.png")


def test_look_up_by_colour():
    labels = np.array([[[0, 0, 0], [0, 255, 0]]], np.uint8)
    table = {(0, 0, 0): 0, (0, 255, 0): 3}
    assert archive.look_up_colours(labels, table, "m").tolist() == [[0, 3]]
    labels[0, 0, 2] = 1
    with pytest.raises(LabelError, match=r"unknown label colour \(0, 0, 1\)"):
        archive.look_up_colours(labels, table, "m")
    with pytest.raises(LabelError, match="expected a colour"):
        archive.look_up_colours(labels[..., 0], table, "m")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_half_an_image_is_damaged(tmp_path, suffix):
    """OpenCV would hand over what there is of a JPEG, the rest grey."""
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(suffix, image)[1].tobytes()
    assert archive.check_image(data, "whole") == (64, 64)
    with pytest.raises(CorruptImage, match="frame7"):
        archive.check_image(data[: len(data) // 2], "frame7")
    with pytest.raises(CorruptImage, match="frame8"):
        archive.check_image(b"", "frame8")


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((1280, 1024), 512, (640, 512)),
        ((1024, 1280), 512, (512, 640)),
        ((400, 300), 512, (400, 300)),
        ((854, 480), None, (854, 480)),
        ((854, 480), 240, (427, 240)),
    ],
)
def test_shrunk_size(size, side, expected):
    assert archive.shrunk_size(*size, side) == expected
    labels = np.zeros(size[::-1], np.uint8)
    assert archive.shrink_labels(labels, side).shape == expected[::-1]


def test_an_image_that_is_small_enough_keeps_its_bytes():
    data = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    assert archive.shrink(data, 40) is data
    small = cv2.imdecode(np.frombuffer(archive.shrink(data, 20), np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    assert small.shape == (20, 30, 3)


def test_a_shrunk_frame_stays_as_it_is_stored_whatever_exif_says(tmp_path):
    """Masks have no EXIF: a turn of the frame alone would part the two."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40] = 255
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture.save(tmp_path / "turned.jpg", exif=exif.tobytes())
    data = (tmp_path / "turned.jpg").read_bytes()
    assert archive.check_image(data, "turned.jpg") == (80, 40)
    shrunk = archive.shrink(data, 20)
    small = cv2.imdecode(np.frombuffer(shrunk, np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    assert small.shape == (20, 40, 3)
    assert small[:, :18].min() > 200 and small[:, 22:].max() < 50


def test_a_spoilt_header_is_damage_and_names_the_file(tmp_path):
    """Pillow answers such headers with errors of many kinds."""
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    truncated = data[:8] + b"\0\0\0\4" + data[12:]
    picture = bytearray(cv2.imencode(".bmp", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    picture[18:26] = (60_000).to_bytes(4, "little") * 2
    for name, spoilt in (("a.png", truncated), ("b.bmp", picture)):
        (tmp_path / name).write_bytes(spoilt)
        with pytest.raises(CorruptImage, match=name):
            archive.check_image(bytes(spoilt), name)
        with pytest.raises(CorruptImage, match=name):
            archive.read_labels(tmp_path / name)
        with pytest.raises(CorruptImage, match=name):
            archive.size_of(tmp_path / name)


def test_a_picture_that_training_could_not_decode_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", "PPM")
    with pytest.raises(CorruptImage, match="a.jpg: expected one of JPEG, .*found PPM"):
        archive.check_image((tmp_path / "a.jpg").read_bytes(), tmp_path / "a.jpg")
