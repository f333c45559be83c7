"""A session's edits, undo, states of frames, folder and refusals; its law is in its own file."""

import json

import numpy as np
import pytest
from PIL import Image

from surgjax.annotation.errors import EditError
from surgjax.annotation.folder import AnnotationFolder, FolderError
from surgjax.annotation.tracker import Tracker
from surgjax.inference.frames import open_video
from tests.annotation import small
from tests.annotation.small import FRAMES, HEIGHT, WIDTH, finish, open_session


@pytest.fixture(scope="module")
def predictor():
    return small.predictor()


@pytest.fixture
def video(tmp_path):
    return small.write_frames(tmp_path / "frames")


@pytest.fixture
def session(predictor, video, tmp_path):
    opened = open_session(predictor, video, tmp_path / "out")
    yield opened
    opened.close()


def line(session, object_id=1):
    return session.timeline()["objects"][str(object_id)]


def states(session, object_id=1):
    return [session.masks(t)[1][object_id]["state"] for t in range(FRAMES)]


def pictures(session):
    return np.stack([session.masks(t)[0] for t in range(FRAMES)])


def marks(session, place=0):
    return session.describe()["objects"][place]["prompts"]


def test_an_object_does_not_come_to_begin_with_an_empty_mask(session, predictor, video, tmp_path):
    one = session.add_point(None, 0, 20, 20, 1)
    finish(session.track("forward"))
    across = [[0, 0], [WIDTH - 1, HEIGHT - 1]]
    if not session.masks(10)[0].any():
        session.paint(one, 10, across, 2, False)
    session.paint(one, 10, across, 100, True)
    with pytest.raises(EditError, match="would begin on frame 10, where its mask is empty"):
        session.clear_prompts(one, 0)  # a prompts file that says so is refused
    session.close()
    again = open_session(predictor, video, tmp_path / "out")
    again.clear_prompts(one, 10)
    again.clear_prompts(one, 0)
    assert marks(again) == []
    again.close()


def test_an_edit_that_fails_leaves_nothing_behind(predictor, video, tmp_path, monkeypatch):
    """A full disk: what was refused must be neither in the masks nor half undone."""
    session = open_session(predictor, video, tmp_path / "out")
    one = session.add_point(None, 0, 20, 20, 1)
    session.add_point(one, 0, 26, 22, 1)
    finish(session.track("forward", 10))
    before, said = session.describe(), (tmp_path / "out/prompts.json").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def refused(edit):
        with pytest.raises(OSError, match="No space left"):
            edit()
        now = session.describe()
        assert all(now[key] == before[key] for key in ("undo", "redo"))
        assert now["objects"][0]["prompts"] == before["objects"][0]["prompts"]
        assert (tmp_path / "out/prompts.json").read_bytes() == said

    answers, folder = session.files.object(one).answers, session.folder
    for holder, name in ((answers, "put"), (folder, "save")):
        with monkeypatch.context() as patch:
            patch.setattr(holder, name, full)
            refused(lambda: session.add_point(one, 0, 60, 30, 1))
            refused(lambda: session.add_point(one, 5, 60, 30, 0))
            refused(session.undo)
            refused(lambda: session.remove_object(one)) if holder is folder else None
    finish(session.track("forward"))
    mine = pictures(session)
    session.close()
    prompts, run = tmp_path / "out/prompts.json", tmp_path / "run"
    want = small.tracked(predictor, video, prompts, run, "forward")
    assert np.array_equal(mine, np.stack([want[t] for t in range(FRAMES)]))


def test_the_journal_of_edits_outlives_a_full_disk(session, predictor, video, tmp_path):
    one = session.add_point(None, 0, 20, 20, 1)
    path = tmp_path / "out/history.jsonl"
    with path.open("a") as file:
        file.write('{"label": "half of')  # what a write that failed can leave
    session.history._is_torn = True
    session.add_point(one, 0, 26, 22, 1)
    session.close()
    again = open_session(predictor, video, tmp_path / "out")
    assert again.describe()["undo"] == "add point" and len(list(again.history.items)) == 3
    again.close()


def test_states_follow_the_prompts(session):
    one = session.add_point(None, 8, 20, 20, 1)
    assert states(session) == ["none"] * 8 + ["fresh"] + ["none"] * 11
    assert [(s.frame, s.done, s.total) for s in finish(session.track("both", 5))[1]] == [
        *((9 + k, 1 + k, 10) for k in range(5)),
        *((7 - k, 6 + k, 10) for k in range(5)),
    ]
    assert line(session)["fresh"] == [3, 13] and states(session).count("fresh") == 11
    finish(session.track("both"))
    assert line(session)["fresh"] == [0, FRAMES - 1] and line(session)["stale"] == []
    session.add_point(one, 12, 26, 22, 1)  # a correction: what lies beyond is out of date
    assert marks(session)[1]["correction"] and not marks(session)[0]["correction"]
    assert line(session)["fresh"] == [0, 12] and line(session)["stale"] == [[13, 19]]
    session.add_point(one, 15, 26, 22, 1)
    assert states(session)[12:] == ["fresh", "stale", "stale", "provisional", *["stale"] * 4]
    session.add_point(one, 4, 26, 22, 1)
    assert line(session)["fresh"] == [4, 12]
    session.add_point(one, 8, 30, 20, 0)  # where it starts: all is out of date
    assert line(session)["fresh"] == [8, 8]
    assert states(session)[8] == "fresh" and states(session)[12] == "provisional"
    finish(session.track("both"))
    assert states(session) == ["fresh"] * FRAMES


