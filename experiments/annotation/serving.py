"""Runs the server until it is told to stop.

Path:    launcher -> [serving] -> server
Units:   seconds.
Errors:  OSError naming --port.
Source:  ours, over aiohttp.
Differs: the port is taken before the model is loaded, so that a taken one is known at once.
"""

import asyncio
import contextlib
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from experiments.annotation.engine import Engine
from experiments.annotation.events import Events
from experiments.annotation.server import Server

ADDRESS = "127.0.0.1"  # never another: whoever reaches the page reads the video
DEFAULT_PORT = 8765
_READERS = 2  # threads that decode frames and pack masks
_PATIENCE = 3.0  # for answers under way when the server stops


def listen(port: int | None) -> socket.socket:
    """A socket on this machine alone; without a port the default one, or any that is free."""
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"--port={port}: a port from 1 to 65535 expected.")
    try:
        return bound(port or DEFAULT_PORT)
    except OSError as error:
        if port is not None:
            reason = (error.strerror or str(error)).lower()
            raise OSError(f"--port={port}: {reason}; leave --port out for a free one.") from None
        if error.errno != errno.EADDRINUSE:
            raise
    return bound(0)


def bound(port: int) -> socket.socket:
    """A listening socket on this machine alone; port 0 is any that is free."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
        listening.listen()  # or, with SO_REUSEADDR, another process could bind it too
    except BaseException:
        listening.close()
        raise
    return listening


def port_of(listening: socket.socket) -> int:
    """The port it is bound to."""
    return listening.getsockname()[1]


@contextlib.asynccontextmanager
async def running(session: Any, listening: socket.socket, token: str) -> AsyncIterator[Events]:
    """The server at work; at the end the job is cancelled and the session closed."""
    events = Events()
    engine = Engine(session, events.publish)
    with ThreadPoolExecutor(_READERS, "annotation reader") as readers:
        try:
            server = Server(session, engine, events, readers, token)
            # A read that the page gave up, as it does when one holds an arrow key, is not made.
            runner = web.AppRunner(
                server.application,
                access_log=None,
                handler_cancellation=True,
                shutdown_timeout=_PATIENCE,
            )
            await runner.setup()
            try:
                await web.SockSite(runner, listening).start()
                yield events
            finally:
                events.close()
                await engine.close()
                await runner.cleanup()
        finally:
            await engine.close()


async def _serve(
    session: Any, listening: socket.socket, token: str, on_ready: Callable[[], None]
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def end() -> None:
        for number in signals:  # a second one does not wait for the frame at work; all is saved
            loop.add_signal_handler(number, os._exit, 1)
        stop.set()

    for number in signals:
        loop.add_signal_handler(number, end)
    async with running(session, listening, token):
        on_ready()
        await stop.wait()


def serve(session: Any, listening: socket.socket, token: str, on_ready: Callable[[], None]) -> None:
    """Until Ctrl-C or SIGTERM; `on_ready` is called when pages can be opened."""
    asyncio.run(_serve(session, listening, token, on_ready))
