"""The server on a scripted session, and a client that speaks to it as the page does."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
from yarl import URL

from experiments.annotation.serving import bound, port_of, running
from tests.annotation.fake_session import FakeSession

TOKEN = "token-of-the-tests"


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes):
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert set(self.json) <= {"error", "stale"}
        return self.json["error"]


class Client:
    """One tab. `session` is the scripted session behind the server."""

    def __init__(self, session: FakeSession, port: int, http: aiohttp.ClientSession, hub: Any):
        self.session, self.port, self.hub, self._http = session, port, hub, http

    async def ask(self, method: str, path: str, headers=None, token=TOKEN, **options) -> Answer:
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        sent = {"X-Surgjax-Token": token} if token is not None else {}
        async with self._http.request(
            method, url, headers={**sent, **(headers or {})}, **options
        ) as response:
            return Answer(response, await response.read())

    async def get(self, path: str, **options) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **body) -> Answer:
        return await self.ask("POST", f"/api/{path}", json=body)

    async def edit(self, op: str, **values) -> Answer:
        return await self.post("edit", op=op, **values)

    async def point(self, frame: int, object_id: int | None = None, **values) -> Answer:
        values = {"x": 50, "y": 60, "label": 1} | values
        return await self.edit("add_point", id=object_id, frame=frame, **values)

    @contextlib.asynccontextmanager
    async def events(self):
        """The stream of another tab: await `until(kind)`."""
        url, headers = f"http://127.0.0.1:{self.port}/api/events", {"X-Surgjax-Token": TOKEN}
        async with self._http.get(url, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "application/x-ndjson"
            yield Stream(response)


class Stream:
    """Events as they come; those before the one waited for are in `seen`."""

    def __init__(self, response: aiohttp.ClientResponse):
        self.response, self.seen = response, []

    async def until(self, kind: str) -> dict:
        while True:
            async with asyncio.timeout(5):
                line = await self.response.content.readline()
            assert line, f"the stream ended before {kind}"
            event = json.loads(line)
            self.seen.append(event)
            if event["type"] == kind:
                return event


def serve(folder, use, **options) -> FakeSession:
    """Runs the coroutine function `use` with a client of a new server."""
    session = FakeSession(folder, **{"num_frames": 40, "width": 120, "height": 90} | options)

    async def main():
        with contextlib.closing(bound(0)) as listening:
            async with (
                running(session, listening, TOKEN) as hub,
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            ):
                async with asyncio.timeout(30):
                    await use(Client(session, port_of(listening), http, hub))

    asyncio.run(main())
    assert session.is_closed
    return session