def test_a_slip_and_its_undo_cost_no_tracking(session):
    one = session.set_box(None, 5, [5, 5, 30, 40])
    finish(session.track("both"))
    session.add_point(one, 14, 40, 10, 0)
    finish(session.track("both"))
    before, said = pictures(session), session.describe()["objects"]
    for slip in (
        lambda: session.add_point(one, 9, 30, 12, 0),
        lambda: session.add_point(one, 14, 41, 12, 1),
        lambda: session.add_point(one, 5, 41, 12, 1),
        lambda: session.clear_prompts(one, 14),
        lambda: session.remove_object(one),
        lambda: session.paint(one, 3, [[20, 20]], 3, False),
    ):
        slip()
        assert line(session)["fresh"] != [0, 19] if session.document else True
        session.undo()
        assert line(session)["fresh"] == [0, 19]
        assert session.describe()["objects"] == said
        assert np.array_equal(pictures(session), before)
    session.add_point(one, 9, 30, 12, 0)
    finish(session.track("forward"))
    session.undo()  # but here the masks have been written over
    assert line(session)["fresh"] == [0, 9]
    finish(session.track("forward"))
    assert np.array_equal(pictures(session), before)


def test_undo_and_redo_walk_through_everything(session):
    one = session.add_object("grasper")
    session.add_point(one, 2, 20, 20, 1)
    session.set_box(one, 2, [5, 6, 33, 30])
    session.rename_object(one, "hook")
    two = session.add_point(None, 3, 60, 30, 1)
    session.remove_object(one)
    seen = [session.describe()["objects"]]
    labels = []
    while session.describe()["undo"]:
        labels.append(session.describe()["undo"])
        session.undo()
        seen.append(session.describe()["objects"])
    assert labels == ["remove object", "add point", "rename object", "draw box", "add point",
                      "add object"]  # fmt: skip
    assert seen[-1] == [] and [o["id"] for o in seen[1]] == [one, two]  # in its old place
    for want in seen[-2::-1]:
        session.redo()
        assert session.describe()["objects"] == want
    with pytest.raises(EditError, match="nothing to do again"):
        session.redo()
    session.undo()
    session.rename_object(two, "clip")
    assert session.describe()["redo"] is None
    while session.describe()["undo"]:
        session.undo()
    with pytest.raises(EditError, match="nothing to undo"):
        session.undo()


def test_ids_are_not_given_again_while_there_are_others(session):
    one = session.add_object()
    session.remove_object(one)
    assert session.add_object() == one + 1


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


@pytest.mark.parametrize("name", ["change", "save"])
def test_a_kill_in_the_middle_of_an_edit(session, predictor, video, tmp_path, monkeypatch, name):
    """The edit is there or it is not; what is called up to date is so."""
    one = session.set_box(None, 5, [5, 5, 30, 40])
    finish(session.track("both"))
    before = pictures(session)
    where = {"change": (Tracker, "_answer_correction"), "save": (AnnotationFolder, "save")}[name]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*where, killed)
        with pytest.raises(KeyboardInterrupt):
            session.add_point(one, 14, 40, 10, 0)
    session.folder.close()  # the system frees the lock of a process that is gone
    again = open_session(predictor, video, tmp_path / "out")
    assert [p["frame"] for p in marks(again)] == [5]
    assert again.timeline()["objects"]["1"]["fresh"][0] == 0
    finish(again.track("both")) if line(again)["fresh"] != [0, 19] else None
    assert np.array_equal(pictures(again), before)
    again.close()


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


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.add_point(None, 20, 1, 1, 1), "no frame 20; the video has frames 0 to 19"),
        (lambda s: s.add_point(None, -1, 1, 1, 1), "no frame -1"),
        (lambda s: s.add_point(None, 0, 80, 1, 1), r"\(80, 1\) lies outside the picture of 80x48"),
        (lambda s: s.add_point(None, 0, 1, 1, 2), "label 2"),
        (lambda s: s.add_point(7, 0, 1, 1, 1), r"no object 7 \(objects: none\)"),
        (lambda s: s.set_box(None, 0, [4, 4, 4, 9]), "at least two pixels"),
        (lambda s: s.set_box(None, 0, [4, 4, 8, 48]), "lies outside"),
        (lambda s: s.paint(None, 0, [], 3, False), "1 to 4096 points"),
        (lambda s: s.paint(None, 0, [[1, 1]], 0.1, False), "radius 0.1"),
        (lambda s: s.paint(None, 0, [[np.nan, 1]], 3, False), "radius 3"),
        (lambda s: s.paint(None, 0, [[500, 500]], 3, False), "changes nothing"),
        (lambda s: s.rename_object(3, "x"), "no object 3"),
        (lambda s: s.track("sideways"), "Direction sideways"),
        (lambda s: s.track("both", 0), "0 frames: one or more"),
        (lambda s: s.track("both"), "click on an object first"),
        (lambda s: s.export(["masks"]), "click on an object first"),
        (lambda s: s.export(["gif"]), "Formats gif: some of masks, coco, overlay"),
        (lambda s: s.export([]), "some of masks, coco, overlay"),
        (lambda s: s.export(["masks"], "../elsewhere"), "cannot be named '../elsewhere'"),
        (lambda s: s.export(["masks"], "painted"), "no name that the session uses"),
    ],
)
def test_what_is_refused_changes_nothing(session, edit, message):
    with pytest.raises(EditError, match=message):
        edit(session)
    assert session.describe()["revision"] == 0 and session.describe()["objects"] == []


