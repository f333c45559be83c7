"""Exports of a session: what is in the files, what is refused, and what a cancelled one leaves."""

import json

import av
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from surgjax.annotation.errors import EditError, StaleError
from surgjax.inference.frame_source import FrameReadError
from surgjax.inference.mask_writer import read_palette_png
from tests.annotation import small
from tests.annotation.small import FRAMES, HEIGHT, WIDTH, finish, open_session


@pytest.fixture
def session(predictor, tmp_path):
    opened = open_session(predictor, small.write_frames(tmp_path / "frames"), tmp_path / "out")
    opened.set_box(opened.add_object("hook"), 3, [5, 5, 30, 40])
    opened.add_point(None, 6, 60, 30, 1)
    opened.rename_object(2, "hook")
    opened.add_point(None, 6, 20, 30, 1)
    finish(opened.track("both"))
    yield opened
    opened.close()


def test_every_format_holds_the_same_masks(session, tmp_path):
    result, steps = finish(session.export(["overlay", "coco", "masks"], "first"))
    folder = tmp_path / "out" / "first"
    assert [s.frame for s in steps] == list(range(FRAMES)) and steps[-1].done == steps[-1].total
    names = ["coco.json", "export.json", "masks", "overlay.mp4", "sheet.png"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert result["folder"] == str(folder) and len(result["files"]) == 5
    want = [session.masks(t)[0] for t in range(FRAMES)]
    for t in range(FRAMES):
        assert np.array_equal(read_palette_png(folder / "masks" / f"{t:05d}.png"), want[t])

    coco = COCO(str(folder / "coco.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["hook", "object 3"]
    assert sorted(coco.getImgIds()) == list(range(FRAMES))
    count = 0
    for t in range(FRAMES):
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds([t])):
            mask = coco.annToMask(annotation).astype(bool)
            labels[mask] = annotation["track_id"]
            assert annotation["area"] == mask.sum() > 0
            assert annotation["bbox"] == list(coco_mask.toBbox(annotation["segmentation"]))
            assert annotation["category_id"] == (2 if annotation["track_id"] == 3 else 1)
            count += 1
        assert np.array_equal(labels, want[t])
    assert count == sum(len(np.unique(w)) - 1 for w in want) > FRAMES
    with av.open(str(folder / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    summary = json.loads((folder / "export.json").read_text())
    seen = [o["frames_present"] for o in summary["objects"]]
    assert seen == [sum(int((w == i).any()) for w in want) for i in (1, 2, 3)]


def test_masks_that_are_out_of_date_are_asked_about(session, tmp_path):
    session.add_point(1, 15, 40, 12, 0)
    with pytest.raises(StaleError, match=r"object 1: frames 16-19\). Track first") as error:
        session.export(["masks"])
    assert error.value.stale == {1: [[16, 19]]} and not (tmp_path / "out" / "export").exists()
    result, _ = finish(session.export(["masks"], allow_stale=True))
    assert result["stale"] == {1: [[16, 19]]}
    summary = json.loads((tmp_path / "out" / "export" / "export.json").read_text())
    assert summary["objects"][0]["stale"] == [[16, 19]]


def test_a_cancelled_export_leaves_the_earlier_one(session, tmp_path):
    finish(session.export(["masks", "coco"]))
    folder = tmp_path / "out" / "export"
    (folder / "notes.txt").write_text("mine")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    session.add_point(1, 3, 40, 12, 0)
    steps = session.export(["masks", "coco", "overlay"], allow_stale=True)
    for _ in range(4):
        next(steps)
    steps.close()
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    finish(session.track("both"))
    finish(session.export(["masks", "coco", "overlay"]))
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "masks" / "00010.png").read_bytes() != before[folder / "masks" / "00010.png"]


def test_a_frame_that_cannot_be_read_is_grey(session, tmp_path, monkeypatch):
    read = session.frame

    def frame(t):
        if t == 4:
            raise FrameReadError(4, "video", "its data is damaged")
        return read(t)

    monkeypatch.setattr(session, "frame", frame)
    finish(session.export(["overlay"], "grau 1"))
    with av.open(str(tmp_path / "out" / "grau 1" / "overlay.mp4")) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(pictures) == FRAMES and abs(int(np.median(pictures[4])) - 128) < 12


def test_an_export_over_a_file_is_refused(session, tmp_path):
    (tmp_path / "out" / "taken").write_text("")
    with pytest.raises(EditError, match="taken is a file; a folder expected"):
        session.export(["masks"], "taken")
