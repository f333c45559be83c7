"""A session's edits, undo, states of frames, and what it refuses; its law is in its own file."""

import numpy as np
import pytest

from surgjax.annotation.errors import EditError
from tests.annotation.small import (
    FRAMES,
    HEIGHT,
    WIDTH,
    finish,
    line,
    marks,
    open_session,
    pictures,
    states,
)


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
