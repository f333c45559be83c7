"""What a session keeps in its folder, and the folders and prompts files that it takes."""

import json

import numpy as np
import pytest
from PIL import Image

from surgjax.annotation.errors import EditError
from surgjax.annotation.folder import AnnotationFolder, FolderError
from surgjax.inference.frames import open_video
from tests.annotation.small import FRAMES, HEIGHT, WIDTH, finish, line, marks, open_session, states


def test_everything_is_on_disk_before_it_is_answered(session, tmp_path):
    one = session.add_point(None, 2, 20, 21, 1)
    path = tmp_path / "out" / "prompts.json"
    assert json.loads(path.read_text()) == {
        "objects": [{"id": 1, "prompts": [{"frame": 2, "points": [[20, 21]], "labels": [1]}]}]
    }
    session.rename_object(one, "needle driver")
    assert json.loads(path.read_text())["objects"][0]["name"] == "needle driver"
    session.paint(one, 2, [[60, 10], [70, 10]], 3, False)
    entry = json.loads(path.read_text())["objects"][0]["prompts"][0]
    assert list(entry) == ["frame", "mask"]
    with Image.open(tmp_path / "out" / entry["mask"]) as image:
        painted = np.array(image) > 0
    assert painted[10, 65] and painted.shape == (HEIGHT, WIDTH)
    session.undo()
    session.clear_prompts(one, 2)
    assert not path.exists()


def test_a_folder_belongs_to_one_video_and_one_server(session, predictor, video, tmp_path):
    with pytest.raises(FolderError, match=r"another server \(process \d+\)"):
        open_session(predictor, video, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    for t in range(3):
        Image.new("RGB", (WIDTH, HEIGHT)).save(other / f"{t}.png")
    session.folder.close()
    with pytest.raises(FolderError, match="another video .*frames 20 there, 3 here"):
        AnnotationFolder(tmp_path / "out", open_video(str(other))).load()


def test_a_folder_with_a_lock_alone_is_empty(predictor, video, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lock").write_text("123")
    open_session(predictor, video, tmp_path / "out").close()


def test_folders_that_are_refused(predictor, video, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=r"--output=.*file is a file; a folder expected"):
        open_session(predictor, video, tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(FolderError, match="holds other things than annotations"):
        open_session(predictor, video, tmp_path / "full")
    open_session(predictor, video, tmp_path / "broken").close()
    (tmp_path / "broken" / "session.json").write_text("{}")
    with pytest.raises(FolderError, match=r"session\.json is not a session of this program"):
        open_session(predictor, video, tmp_path / "broken")


def test_prompts_made_elsewhere(predictor, video, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:20, 10:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    prompts = {
        "objects": [
            {"id": 4, "name": "hook", "prompts": [{"frame": 3, "points": [[20.5, 20]]}]},
            {"id": 2, "prompts": [{"frame": 0, "mask": "m.png"}]},
        ]
    }
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    session = open_session(predictor, video, tmp_path / "out", prompts=tmp_path / "p.json")
    assert marks(session)[0]["points"] == [[20.5, 20]] and marks(session, 1)[0]["mask"]
    assert states(session, 4)[3] == states(session, 2)[0] == "fresh"
    assert session.add_object() == 5
    session.close()
    with pytest.raises(EditError, match="--prompts: .* has annotations already"):
        open_session(predictor, video, tmp_path / "out", prompts=tmp_path / "p.json")
    # A file that was edited by hand in between is what counts.
    path = tmp_path / "out" / "prompts.json"
    content = json.loads(path.read_text())
    content["objects"][0]["prompts"][0]["points"] = [[30, 20]]
    path.write_text(json.dumps(content))
    again = open_session(predictor, video, tmp_path / "out")
    assert marks(again)[0]["points"] == [[30, 20]] and states(again, 4)[3] == "fresh"
    again.close()
    content["objects"][0]["prompts"][0]["points"] = [[30, 2000]]
    path.write_text(json.dumps(content))
    with pytest.raises(FolderError, match=r"object 4, frame 3: .*\(30, 2000\) lies outside"):
        open_session(predictor, video, tmp_path / "out")


def test_a_prompts_file_that_cannot_be_answered_leaves_no_annotations(predictor, video, tmp_path):
    points = [[x, y] for x in range(30) for y in range(10)]  # more than a model takes
    for name, found in (("many", points), ("few", points[:3])):
        prompts = {"objects": [{"id": 1, "prompts": [{"frame": 0, "points": found}]}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(prompts))
    with pytest.raises(ValueError, match="object 1, frame 0|points on one frame"):
        open_session(predictor, video, tmp_path / "out", prompts=tmp_path / "many.json")
    session = open_session(predictor, video, tmp_path / "out", prompts=tmp_path / "few.json")
    assert len(marks(session)[0]["points"]) == 3
    session.close()


def test_a_painted_mask_is_named_by_its_pixels(session, monkeypatch):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3:9, 4:30] = True
    name = session.folder.save_mask(mask)
    save = Image.Image.save
    monkeypatch.setattr(Image.Image, "save", lambda i, f, k: save(i, f, k, compress_level=1))
    assert session.folder.save_mask(mask) == name  # also where the file would be another
    assert session.folder.save_mask(~mask) != name
    assert np.array_equal(session.folder.read_mask(name), mask)


def test_results_of_two_models_lie_side_by_side(session, predictor, video, tmp_path):
    session.set_box(None, 5, [5, 5, 30, 40])
    finish(session.track("forward"))
    session.close()
    session.close()  # once more does no harm
    other = open_session(predictor, video, tmp_path / "out", memory="another policy")
    assert line(other)["fresh"] == [5, 5]
    other.close()
    back = open_session(predictor, video, tmp_path / "out")
    assert line(back)["fresh"] == [5, 19]
    back.close()


def test_it_says_what_tracking_takes_on_disk(predictor, video, tmp_path):
    said = []
    session = open_session(predictor, video, tmp_path / "out", say=said.append)
    session.set_box(None, 0, [5, 5, 30, 40])
    finish(session.track("forward"))
    size, tracked = session.files.record_bytes, session.files.object(1).tracked
    assert tracked.path.stat().st_size == FRAMES * size  # the prompted frame's place is there, too
    each, whole = f"{size / 1e3:.0f} KB", f"{FRAMES * size / 1e6:,.0f} MB"
    assert said[0].startswith(f"disk: {each} for each object") and whole in said[0]
    session.close()
