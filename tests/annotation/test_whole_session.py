"""The real thing, once: the command, its page in a browser, a kill, and the masks of `track`.

Click, box, track, correct, a server that is killed while it tracks, go on, export; then the saved
prompts through `experiments.track`. nano and frames of the bundled clip, at full size.
"""

import contextlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from surgjax.inference.frames import open_video
from surgjax.inference.mask_writer import read_palette_png
from tests.annotation import browser
from tests.annotation.launched import ROOT, LaunchedServer

CLIP = ROOT / "surgjax" / "assets" / "demo_clip.mp4"
FRAMES = 30


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "frames"
    folder.mkdir()
    with open_video(str(CLIP)) as source:
        for t in range(FRAMES):
            Image.fromarray(source[t]).save(folder / f"{t:05d}.png")
    return folder


def until(is_so, seconds=60):
    """Waits: a job may be over before the page is seen to be busy."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def fresh(server):
    return [o["fresh"] for o in server.describe()["objects"]]


WHOLE = [[0, FRAMES - 1]] * 2


def objects(server):
    return [(o["id"], o["prompts"]) for o in server.describe()["objects"]]


def test_click_track_correct_kill_go_on_export_equals_track(video, tmp_path):
    output = tmp_path / "annotations"
    with browser.launched() as chromium, contextlib.ExitStack() as end:
        server = LaunchedServer(f"--video={video}", f"--output={output}")
        end.callback(server.process.kill)
        tab = browser.Tab(chromium.new_context(viewport={"width": 1280, "height": 720}), server)
        tab.open(server.token).ready(frame=0)
        tab.click(98, 128).seen()
        tab.press("n").ready()
        tab.drag((150, 80), (255, 255)).seen()
        tab.press("p")
        until(lambda: fresh(server) == WHOLE)
        tab.ready()
        # A second server on this folder is refused, and says why.
        second = subprocess.run(
            [sys.executable, "-m", "experiments.annotate", f"--video={video}",
             f"--output={output}"], cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert second.returncode == 1 and "Traceback" not in second.stderr
        assert f"is being annotated by another server (process {server.process.pid})" in (
            second.stderr
        )
        tab.press("Home", *["ArrowRight"] * 4).ready(frame=4)
        tab.press("1")
        tab.click(150, 195, button="right").click(120, 140).seen()
        said = objects(server)
        assert [p["correction"] for p in said[0][1]] == [False, True]
        assert said[0][1][1]["points"] == [[150, 195], [120, 140]]
        assert said[0][1][1]["labels"] == [0, 1]
        tab.press("p")
        until(lambda: fresh(server)[0][1] > 6)
        server.kill()  # while it tracks
        tab.page.wait_for_selector('body:not([data-connection="open"])')

        server = LaunchedServer(f"--video={video}", f"--output={output}")
        end.callback(server.process.kill)
        assert objects(server) == said
        one, two = fresh(server)
        assert two == [0, FRAMES - 1] and one[0] == 0 and 6 < one[1] <= FRAMES - 1
        tab = browser.Tab(chromium.new_context(viewport={"width": 1280, "height": 720}), server)
        tab.open(server.token).ready()
        assert "add point" in server.describe()["undo"]
        if one[1] < FRAMES - 1:
            tab.press("p")
        until(lambda: fresh(server) == WHOLE)
        tab.ready()
        tab.press("x")
        for name in ("coco", "overlay"):
            tab.page.check(f'#export [value="{name}"]')
        tab.page.click("#export [type=submit]")
        until((output / "export" / "export.json").exists)
        tab.ready()
        assert not tab.errors and str(output) in server.stop()

    done = subprocess.run(
        [sys.executable, "-m", "experiments.track", f"--video={video}",
         f"--prompts={output}/prompts.json", f"--output={tmp_path}/run"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes = []
    for t in range(FRAMES):
        mine, theirs = (f / "masks" / f"{t:05d}.png" for f in (output / "export", tmp_path / "run"))
        assert mine.read_bytes() == theirs.read_bytes(), t
        sizes.append(np.bincount(read_palette_png(mine).ravel(), minlength=3)[1:3])
    assert min(sizes[0]) > 500 and len({tuple(s) for s in sizes}) > FRAMES // 2
    assert (output / "export" / "coco.json").exists()
    assert (output / "export" / "overlay.mp4").exists()
