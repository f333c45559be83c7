"""Folders that cannot be scored as they are, or hardly: what is said, with the file's name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surgjax.evaluation.folder_run import score_folders
from surgjax.evaluation.options import Options
from tests.evaluation import folders
from tests.evaluation.folders import refused, square


@pytest.fixture
def both(tmp_path):
    return folders.two_sequences(tmp_path)


def test_bad_flow_is_explained(tmp_path):
    predictions = folders.write(tmp_path / "pred", [square((1, 5, 5, 10))] * 2)
    flow = tmp_path / "flow"
    flow.mkdir()
    path, good = flow / "00001.npy", np.zeros((4, 6, 2), np.float32)
    options = Options(flow=str(flow))
    for bad, message in (
        (good[:0], r"float32 \(0, 6, 2\) found"),
        (good[..., 0], r"float32 \(4, 6\) found"),
        (good.astype(int), r"int64 \(4, 6, 2\) found"),
        (good + np.nan, "NaN or infinite"),
    ):
        np.save(path, bad)
        with pytest.raises(ValueError, match=rf"flow/00001.npy: it holds no .*{message}"):
            score_folders("temporal", predictions, options=options)
    with path.open("wb") as file:
        np.savez(file, flow=good)
    with pytest.raises(ValueError, match=r"flow/00001.npy: it holds no .*NpzFile found"):
        score_folders("temporal", predictions, options=options)
    path.unlink()
    (flow / "00001.flo").write_bytes(b"PIEH")
    with pytest.raises(ValueError, match="flow/00001.flo: it holds no optical flow"):
        score_folders("temporal", predictions, options=options)
    with pytest.raises(ValueError, match="jobs=2: the flow function cannot be sent to other"):
        score_folders("temporal", predictions, options=Options(flow=lambda *_: good), jobs=2)
    with pytest.raises(ValueError, match="00001.png: flow: .*expected, NoneType found"):
        nothing: Any = lambda *_: None  # noqa: E731
        score_folders("temporal", predictions, options=Options(flow=nothing))


def test_missing_predictions(both):
    predictions, truth = both
    (Path(predictions) / "a" / "00002.png").unlink()
    with pytest.raises(ValueError, match=r"pred/a/00002.png: this prediction is missing \(1 in"):
        score_folders("davis17", predictions, truth)
    report = score_folders("davis17", predictions, truth, missing="empty")
    assert report["per_object"][0]["J"] == pytest.approx(2 / 3)
    assert "1 missing predictions counted as empty" in report["notes"][0]
    for path in (Path(predictions) / "b").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"00002.png: this prediction is missing \(6 in all"):
        score_folders("davis17", predictions, truth)
    report = score_folders("davis17", predictions, truth, missing="empty")
    assert [row["J"] for row in report["per_object"][2:]] == [0, 0]


@pytest.mark.parametrize("protocol", ["davis17", "sav", "resurg"])
def test_an_object_without_a_folder_of_predictions_is_missing(tmp_path, protocol):
    truth = [square((1, 5, 5, 10), (2, 20, 20, 10))] * 4
    folders.write(tmp_path / "gt" / "v", truth)
    folders.write(tmp_path / "pred" / "v" / "001", [square((1, 5, 5, 10))] * 4)
    both = str(tmp_path / "pred"), str(tmp_path / "gt")
    message = r"pred/v/002: this folder of predictions is missing; .*gt/v/00000.png shows id 2"
    with pytest.raises(ValueError, match=message):
        score_folders(protocol, *both)
    report = score_folders(protocol, *both, missing="empty")
    assert [row["J"] for row in report["per_object"]] == [1, 0]
    assert report["notes"] == [f"{tmp_path}/pred/v/002: missing, object 2 counted as empty"]


def test_two_folders_of_one_object_arerefused(tmp_path):
    for name in ("1", "01"):
        folders.write(tmp_path / "pred" / "v" / name, [square((1, 5, 5, 10))] * 4)
    both = str(tmp_path / "pred"), folders.write(tmp_path / "gt", [square((1, 5, 5, 10))] * 4)
    refused(both, r"pred/v/01 and .*pred/v/1 are both folders of object 1; expected one")


def test_wrong_files_are_named(both):
    predictions, truth = both
    path = Path(predictions) / "a" / "00001.png"
    good = path.read_bytes()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path)
    refused(both, r"pred/a/00001.png: pixel mode RGB; expected an 8-bit palette or grey")
    Image.fromarray(np.zeros((40, 61), np.uint8)).save(path)
    refused(both, r"pred/a/00001.png is 61x40 pixels \(width x height\), .*gt/a/00001.png is 60x40")
    path.write_bytes(good[:60])
    refused(both, r"pred/a/00001.png: it (is not an image|cannot be read)")
    path.write_bytes(b"no image")
    refused(both, r"pred/a/00001.png: it is not an image, or it is damaged")
    Image.fromarray(np.zeros((40, 60), np.uint16)).save(path)
    refused(both, r"pred/a/00001.png: pixel mode I;16")
    Image.fromarray(square((7, 4, 4, 10))).save(path)
    refused(both, r"pred/a/00001.png: it holds id 7, which the ground truth of 'a' never shows")
    notes = score_folders("sav", *both)["notes"]
    assert "holds id 7" in notes[0] and "not scored" in notes[0]
    with pytest.raises(ValueError, match=r"00001.png: class ids 0 to 6 expected, 7 found"):
        score_folders("endovis_type", *both, options=Options(num_classes=6))


@pytest.mark.parametrize("protocol", ["davis17", "endovis_type", "dice"])
def test_binary_masks_of_255_are_explained(tmp_path, protocol):
    ones, full = [[square((i, 5, 5, 10))] * 3 for i in (1, 255)]
    ones, full = folders.write(tmp_path / "ones", ones), folders.write(tmp_path / "full", full)
    with pytest.raises(ValueError, match="full: its PNGs hold 0 and 255 only. 255 in the ground"):
        score_folders(protocol, full, full)
    with pytest.raises(ValueError, match="full/00000.png: .*255"):
        score_folders(protocol, full, ones)
    objects = folders.write(tmp_path / "objects" / "a" / "001", [square((255, 5, 5, 10))] * 3)
    root = str(Path(objects).parents[1])
    assert score_folders("sav", root, root)["JF"] == 1


def test_a_sequence_without_objects_is_noted(both):
    folders.write(Path(both[0]) / "b", [square()] * 5)
    folders.write(Path(both[1]) / "b", [square()] * 5)
    report = score_folders("davis17", *both)
    assert report["notes"] == ["the ground truth of 'b' shows no object"]
    assert len(report["per_object"]) == 2


def test_a_palette_that_swaps_ids_is_named(both):
    path = Path(both[0]) / "a" / "00001.png"
    label_map = np.array(Image.open(path))
    black, red, green = (0, 0, 0), (128, 0, 0), (0, 128, 0)
    wanted = score_folders("davis17", *both)["J"]
    swapped = np.array([0, 2, 1], np.uint8)[label_map]
    folders.write_palette(path, swapped, [black, green, red])  # looks right, its values are not
    refused(both, r"pred/a/00001.png: its palette gives value 1 the colour that .* gives id 2")
    refused(both, r"Write the ids as values; if they are, save the file as a grey PNG")
    folders.write_palette(path, label_map, [black, green, red])  # looks wrong, its values are right
    assert score_folders("davis17", *both)["J"] == wanted
    folders.write_palette(path, label_map, [black, (1, 2, 3), (4, 5, 6)])  # merely other colours
    assert score_folders("davis17", *both)["J"] == wanted
    Image.fromarray(swapped).save(path)  # grey: nothing but its values
    assert score_folders("davis17", *both)["J"] < wanted


def test_folders_that_do_not_match(both, tmp_path):
    predictions, truth = both
    refused((str(tmp_path / "none"), truth), "--predictions .*none: no such folder")
    (tmp_path / "empty").mkdir()
    refused((str(tmp_path / "empty"), truth), "no PNG in it, nor in its folders")
    flat = str(Path(truth) / "a")
    refused((predictions, flat), "pred holds folders of sequences, --ground_truth .*a is one flat")
    Path(predictions, "a").rename(Path(predictions, "c"))
    refused((predictions, truth), r"pred/a/00000.png: this prediction is missing \(5 in all\)")
    Path(predictions, "b").rename(Path(predictions, "d"))
    refused((predictions, truth), "holds c, d, --ground_truth .* holds a, b: no sequence in")
    folders.write(predictions, [square()])
    refused((predictions, truth), "it holds PNG files .00000.png. and folders of PNGs .c.")
    other = folders.write(tmp_path / "other", [square((1, 1, 1, 5))] * 5, start=100)
    refused((other, flat), "no file has the stem of an annotated frame", missing="empty")
    with pytest.raises(ValueError, match="--ground_truth is missing"):
        score_folders("davis17", predictions)
    with pytest.raises(ValueError, match="still: 1 PNG; temporal needs two"):
        score_folders("temporal", folders.write(tmp_path / "still", [square()]))


def test_more_predictions_than_truth_are_noted(both):
    folders.write(Path(both[0]) / "z", [square()])
    report = score_folders("davis17", *both)
    assert report["notes"] == ["not scored, the ground truth lacks them: z"]


def test_options_that_a_protocol_does_not_know_arerefused(both):
    with pytest.raises(ValueError, match="--flow: protocol davis17 does not use it"):
        score_folders("davis17", *both, options=Options(flow="flow"))
    with pytest.raises(ValueError, match="--mode: protocol dice does not use it"):
        score_folders("dice", *both, options=Options(mode="literal"))
    with pytest.raises(ValueError, match="--num_classes 255: expected 1 to 254"):
        score_folders("dice", *both, options=Options(num_classes=255))
    with pytest.raises(ValueError, match="--missing=empty: protocol temporal has no ground truth"):
        score_folders("temporal", both[0], missing="empty")
    with pytest.raises(ValueError, match="--protocol davis16: expected one of davis17, sav"):
        score_folders("davis16", *both)


def test_one_bit_and_grey_files_are_read(tmp_path):
    mask = square((1, 5, 5, 10))
    both = tmp_path / "pred", tmp_path / "gt"
    for folder, kind in zip(both, ("1", "L"), strict=True):
        folder.mkdir()
        for t in range(3):
            image = Image.fromarray(mask > 0) if kind == "1" else Image.fromarray(mask)
            assert image.mode == kind
            image.save(folder / f"{t}.png")
    assert score_folders("davis17", *map(str, both))["JF"] == 1
