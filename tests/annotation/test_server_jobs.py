"""Tracking and export beside edits, several tabs, and many requests."""

import asyncio
import threading
import time

from experiments.annotation import engine, server
from tests.annotation.served import serve


async def begin_tracking(client, **values):
    await client.point(0)
    answer = await client.post("track", **{"direction": "forward"} | values)
    assert answer.status == 200


def test_a_second_job_is_refused(tmp_path):
    async def use(client):
        await begin_tracking(client)
        for answer in (
            await client.post("track", direction="back"),
            await client.post("export", formats=["masks"], allow_stale=True),
        ):
            assert answer.status == 409 and "tracking forward is running" in answer.error
        assert (await client.get("/api/session")).json["job"]["kind"] == "track"

    serve(tmp_path, use, delay=0.02)


def test_an_edit_pauses_tracking_and_both_tabs_hear_of_it(tmp_path):
    async def use(client):
        async with client.events() as one, client.events() as other:
            await begin_tracking(client)
            answer = await client.point(1, 1, x=20)
            assert answer.status == 200 and answer.json["session"]["job"] is None
            for stream in (one, other):
                done = await stream.until("done")
                assert done["cancelled"] and done["kind"] == "track" and done["error"] is None
                assert done["message"].startswith("cancelled: tracking forward, ")
                session = (await stream.until("session"))["session"]
                assert session["revision"] == answer.json["session"]["revision"]
                prompts = session["objects"][0]["prompts"]
                assert prompts[1]["correction"] and prompts[1]["points"] == [[20, 60]]

    serve(tmp_path, use, delay=0.02)


def test_cancel_keeps_what_is_done(tmp_path):
    async def use(client):
        assert (await client.post("cancel")).json == {}  # nothing runs
        await begin_tracking(client)
        await asyncio.sleep(0.1)
        assert (await client.post("cancel")).json == {}
        session = (await client.get("/api/session")).json
        assert session["job"] is None
        low, high = session["objects"][0]["fresh"]
        assert low == 0 and 1 <= high < 39
        calls = len(client.session.calls)
        await asyncio.sleep(0.05)
        assert len(client.session.calls) == calls  # it has stopped
        assert (await client.post("track", direction="forward")).status == 200

    serve(tmp_path, use, delay=0.02)


def test_an_export_is_not_disturbed_by_edits_but_can_be_cancelled(tmp_path):
    async def use(client):
        await client.point(0)
        async with client.events() as stream:
            assert (await client.post("export", formats=["masks"])).status == 200
            answer = await client.point(1)
            assert answer.status == 409 and "An export is running" in answer.error
            await client.post("cancel")
            done = await stream.until("done")
            assert done["cancelled"] and done["kind"] == "export" and done["result"] is None

    serve(tmp_path, use, delay=0.02)


def test_an_export_of_stale_masks(tmp_path):
    async def use(client):
        async with client.events() as stream:
            await begin_tracking(client)
            await stream.until("done")
            await client.point(10, 1)
            answer = await client.post("export", formats=["masks"])
            assert answer.status == 409 and answer.json["stale"] == {"1": [[11, 39]]}
            assert "stale" in answer.error
            assert (await client.get("/api/session")).json["job"] is None
            await client.post("export", formats=["masks"], allow_stale=True)
            assert (await stream.until("done"))["result"]["stale"] == {"1": [[11, 39]]}

    serve(tmp_path, use)


def test_a_job_that_fails_tells_every_tab(tmp_path, caplog):
    async def use(client):
        await client.point(0)
        step = client.session._track_frame

        def failing(way, frame):
            if frame == 5:
                raise OSError("No space left on device")
            step(way, frame)

        client.session._track_frame = failing
        async with client.events() as stream:
            await client.post("track", direction="forward")
            done = await stream.until("done")
            assert done["error"] == "No space left on device" and not done["cancelled"]
        assert (await client.get("/api/session")).json["job"] is None
        assert (await client.point(1)).status == 200

    serve(tmp_path, use)
    assert "Traceback" in caplog.text


