r"""How long a click takes in `experiments.annotate`, and whether clicks leave memory behind.

  python -m tests.benchmarks.annotation_clicks --clicks 1000
  python -m tests.benchmarks.annotation_clicks --model tiny --size 512 --clicks 1000

Path:    the real command in a process of its own <- requests as the page sends them -> a table
Units:   milliseconds of the clock; MiB resident in the server's process; pixels of the video.
Source:  ours.
Differs: nothing to compare with. "click" is the time from sending a point until the answer is here:
         decoder, memory encoder, records and prompts.json on disk. "seen" is that and the label map
         of the frame, at the size of the video, unpacked. The frame was looked at before, so its
         features are there, as on the page. Every eighth click is on another frame, and the points
         of a frame are cleared after each four.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from surgjax.testing import moving_squares
from surgjax.viz.video_writer import VideoWriter
from tests.annotation.launched import LaunchedServer

WIDTH, HEIGHT, FRAMES = 1280, 720, 4


def resident_mib(pid: int) -> float:
    """What a process holds now (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def write_video(path: Path) -> None:
    """Moving squares in HD."""
    writer = VideoWriter(path, 25, HEIGHT, WIDTH)
    for frame in moving_squares(FRAMES, HEIGHT, WIDTH):
        writer.write(np.asarray(frame))
    writer.close()


def measure(server: LaunchedServer, clicks: int, warm: int) -> dict:
    """Clicks one after the other; the first ones are not counted."""
    rng = np.random.default_rng(0)
    spent: dict[str, list[float]] = {"click": [], "seen": []}
    held, frame = [], -1
    object_id = server.edit("add_object", name=None)["result"]
    for k in range(warm + clicks):
        if k % 8 == 0:
            frame = (frame + 1) % FRAMES
            server.ask("/api/look", {"frame": frame})
            time.sleep(1.0 if k < warm else 0.1)  # while the frame is encoded
            server.ask("/api/session")
        x, y = (int(v) for v in rng.integers(0, (WIDTH, HEIGHT)))
        start = time.perf_counter()
        server.edit("add_point", id=object_id, frame=frame, x=x, y=y, label=1)
        middle = time.perf_counter()
        labels = server.ask(f"/api/masks/{frame}")
        end = time.perf_counter()
        if len(labels) != WIDTH * HEIGHT:
            raise RuntimeError(f"a label map of {len(labels)} bytes")
        spent["click"].append(1000 * (middle - start))
        spent["seen"].append(1000 * (end - start))
        held.append(resident_mib(server.process.pid))
        if k % 4 == 3:
            server.edit("clear_prompts", id=object_id, frame=frame)
    found = {
        name: {
            "p50_ms": round(float(np.percentile(values[warm:], 50)), 1),
            "p95_ms": round(float(np.percentile(values[warm:], 95)), 1),
        }
        for name, values in spent.items()
    }
    after = {f"resident_mib_after_{n}": round(held[warm + n - 1]) for n in (clicks // 10, clicks)}
    return found | after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="other than nano: random weights")
    parser.add_argument("--size", type=int, default=None, help="pixels; default: the model's own")
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--warm", type=int, default=16, help="clicks that are not counted")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "video.mp4")
        options = [
            f"--video={folder}/video.mp4",
            f"--output={folder}/out",
            f"--model={flags.model}",
        ]
        options += [f"--image_size={flags.size}"] if flags.size else []
        options += ["--random_weights"] if flags.model != "nano" else []
        server = LaunchedServer(*options)
        try:
            found = measure(server, flags.clicks, flags.warm)
        finally:
            server.stop()
    about = {"model": flags.model, "size": flags.size, "clicks": flags.clicks}
    print(json.dumps(about | found, indent=2))


if __name__ == "__main__":
    main()
