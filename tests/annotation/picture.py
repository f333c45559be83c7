r"""Draws docs/annotate.png: the page of `experiments.annotate` in the middle of a session.

  python -m tests.annotation.picture --output=docs/annotate.png

Chromium is found as the tests find it (SURGJAX_CHROMIUM).
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.annotation import browser
from tests.annotation.launched import ROOT, LaunchedServer

CLIP = ROOT / "surgjax" / "assets" / "demo_clip.mp4"


def draw(output: Path) -> None:
    """Two instruments and an organ on the bundled clip: tracked, one corrected since."""
    with tempfile.TemporaryDirectory() as folder, browser.launched() as chromium:
        server = LaunchedServer(f"--video={CLIP}", f"--output={folder}/out")
        try:
            context = chromium.new_context(viewport={"width": 1280, "height": 720})
            tab = browser.Tab(context, server).open(server.token).ready(frame=0)
            _annotate(tab, server)
            image = Image.open(io.BytesIO(tab.page.screenshot()))
            context.close()
        finally:
            server.stop()
    image.convert("RGB").quantize(256).save(output, optimize=True)


def _annotate(tab: browser.Tab, server: LaunchedServer) -> None:
    names = ("left grasper", "right grasper", "gallbladder")
    boxes = ([0, 22, 133, 166], [26, 140, 190, 255], [150, 70, 255, 255])
    for name, box in zip(names, boxes, strict=True):
        object_id = server.edit("add_object", name=name)["result"]
        server.edit("set_box", id=object_id, frame=0, box=box)
    tab.seen().press("p")
    while any(o["fresh"] != [0, 47] for o in server.describe()["objects"]):
        time.sleep(0.1)
    tab.ready().press("Home", "1", *["ArrowRight"] * 20).ready(frame=20)
    tab.click(60, 100).click(150, 180, button="right")
    tab.press(*["ArrowRight"] * 4).ready(frame=24).seen()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    draw(parser.parse_args().output)


if __name__ == "__main__":
    main()
