"""The page's server: its routes, on one session.

Path:    page -> security -> [server] -> engine (edits, jobs), session (frames, masks), events
Axes:    a label map is uint8 (H, W), row by row.
Units:   milliseconds; frames count from 0.
Errors:  JSON {"error": a sentence}: 400 bad input, 403, 404, 409 busy or out of date, 413, 422 a
         frame that cannot be read, 500.
Source:  ours, over aiohttp.
Differs: nothing here computes. Edits and tracking go to the engine's thread, frames and masks to a
         pool of their own, so that stepping through the video stays smooth while tracking runs.
"""

import asyncio
import contextlib
import functools
import io
import json
import logging
import secrets
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from experiments.annotation import requests
from experiments.annotation.engine import Busy, Engine
from experiments.annotation.events import Events, as_line
from experiments.annotation.page_files import read_page_file
from experiments.annotation.security import TOKEN_HEADER, Handler, Refused, add_headers, guard
from surgjax.annotation.errors import EditError, StaleError
from surgjax.inference.frame_source import FrameReadError

ALIVE_EVERY = 10.0  # seconds between two lines of a quiet event stream
MOST_STALLED = 20.0  # seconds that a tab may take nothing before it is dropped
_TRACK_LABELS = {
    "forward": "tracking forward",
    "back": "tracking back",
    "both": "tracking both ways",
}


