"""Every route of the annotation server, on the scripted session."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from experiments.annotation import requests
from surgjax.inference.frame_source import FrameReadError
from tests.annotation.served import serve


def test_session_and_timeline(tmp_path):
    async def use(client):
        await client.point(3)
        answer = await client.get("/api/session")
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
        session = answer.json
        assert session["video"] | {"name": "", "path": ""} == {
            "name": "",
            "path": "",
            "frames": 40,
            "width": 120,
            "height": 90,
            "fps": 25.0,
        }
        assert session["job"] is None and session["revision"] == 1
        assert session["objects"][0]["prompts"][0]["points"] == [[50, 60]]
        timeline = (await client.get("/api/timeline")).json
        assert timeline["objects"]["1"]["present"] == [[3, 3]]

    serve(tmp_path, use)


def test_frames_are_the_videos_and_are_cached_for_this_run_only(tmp_path):
    async def use(client):
        answer = await client.get("/api/frames/7.jpg?q=100")
        assert answer.status == 200 and answer.headers["Content-Type"] == "image/jpeg"
        pixels = np.asarray(Image.open(io.BytesIO(answer.body)), np.int16)
        assert np.abs(pixels - client.session.frame(7)).max() < 30
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Vary"] == "X-Surgjax-Token"
        tag = answer.headers["ETag"]
        again = await client.get("/api/frames/7.jpg?q=100", headers={"If-None-Match": tag})
        assert (again.status, again.body) == (304, b"")
        other = await client.get("/api/frames/7.jpg", headers={"If-None-Match": tag})
        assert other.status == 200 and len(other.body) < len(answer.body)
        tags.append(tag)

    tags = []
    serve(tmp_path, use)
    serve(tmp_path, use)
    assert tags[0] != tags[1]


def test_masks(tmp_path):
    async def use(client):
        await client.point(3)
        await client.edit("set_box", id=None, frame=3, box=[90, 10, 110, 30])
        answer = await client.get("/api/masks/3")
        labels = np.frombuffer(answer.body, np.uint8).reshape(90, 120)
        assert (labels == client.session.masks(3)[0]).all() and set(np.unique(labels)) == {0, 1, 2}
        objects = json.loads(answer.headers["X-Surgjax-Objects"])
        assert objects["2"] == {"state": "fresh", "iou": 0.92, "present": True}
        assert answer.headers["X-Surgjax-Revision"] == "2"
        assert answer.headers["Content-Encoding"] == "deflate"
        assert answer.headers["Cache-Control"] == "no-store"

    serve(tmp_path, use)


def test_every_edit(tmp_path):
    async def use(client):
        async def done(op, **values):
            answer = await client.edit(op, **values)
            assert answer.status == 200, answer.body
            assert set(answer.json) == {"result", "session", "milliseconds"}
            return answer.json["result"], answer.json["session"]

        assert (await done("add_object"))[0] == 1
        assert (await done("add_object", name="clip"))[0] == 2
        assert (await done("rename_object", id=2, name="grasper"))[1]["objects"][1]["name"]
        assert (await done("remove_object", id=1))[0] is None
        assert (await done("add_point", id=None, frame=2, x=5, y=6, label=1))[0] == 1
        assert (await done("set_box", id=1, frame=2, box=[1, 2, 30, 40]))[0] == 1
        stroke = [[10, 10], [20, 20]]
        result, session = await done("paint", id=1, frame=2, stroke=stroke, radius=4.5, erase=False)
        prompt = next(item for item in session["objects"] if item["id"] == 1)["prompts"][0]
        assert prompt["mask"] is True
        assert (await done("undo"))[0] == 2
        assert (await done("redo"))[0] == 2
        await done("clear_prompts", id=1, frame=2)

    session = serve(tmp_path, use)
    assert session.calls[:2] == ["add_object", "add_object"]


def test_track_and_export(tmp_path):
    async def use(client):
        await client.point(3)
        async with client.events() as stream:
            assert (await stream.until("session"))["session"]["revision"] == 1
            answer = await client.post("track", direction="both", frames=None)
            job = answer.json["job"]
            assert job["kind"] == "track" and (job["done"], job["total"]) == (1, 40)
            done = await stream.until("done")
            assert done["error"] is None and not done["cancelled"] and done["kind"] == "track"
            assert "40 of 40 frames" in done["message"]
            kinds = [event["type"] for event in stream.seen]
            assert {"session", "job", "tracked"} <= set(kinds)
            assert kinds[-3:] == ["session", "job", "done"] and stream.seen[-2]["job"] is None
            assert stream.seen[-3]["session"]["objects"][0]["fresh"] == [0, 39]
            answer = await client.post("export", formats=["masks", "coco"], name="first try")
            assert answer.json["job"]["kind"] == "export"
            result = (await stream.until("done"))["result"]
            assert result["folder"] == str(tmp_path / "first try")
            assert len(result["files"]) == 2 and (tmp_path / "first try").is_dir()

    serve(tmp_path, use, delay=0.003)


def test_look_returns_at_once_and_only_the_last_is_done(tmp_path):
    async def use(client):
        for frame in range(20):
            assert (await client.post("look", frame=frame)).json == {}
        await client.point(0)

    session = serve(tmp_path, use, delay=0.1)
    assert 1 <= session.calls.count("look") <= 4


def test_progress_has_a_rate_and_an_end(tmp_path):
    async def use(client):
        await client.point(0)
        async with client.events() as stream:
            await client.post("track", direction="forward", frames=30)
            await stream.until("done")
            jobs = [e["job"] for e in stream.seen if e["type"] == "job" and e["job"]]
            assert jobs[-1]["total"] == 30 and 20 < jobs[-1]["rate"] < 101
            left = jobs[-1]["total"] - jobs[-1]["done"]
            assert jobs[-1]["eta"] == pytest.approx(left / jobs[-1]["rate"], abs=0.06)
            seconds = 30 * 0.01
            assert len(jobs) <= 10 * seconds + 4  # at most 10 a second

    serve(tmp_path, use, delay=0.01)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/frames/40.jpg", 404, "frame 40: the video has frames 0 to 39"),
        ("/api/masks/40", 404, "frame 40"),
        ("/api/frames/-1.jpg", 404, "nothing at /api/frames/-1.jpg"),
        ("/api/frames/x.jpg", 404, "nothing at"),
        ("/api/frames/1e9.jpg", 404, "nothing at"),
        ("/api/frames/99999999999999999999.jpg", 404, "nothing at"),
        ("/api/frames/..%2f..%2fsetup.py", 404, "nothing at"),
        ("/api/frames/1.jpg?q=101", 400, "q: a JPEG quality from 10 to 100"),
        ("/api/frames/1.jpg?q=" + "9" * 5000, 400, "q: a JPEG quality"),
        ("/api/nothing", 404, "nothing at /api/nothing"),
        ("/api/edit", 405, "/api/edit does not take GET"),
    ],
)
def test_paths_that_lead_nowhere(tmp_path, path, status, message):
    async def use(client):
        answer = await client.get(path)
        assert answer.status == status and message in answer.error

    serve(tmp_path, use)


POINT = {"op": "add_point", "id": None, "frame": 0, "x": 1, "y": 1, "label": 1}
PAINT = {"op": "paint", "id": 1, "frame": 0, "stroke": [[1, 1]], "radius": 3, "erase": True}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("edit", "{", "body is not JSON"),
        ("edit", "[" * 100_000, "body is not JSON"),
        ("edit", "[]", r"the body: an object \{...\} expected, \[\] found"),
        ("edit", '{"op": "undo", "n": NaN}', "NaN is no number"),
        ("edit", "\xff", "body is not JSON"),
        ("edit", {}, "op: one of add_object"),
        ("edit", {"op": "close"}, 'op: one of .* expected, "close" found'),
        ("edit", {"op": ["undo"]}, "op: one of"),
        ("edit", {"op": "undo", "frame": 1}, "undo: unknown key frame; the keys are none"),
        ("edit", POINT | {"z": 1}, "add_point: unknown key z; the keys are id, frame, x, y, label"),
        ("edit", {"op": "add_point"}, "add_point: key id, frame, x, y, label is missing"),
        ("edit", POINT | {"x": 1.5}, "add_point, x: an integer expected, 1.5 found"),
        ("edit", POINT | {"x": True}, "add_point, x: an integer expected, true found"),
        ("edit", POINT | {"x": 10**30}, "add_point, x: an integer expected"),
        ("edit", POINT | {"x": 120}, r"\(120, 1\) lies outside"),
        ("edit", POINT | {"frame": -1}, "frame: a frame, counted from 0, expected, -1 found"),
        ("edit", POINT | {"frame": 40}, "Frame 40: the video has 0 to 39"),
        ("edit", POINT | {"label": 2}, r"label: 1 \(on the object\) or 0 .* 2 found"),
        ("edit", POINT | {"id": 255}, "id: an object id from 1 to 254 expected, 255"),
        ("edit", POINT | {"id": 9}, "no object 9"),
        ("edit", {"op": "set_box", "id": 1, "frame": 0, "box": [1, 2, 3]}, "box: four integers"),
        ("edit", PAINT | {"stroke": []}, "stroke: a list of 1 to 10000 points"),
        ("edit", PAINT | {"stroke": [[1, 1]] * 10_001}, "stroke: a list of 1 to 10000 points"),
        ("edit", PAINT | {"stroke": [[1]]}, r"stroke: two integers \[x, y\]"),
        ("edit", PAINT | {"radius": 0}, "radius: a number above 0"),
        ("edit", PAINT | {"radius": "3"}, 'radius: a number above 0 expected, "3" found'),
        ("edit", PAINT | {"erase": 1}, "erase: true or false"),
        ("edit", {"op": "add_object", "name": "x" * 101}, "name: a text of at most 100"),
        ("edit", {"op": "undo"}, "Nothing to undo"),
        ("look", {"frame": 40}, "look, frame 40: the video has frames 0 to 39"),
        ("look", {}, "look: key frame is missing"),
        ("track", {"direction": "backward"}, "direction: one of forward, back, both"),
        ("track", {"direction": "both", "frames": 0}, "frames: 1 or more expected, 0"),
        ("track", {"direction": "both"}, "Nothing to track"),
        ("cancel", {"job": 1}, "cancel: unknown key job"),
        ("export", {"formats": []}, "formats: a list of masks, coco, overlay"),
        ("export", {"formats": ["pdf"]}, "formats: a list of"),
        ("export", {"formats": [{}]}, "formats: a list of"),
        ("export", {"formats": ["masks"], "name": "../../etc"}, "name: a name of letters"),
        ("export", {"formats": ["masks"], "name": ".."}, "name: a name of letters"),
        ("export", {"formats": ["masks"], "name": "a/b"}, "name: a name of letters"),
        ("export", {"formats": ["masks"], "name": ""}, "name: a name of letters"),
        ("export", {"formats": ["masks"]}, "Nothing to export"),
    ],
)
def test_bodies_that_are_refused(tmp_path, path, body, message):
    async def use(client):
        data = (body if isinstance(body, str) else json.dumps(body)).encode("latin-1")
        answer = await client.ask("POST", f"/api/{path}", data=data)
        assert answer.status == 400 and re.search(message, answer.error), answer.body
        assert client.session.describe()["revision"] == 0

    serve(tmp_path, use)


def test_a_body_that_is_too_large(tmp_path):
    async def use(client):
        size = requests.MOST_BYTES
        answer = await client.ask("POST", "/api/edit", data=b"[" + b" " * size)
        assert answer.status == 413 and "at most 262144 bytes" in answer.error
        answer = await client.ask("POST", "/api/edit", data=b"[]" + b" " * (size - 2))
        assert answer.status == 400

    serve(tmp_path, use)


def test_a_failure_is_a_sentence_on_the_page_and_a_traceback_in_the_terminal(tmp_path, caplog):
    async def use(client):
        client.session.frame = lambda frame: 1 / 0
        client.session.add_point = lambda *values: {}["gone"]
        for answer in (await client.get("/api/frames/0.jpg"), await client.point(0)):
            assert answer.status == 500
            assert answer.error.startswith("The server failed, see its terminal: ")
            assert "Traceback" not in answer.error and "\n" not in answer.error
        assert (await client.edit("add_object")).status == 200  # the engine goes on

    serve(tmp_path, use)
    assert "ZeroDivisionError" in caplog.text and "KeyError: 'gone'" in caplog.text


def test_a_frame_that_cannot_be_read_is_said_without_a_traceback(tmp_path, caplog):
    async def use(client):
        def damaged(frame):
            raise FrameReadError(frame, "video.mp4", "its data is damaged")

        client.session.frame = damaged
        answer = await client.get("/api/frames/3.jpg")
        assert answer.status == 422
        assert answer.error == "frame 3 of video.mp4 cannot be read: its data is damaged"

    serve(tmp_path, use)
    assert "Traceback" not in caplog.text
