"""One thread that owns the session's edits, tracking and export.

Path:    server -> [engine] -> AnnotationSession; events
Units:   seconds; frames count from 0.
Errors:  Busy where something else runs or waits; what the session raised reaches the caller, or,
         once a job has begun, every page as an event.
Source:  ours.
Differs: a lock around the session would make a click wait for a whole tracking run. Here a job is
         an iterator, stepped only while nothing else is asked for, so a click waits for a frame.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

from experiments.annotation.job import Job
from surgjax.annotation.errors import EditError
from surgjax.inference.frame_source import FrameReadError

MOST_WAITING = 32  # edits and starts that wait for the thread; pages send one after another
_NEWS_EVERY = 0.1  # of a job, for the pages
_STATE_EVERY = 1.0  # the whole session, while tracking changes it
STOPPING = "The server is stopping."


class Busy(RuntimeError):
    """Not now: a job runs, too much waits, or the server is stopping."""


class Engine:
    """Calls of the session, in order, in a thread of their own; `publish` takes events.

    `close` must be awaited: it ends the thread and closes the session there.
    """

    def __init__(self, session: Any, publish: Callable[[dict[str, Any]], None]):
        self._session, self._publish = session, publish
        self._waiting: deque[tuple[Callable[[], Any], Future]] = deque()
        self._look_at: int | None = None
        self._job: Job | None = None
        self._is_closing = False
        self._last_news = self._last_state = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="annotation engine")
        self._thread.start()

    # From the event loop.

    async def edit(self, change: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
        """A change of prompts or objects, and the session after it; pauses tracking first."""
        return await self._ask(lambda: self._edit(change))

    async def start(
        self, kind: str, label: str, open_steps: Callable[[], Generator]
    ) -> dict[str, Any] | None:
        """Starts a job and makes its first step, which is where the session refuses.

        Returns what is shown of the job; None if that step was all.
        """
        return await self._ask(lambda: self._start(kind, label, open_steps))

    async def cancel(self) -> None:
        """Returns when no job runs."""
        await self._ask(self._cancel)

    def look(self, frame: int) -> None:
        """Has the frame encoded when nothing else is to do; only the last one asked for is."""
        with self._changed:
            if self._job is None:
                self._look_at = frame
                self._changed.notify()

    async def close(self) -> None:
        """Cancels the job, refuses what waits, closes the session."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    async def _ask(self, call: Callable[[], Any]) -> Any:
        future: Future = Future()
        with self._changed:
            if self._is_closing:
                raise Busy(STOPPING)
            if len(self._waiting) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} requests are waiting already; try again.")
            self._waiting.append((call, future))
            self._changed.notify()
        # Shielded: a page that is closed takes nothing back.
        return await asyncio.shield(asyncio.wrap_future(future))

    # From any thread.

    def describe(self) -> dict[str, Any]:
        """The session with its job, as GET /api/session has it."""
        job = self._job
        return {**self._session.describe(), "job": job and job.shown}

    # In the engine's thread.

    def _run(self) -> None:
        while self._wait():
            with self._changed:
                call, future = self._waiting.popleft() if self._waiting else (None, None)
            try:
                if call is not None and future is not None:
                    _answer(call, future)
                elif self._job is not None:
                    self._step()
                else:
                    self._look()
            except Exception:  # this thread is the only one there is: it goes on
                logging.exception("the engine failed")
                self._job = None
        for call in (self._cancel, self._session.close):
            try:
                call()
            except Exception:
                logging.exception("the session could not be ended well")
        for _, future in self._waiting:
            _answer(_refuse, future)

    def _wait(self) -> bool:
        """Until there is something to do; False when the server stops."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closing or self._waiting or self._job or self._look_at is not None
            )
            return not self._is_closing

    def _edit(self, change: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
        if self._job is not None and self._job.kind == "export":
            raise Busy("An export is running: wait for it, or cancel it.")
        self._cancel()
        try:
            result = change()
        finally:  # also after a failure: pages show what there is now
            state = self._publish_session()
        return result, state

    def _start(
        self, kind: str, label: str, open_steps: Callable[[], Generator]
    ) -> dict[str, Any] | None:
        if self._job is not None:
            raise Busy(f"One thing at a time: {self._job.label} is running.")
        self._job = Job(kind, label, open_steps())
        self._look_at = None
        self._publish_job()
        try:
            self._advance()
        except BaseException:  # an answer to whoever asked; other pages see the job go
            self._job = None
            self._publish_job()
            raise
        return self._job and self._job.shown

    def _step(self) -> None:
        try:
            self._advance()
        except Exception as error:
            if not isinstance(error, EditError | FrameReadError):
                logging.exception("%s failed", self._job and self._job.label)
            self._end("stopped", error=str(error) or type(error).__name__)

    def _advance(self) -> None:
        job = self._job
        assert job is not None
        if not job.advance():
            self._end("finished")
            return
        now = time.monotonic()
        if now - self._last_news >= _NEWS_EVERY:
            self._last_news = now
            self._publish_job()
            if job.kind == "track":
                self._publish({"type": "tracked", "frame": job.frame})
        if job.kind == "track" and now - self._last_state >= _STATE_EVERY:
            self._publish_session()

    def _cancel(self) -> None:
        if self._job is None:
            return
        try:
            self._job.close()
        except Exception as error:
            logging.exception("%s could not be ended well", self._job.label)
            self._end("cancelled", error=str(error) or type(error).__name__, cancelled=True)
        else:
            self._end("cancelled", cancelled=True)

    def _end(self, how: str, *, error: str | None = None, cancelled: bool = False) -> None:
        """The job is over: its result or error is for all pages."""
        job, self._job = self._job, None
        assert job is not None
        if job.kind == "track" and job.frame is not None:  # a page that follows ends at the end
            self._publish({"type": "tracked", "frame": job.frame})
        self._publish_session()
        self._publish_job()
        self._publish(
            {
                "type": "done",
                "kind": job.kind,
                "message": f"{how}: {job.how_far()}",
                "result": job.result,
                "error": error,
                "cancelled": cancelled,
            }
        )

    def _look(self) -> None:
        with self._changed:
            frame, self._look_at = self._look_at, None
        if frame is None:
            return
        try:
            self._session.look(frame)
        except Exception:  # nobody waits for it; a click there will say it again
            logging.exception("frame %d could not be encoded", frame)

    def _publish_session(self) -> dict[str, Any]:
        state = self.describe()
        self._last_state = time.monotonic()
        self._publish({"type": "session", "session": state})
        return state

    def _publish_job(self) -> None:
        job = self._job
        self._publish({"type": "job", "job": job and job.shown})


def _answer(call: Callable[[], Any], future: Future) -> None:
    """Makes the call; what it raises is for whoever asked."""
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)


def _refuse() -> None:
    raise Busy(STOPPING)