def test_stepping_through_frames_does_not_wait_for_tracking(tmp_path):
    """Each step of the job takes longer than all the frames together may."""

    async def use(client):
        await client.point(0)
        job = asyncio.create_task(client.post("track", direction="forward"))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(0.4):
            for frame in range(8):
                assert (await client.get(f"/api/frames/{frame}.jpg")).status == 200
                assert (await client.get(f"/api/masks/{frame}")).status == 200
        assert not job.done()
        await job

    serve(tmp_path, use, delay=0.6)


def test_a_slow_reader_of_events_holds_up_nobody_and_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "MOST_STALLED", 0.5)

    async def use(client):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1)
        writer.write(
            b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n"
            b"X-Surgjax-Token: token-of-the-tests\r\n\r\n"
        )
        await reader.read(1)  # and no more
        async with client.events() as stream:
            await client.edit("add_object", name="x" * 100)
            for i in range(60):  # every event is some KiB, more than sockets hold by far
                client.session.describe = lambda i=i: {"revision": i, "filling": "x" * 400_000}
                async with asyncio.timeout(1):
                    await client.edit("rename_object", id=1, name=None)
            while (await stream.until("session"))["session"]["revision"] != 59:
                pass
            async with asyncio.timeout(5):
                while client.hub.num_readers > 1:
                    await asyncio.sleep(0.02)
        writer.close()

    serve(tmp_path, use)


def test_a_quiet_stream_says_that_it_is_alive(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "ALIVE_EVERY", 0.05)

    async def use(client):
        async with client.events() as stream:
            await stream.until("alive")
            await stream.until("alive")

    serve(tmp_path, use)


def test_streams_end_and_the_job_is_cancelled_when_the_server_stops(tmp_path):
    async def use(client):
        await begin_tracking(client)

        async def read():
            async with client.events() as stream:
                return (await stream.response.content.read()).splitlines()

        task = asyncio.create_task(read())
        while not client.hub.num_readers:
            await asyncio.sleep(0.01)
        client.hub.close()
        lines = await task
        assert b'"type":"session"' in lines[0]
        start.append(time.monotonic())

    start: list[float] = []
    session = serve(tmp_path, use, delay=0.02)
    assert time.monotonic() - start[0] < 1
    assert session.calls[-1] == "close"


def test_a_thousand_requests_leave_nothing_behind(tmp_path):
    async def use(client):
        await client.point(0)
        before, threads = len(asyncio.all_tasks()), threading.active_count()
        for _ in range(20):
            answers = await asyncio.gather(
                *(client.get(f"/api/frames/{i}.jpg") for i in range(20)),
                *(client.get(f"/api/masks/{i}") for i in range(10)),
                *(client.get("/api/session", token="wrong") for i in range(10)),
                *(client.post("look", frame=i) for i in range(10)),
            )
            assert {answer.status for answer in answers} == {200, 403}
        await client._http.close()
        for _ in range(100):
            if len(asyncio.all_tasks()) <= before:
                break
            await asyncio.sleep(0.02)
        assert len(asyncio.all_tasks()) <= before
        assert threading.active_count() <= threads + 2  # the readers of frames
        assert client.hub.num_readers == 0

    serve(tmp_path, use, num_frames=20)


def test_tabs_that_are_closed_are_forgotten(tmp_path):
    async def use(client):
        for _ in range(5):
            async with client.events() as stream:
                await stream.until("session")
        async with asyncio.timeout(5):
            while client.hub.num_readers:
                await asyncio.sleep(0.01)

    serve(tmp_path, use)


def test_edits_that_pile_up_are_refused(tmp_path):
    async def use(client):
        entered, go_on = threading.Event(), threading.Event()

        def slow(name):
            entered.set()
            go_on.wait(5)

        client.session.add_object = slow
        tasks = [asyncio.create_task(client.edit("add_object"))]
        while not entered.is_set():  # the engine has it: it waits no more
            await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(client.edit("add_object")) for _ in range(59)]
        while sum(task.done() for task in tasks) < 60 - 33:
            await asyncio.sleep(0.01)
        go_on.set()
        answers = await asyncio.gather(*tasks)
        refused = [answer for answer in answers if answer.status == 409]
        assert len(refused) == 60 - 1 - engine.MOST_WAITING
        assert "32 requests are waiting already" in refused[0].error

    serve(tmp_path, use)
