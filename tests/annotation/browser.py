"""The annotation page in a real browser, before a scripted session: one tab, and what it says.

Positions on the screen come from the canvas' box and its attributes data-zoom (CSS pixels per video
pixel), data-left and data-top (the video's corner in the canvas), not from the page's own mapping.
"""

import asyncio
import contextlib
import threading

from playwright.sync_api import sync_playwright

from experiments.annotation.serving import bound, port_of, running
from tests.annotation.fake_session import FakeSession
from tests.chromium import find_chromium

TOKEN = "token-of-the-tests"
PATIENCE = 30_000  # milliseconds; everything here takes some ten, on a machine at rest


@contextlib.contextmanager
def launched():
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Server:
    """The annotation server in a thread of its own, on one port, to be stopped and started."""

    def __init__(self, session):
        self.session, self.port = session, 0
        self.start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(30)

    async def _run(self, ready):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.closing(bound(self.port)) as listening:
            self.port = port_of(listening)
            async with running(self.session, listening, TOKEN):
                ready.set()
                await self._stop.wait()

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()


class Tab:
    """One tab of the page, with all that it asked for and complained about."""

    def __init__(self, context, server):
        self.context, self.server, self.session = context, server, server.session
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda line: line.type in ("error", "warning") and self.errors.append(line.text),
        )

    def open(self, token=TOKEN):
        self.page.goto(f"{self.server.address}/?token={token}")
        return self

    def ready(self, **attributes):
        """Waits until the page is at rest and its body has these data- attributes."""
        wanted = {"connection": "open", "pending": 0, "busy": "", "loading": "false"} | attributes
        names = "".join(f'[data-{name.replace("_", "-")}="{v}"]' for name, v in wanted.items())
        self.page.wait_for_selector(f"body{names}")
        return self

    def seen(self):
        """Waits until the newest masks are drawn and the timeline is as new."""
        self.ready()
        revision = self.session.describe()["revision"]
        self.ready(shown_revision=revision, timeline_revision=revision)
        frame = self.data("frame")
        self.page.wait_for_selector(f'#picture[data-drawn="{frame}:{revision}"]')
        return self

    def data(self, name):
        return self.page.get_attribute("body", f"data-{name}")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        return self

    @property
    def zoom(self):
        return float(self.page.get_attribute("#picture", "data-zoom"))

    def at(self, x, y, inside=(0.5, 0.5)):
        """Where a pixel of the video is on the screen; `inside` it, 0 is its first edge."""
        box = self.page.locator("#picture").bounding_box()
        left = float(self.page.get_attribute("#picture", "data-left"))
        top = float(self.page.get_attribute("#picture", "data-top"))
        zoom = self.zoom
        return box["x"] + left + (x + inside[0]) * zoom, box["y"] + top + (y + inside[1]) * zoom

    @contextlib.contextmanager
    def edit(self):
        """What is done inside changes the session; returns when the page has heard of it."""
        before = int(self.data("revision"))
        yield
        self.page.wait_for_function(
            "before => Number(document.body.dataset.revision) > before", arg=before
        )
        self.ready()

    def click(self, x, y, inside=(0.5, 0.5), **options):
        with self.edit():
            self.page.mouse.click(*self.at(x, y, inside), **options)
        return self

    def hold(self, *pixels, button="left"):
        """A drag without its end."""
        mouse = self.page.mouse
        mouse.move(*self.at(*pixels[0]))
        mouse.down(button=button)
        for pixel in pixels[1:]:
            mouse.move(*self.at(*pixel))
        return self

    def drag(self, *pixels, button="left"):
        with self.edit():
            self.hold(*pixels, button=button).page.mouse.up(button=button)
        return self

    def message(self):
        return self.page.text_content("#message")

    def prompts(self, object_id=1):
        """{frame: prompt} of an object of the session."""
        objects = {item["id"]: item for item in self.session.describe()["objects"]}
        return {prompt["frame"]: prompt for prompt in objects[object_id]["prompts"]}

    def ids(self):
        return [item["id"] for item in self.session.describe()["objects"]]


class Workplace:
    """Opens tabs on one server, each in a context of its own."""

    def __init__(self, browser, folder):
        self._browser, self._folder, self._stack = browser, folder, contextlib.ExitStack()
        self.tabs, self.servers = [], []
        self.expected_error = None  # what the browser's console may complain about

    def serve(self, **options):
        session = FakeSession(
            self._folder, **{"num_frames": 40, "width": 64, "height": 48} | options
        )
        self.servers.append(Server(session))
        return self.servers[-1]

    def tab(self, server=None, width=1280, height=720, ratio=1, **options):
        server = server or (self.servers[-1] if self.servers else self.serve(**options))
        context = self._stack.enter_context(
            contextlib.closing(
                self._browser.new_context(
                    viewport={"width": width, "height": height}, device_scale_factor=ratio
                )
            )
        )
        self.tabs.append(Tab(context, server))
        return self.tabs[-1]

    def close(self):
        self._stack.close()
        for server in self.servers:
            server.stop()
        for tab in self.tabs:
            here = tab.server.address
            assert all(url.startswith((here, f"blob:{here}")) for url in tab.requests)
            wrong = [line for line in tab.errors if (self.expected_error or "\0") not in line]
            assert not wrong
