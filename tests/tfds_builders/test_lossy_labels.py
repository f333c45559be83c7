"""Label images that were saved as JPEG: borders are blurred, foreign areas are refused."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tfds_builders.kit import archive, fake

RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
TABLE = {BLACK: 0, RED: 1, GREEN: 2}


def picture():
    """Black with a red square and a green square, and the labels."""
    labels = np.zeros((80, 120), np.uint8)
    labels[16:64, 16:56] = 1
    labels[16:64, 64:104] = 2
    return np.array([BLACK, RED, GREEN], np.uint8)[labels], labels


def test_a_jpeg_of_pure_colours_comes_back_but_for_its_borders(tmp_path):
    colours, labels = picture()
    path = tmp_path / "mask.jpeg"
    seen = fake.write_image(path, colours)
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 3  # the noise is there
    found = archive.lossy_labels(path, TABLE)
    inner = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((5, 5))) == 0
    np.testing.assert_array_equal(found[inner], labels[inner])
    assert (found != labels).mean() < 0.02


def test_a_grey_mask_is_cut_at_127(tmp_path):
    values = np.array([[0, 3, 127, 128, 250, 255]], np.uint8)
    path = tmp_path / "mask.png"
    fake.write_labels(path, values)
    assert archive.binary_labels(path).tolist() == [[0, 0, 0, 1, 1, 1]]


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 255, 0), (0, 0, 255), (128, 128, 128)])
def test_an_area_of_another_colour_is_refused(tmp_path, colour):
    colours, _ = picture()
    colours[64:80, 100:120] = colour
    path = tmp_path / "mask.jpeg"
    fake.write_image(path, colours)
    with pytest.raises(archive.LabelError, match="mask.jpeg: unknown label colour .* around x 1"):
        archive.lossy_labels(path, TABLE)


def test_a_thin_line_of_another_colour_counts_as_border(tmp_path):
    colours, labels = picture()
    colours[70:74] = 128
    path = tmp_path / "mask.png"
    fake.write_labels(path, colours)
    assert archive.lossy_labels(path, TABLE)[16:64].tolist() == labels[16:64].tolist()


def test_sixteen_bits_are_refused(tmp_path):
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.zeros((9, 9), np.uint16))
    with pytest.raises(archive.LabelError, match="expected 8 bits"):
        archive.binary_labels(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_mask_of_single_bits_or_with_a_palette_is_what_it_looks_like(tmp_path, suffix):
    truth = np.array([[0, 1, 1], [1, 0, 0]], bool)
    bits = Image.fromarray(truth)
    bits.save(tmp_path / f"bits{suffix}")
    palette = Image.fromarray(truth.astype(np.uint8)).convert("P")
    palette.putdata(truth.ravel().astype(int).tolist())
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(tmp_path / f"palette{suffix}")
    for name in ("bits", "palette"):
        found = archive.binary_labels(tmp_path / f"{name}{suffix}")
        assert found.tolist() == truth.astype(int).tolist(), name


def test_a_mask_of_zeros_and_ones_is_refused_rather_than_empty(tmp_path):
    path = tmp_path / "mask.png"
    fake.write_labels(path, np.array([[0, 1]], np.uint8))
    with pytest.raises(archive.LabelError, match=r"mask.png: unknown label value 1; .* 0 and 255"):
        archive.binary_labels(path)
    fake.write_labels(path, np.zeros((2, 2), np.uint8))
    assert not archive.binary_labels(path).any()