class Server:
    """Handlers of the routes; `application` is what aiohttp runs."""

    def __init__(
        self, session: Any, engine: Engine, events: Events, readers: ThreadPoolExecutor, token: str
    ):
        self._session, self._engine, self._events = session, engine, events
        self._readers = readers
        self._num_frames = session.describe()["video"]["frames"]
        # Frames are cached by the browser; the next run may show another video at this address.
        self._tag = secrets.token_hex(8)
        self.application = web.Application(
            client_max_size=requests.MOST_BYTES, middlewares=[_as_json, guard(token)]
        )
        self.application.on_response_prepare.append(add_headers)
        get = functools.partial(web.get, allow_head=False)
        self.application.add_routes(
            [
                get("/", self._page),
                get("/static/{name}", self._page),
                get("/api/session", self._get_session),
                get("/api/timeline", self._timeline),
                get("/api/frames/{frame:[0-9]{1,9}}.jpg", self._frame),
                get("/api/masks/{frame:[0-9]{1,9}}", self._masks),
                get("/api/events", self._stream),
                web.post("/api/edit", self._edit),
                web.post("/api/look", self._look),
                web.post("/api/track", self._track),
                web.post("/api/cancel", self._cancel),
                web.post("/api/export", self._export),
            ]
        )

    async def _read(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, call, *args)

    async def _page(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "index.html")
        found = await self._read(read_page_file, name)
        if found is None:
            raise web.HTTPNotFound
        content, media_type = found
        charset = None if media_type == "image/png" else "utf-8"
        return web.Response(body=content, content_type=media_type, charset=charset)

    async def _get_session(self, _: web.Request) -> web.Response:
        return web.json_response(await self._read(self._engine.describe))

    async def _timeline(self, _: web.Request) -> web.Response:
        return web.json_response(await self._read(self._session.timeline))

    def _frame_of(self, request: web.Request) -> int:
        frame = int(request.match_info["frame"])
        if frame >= self._num_frames:
            last = self._num_frames - 1
            raise web.HTTPNotFound(text=f"frame {frame}: the video has frames 0 to {last}.")
        return frame

    async def _frame(self, request: web.Request) -> web.Response:
        frame = self._frame_of(request)
        quality = requests.jpeg_quality(request.query.get("q", "92"))
        tag = f"{self._tag}-{frame}-{quality}"
        # The token is another with every run, so no run is shown what another one cached.
        headers = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": TOKEN_HEADER}
        if any(match.value == tag for match in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        else:
            body = await self._read(lambda: _jpeg(self._session.frame(frame), quality))
            response = web.Response(body=body, content_type="image/jpeg", headers=headers)
        response.etag = tag
        return response

    async def _masks(self, request: web.Request) -> web.Response:
        body, objects, revision = await self._read(self._read_masks, self._frame_of(request))
        headers = {
            "Content-Encoding": "deflate",
            "X-Surgjax-Objects": objects,
            "X-Surgjax-Revision": revision,
        }
        return web.Response(body=body, content_type="application/octet-stream", headers=headers)

    def _read_masks(self, frame: int) -> tuple[bytes, str, str]:
        # Before the masks: a change in between then leaves them looking old, never too new.
        revision = self._session.revision
        labels, objects = self._session.masks(frame)
        packed = zlib.compress(np.ascontiguousarray(labels, np.uint8).data, level=1)
        return packed, json.dumps(objects, separators=(",", ":")), str(revision)

    async def _edit(self, request: web.Request) -> web.Response:
        op, values = requests.edit(requests.read_json(await request.read()))
        start = time.perf_counter()
        result, state = await self._engine.edit(lambda: getattr(self._session, op)(*values))
        spent = round((time.perf_counter() - start) * 1000, 1)
        return web.json_response({"result": result, "session": state, "milliseconds": spent})

    async def _look(self, request: web.Request) -> web.Response:
        frame = requests.look(requests.read_json(await request.read()))
        if frame >= self._num_frames:
            raise requests.BadRequest(
                f"look, frame {frame}: the video has frames 0 to {self._num_frames - 1}."
            )
        self._engine.look(frame)
        return web.json_response({})

    async def _track(self, request: web.Request) -> web.Response:
        direction, frames = requests.track(requests.read_json(await request.read()))
        job = await self._engine.start(
            "track", _TRACK_LABELS[direction], lambda: self._session.track(direction, frames)
        )
        return web.json_response({"job": job})

    async def _cancel(self, request: web.Request) -> web.Response:
        requests.take("cancel", requests.read_json(await request.read()), {})
        await self._engine.cancel()
        return web.json_response({})

    async def _export(self, request: web.Request) -> web.Response:
        formats, name, stale = requests.export(requests.read_json(await request.read()))
        job = await self._engine.start(
            "export", "export", lambda: self._session.export(formats, name, stale)
        )
        return web.json_response({"job": job})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with self._events.reader() as reader:
            state = await self._read(self._engine.describe)
            lines: bytes | None = as_line({"type": "session", "session": state})
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                while lines is not None:
                    try:
                        async with asyncio.timeout(MOST_STALLED):
                            await response.write(lines or as_line({"type": "alive"}))
                    except TimeoutError:
                        if request.transport is not None:
                            request.transport.abort()
                        break
                    lines = await reader.take(ALIVE_EVERY)
        return response


def _jpeg(frame: np.ndarray, quality: int) -> bytes:
    """Colour at full resolution: between steel and tissue the edge is one of colour."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


@web.middleware
async def _as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as the page reads them."""
    status, more, allow = 500, {}, None
    try:
        return await handler(request)
    except StaleError as error:
        status, sentence, more = 409, str(error), {"stale": error.stale}
    except Busy as error:
        status, sentence = 409, str(error)
    except (EditError, requests.BadRequest) as error:
        status, sentence = 400, str(error)
    except FrameReadError as error:  # damaged in the file; the others can be looked at
        status, sentence = 422, str(error)
    except Refused as error:
        status, sentence = 403, str(error)
    except web.HTTPException as error:
        status, sentence = error.status, _sentence(request, error)
        allow = error.headers.get("Allow")
    except Exception as error:
        logging.exception("%s %s failed", request.method, request.path)
        first_line = (str(error).splitlines() or [""])[0][:200]
        sentence = f"The server failed, see its terminal: {type(error).__name__}: {first_line}"
    headers = {"Allow": allow} if allow else None
    return web.json_response({"error": sentence, **more}, status=status, headers=headers)


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404 and error.text == "404: Not Found":
        return f"There is nothing at {request.path[:100]}."
    if error.status == 405:
        return f"{request.path[:100]} does not take {request.method}."
    if error.status == 413:
        return f"The body is too large: at most {requests.MOST_BYTES} bytes are taken."
    return error.text or error.reason