def test_more_that_is_refused(session):
    one = session.set_box(None, 5, [5, 5, 30, 40])
    with pytest.raises(EditError, match="no prompt on frame 6"):
        session.clear_prompts(one, 6)
    with pytest.raises(EditError, match="cannot begin with an empty mask"):
        session.paint(one, 5, [[20, 20]], 200, True)
    finish(session.track("both"))
    with pytest.raises(EditError, match="All masks are up to date"):
        session.track("both")
    session.paint(one, 9, [[20, 20]], 200, True)  # it is not here: that may be said later on
    assert not (session.masks(9)[0] > 0).any()
    assert not session.masks(9)[1][1]["present"]


def test_many_clicks_keep_no_more_than_was_said(session):
    one = session.add_object()
    for k in range(30):
        session.add_point(one, k % 3, 10 + k, 20, 1)
        session.undo()
    assert len(session.tracker._features) == 3 and not marks(session)


def test_undo_goes_on_after_a_restart(session, predictor, video, tmp_path):
    one = session.set_box(None, 5, [5, 5, 30, 40])
    finish(session.track("both"))
    before = pictures(session)
    session.add_point(one, 14, 40, 10, 0)
    session.paint(one, 12, [[40, 20]], 6, False)
    session.add_point(None, 2, 60, 30, 1)
    session.remove_object(one)
    session.undo()
    wanted = session.describe()
    session.folder.close()  # killed
    path = tmp_path / "out" / "history.jsonl"
    path.write_text(path.read_text() + '{"label": "add po')  # while a line was written
    again = open_session(predictor, video, tmp_path / "out")
    described = again.describe()
    assert (described["undo"], described["redo"]) == (wanted["undo"], wanted["redo"])
    assert described["objects"] == wanted["objects"]
    again.redo()
    assert [o["id"] for o in again.describe()["objects"]] == [2]
    for _ in range(4):
        again.undo()
    assert line(again)["fresh"] == [0, 19] and np.array_equal(pictures(again), before)
    again.undo()
    assert not again.document and again.describe()["undo"] is None
    for _ in range(4):
        again.redo()
    assert again.describe()["objects"] == wanted["objects"]
    again.close()


def test_a_journal_that_cannot_be_read_is_left(session, predictor, video, tmp_path, caplog):
    session.set_box(None, 5, [5, 5, 30, 40])
    session.close()
    (tmp_path / "out" / "history.jsonl").write_text('["undo"\n')
    again = open_session(predictor, video, tmp_path / "out")
    assert again.describe()["undo"] is None and len(marks(again)) == 1
    assert "history.jsonl cannot be read" in caplog.text
    again.close()


@pytest.mark.parametrize("how", ["by hand", "killed before the journal"])
def test_what_the_journal_does_not_know_can_be_undone_too(
    session, predictor, video, tmp_path, monkeypatch, how
):
    one = session.set_box(None, 5, [5, 5, 30, 40])
    path = tmp_path / "out" / "prompts.json"
    if how == "by hand":
        session.close()
        path.write_text(path.read_text().replace("30", "31"))
    else:
        monkeypatch.setattr(session.history, "add", lambda edit: None)
        session.set_box(one, 5, [5, 5, 31, 40])
        session.folder.close()
    again = open_session(predictor, video, tmp_path / "out")
    assert marks(again)[0]["box"] == [5, 5, 31, 40]
    assert again.describe()["undo"] == "change made elsewhere"
    again.undo()
    assert marks(again)[0]["box"] == [5, 5, 30, 40] and again.describe()["undo"] == "draw box"
    again.undo()
    assert not again.document
    again.close()


def test_a_folder_with_a_lock_alone_is_empty(predictor, video, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lock").write_text("123")
    open_session(predictor, video, tmp_path / "out").close()
