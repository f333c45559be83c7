"""A session after full disks, kills and restarts: nothing is lost, and undo goes on."""

import numpy as np
import pytest

from surgjax.annotation.folder import AnnotationFolder
from surgjax.annotation.tracker import Tracker
from tests.annotation import small
from tests.annotation.small import FRAMES, finish, line, marks, open_session, pictures


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
