r"""How long a click takes on an encoded frame, and a process until its first mask.

  python -m tests.benchmarks.click_latency --model nano --clicks 1000
  python -m tests.benchmarks.click_latency --model tiny --size 512

Path:    generated frame, random clicks -> VideoPredictor, ImagePredictor -> a table
Units:   milliseconds and seconds of the clock; MiB resident; pixels of the video.
Source:  ours.
Differs: a click of the video predictor is one call of `add_new_points_or_box` with one point on the
         frame that was prompted before: decoder, memory encoder, and the mask at the size of the
         video on the host. That of the image predictor is `predict` with three masks. The first
         mask is timed in processes of their own: from before Python starts until the mask of one
         click on frame 0 lies on the host. "cold" has an empty cache of compiled programs, "warm"
         what the cold one left there; libraries come from the system's file cache in both.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 1280, 720


def resident_mib() -> float:
    """What this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def spread(spent: list[float]) -> dict[str, float]:
    return {"p50_ms": float(np.percentile(spent, 50)), "p95_ms": float(np.percentile(spent, 95))}


def clicks(flags: argparse.Namespace) -> dict[str, Any]:
    """Both predictors, the same clicks in turns."""
    from surgjax.inference.image import ImagePredictor
    from surgjax.inference.video import VideoPredictor
    from surgjax.testing import moving_squares

    frame = moving_squares(1, HEIGHT, WIDTH)[0]
    is_random = flags.model != "nano"
    video = VideoPredictor.from_checkpoint(flags.model, flags.size, flags.precision, is_random)
    image = ImagePredictor(video.programs.params, video.config, flags.precision)
    image.set_image(frame)
    state = video.init_state(np.stack([frame] * 2))
    rng = np.random.default_rng(0)
    spent: dict[str, list[float]] = {"video": [], "image": []}
    held = []
    for _ in range(flags.warm + flags.clicks):
        point = rng.uniform((0, 0), (WIDTH, HEIGHT), (1, 2))
        start = time.perf_counter()
        _, _, logits = video.add_new_points_or_box(state, 0, 1, points=point, labels=[1])
        middle = time.perf_counter()
        masks, _, _ = image.predict(point, np.array([1]))
        spent["video"].append(1000 * (middle - start))
        spent["image"].append(1000 * (time.perf_counter() - middle))
        held.append(resident_mib())
        if logits.shape[-2:] != (HEIGHT, WIDTH) or masks.shape[-2:] != (HEIGHT, WIDTH):
            raise RuntimeError(f"masks {logits.shape}, {masks.shape} of a frame {HEIGHT}x{WIDTH}")
    return {
        "image_size": video.config.image_size,
        **{name: spread(values[flags.warm :]) for name, values in spent.items()},
        "resident_mib_before": held[flags.warm],
        "resident_mib_after": held[-1],
    }


def first_mask(flags: argparse.Namespace) -> None:
    """The child: one click on the first frame, as a script of a user would."""
    from surgjax.inference.compilation_cache import enable_cache
    from surgjax.inference.video import VideoPredictor
    from surgjax.testing import moving_squares

    enable_cache()
    frames = moving_squares(2, HEIGHT, WIDTH)
    video = VideoPredictor.from_checkpoint(
        flags.model, flags.size, flags.precision, flags.model != "nano"
    )
    state = video.init_state(frames)
    _, _, logits = video.add_new_points_or_box(state, 0, 1, points=[[640, 360]], labels=[1])
    print((logits > 0).shape)


def start_times(flags: argparse.Namespace) -> dict[str, Any]:
    """Seconds from before the process to after its end; the end takes some hundredths."""
    spent = []
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "tests.benchmarks.click_latency", "--child"]
        command += ["--model", flags.model, "--precision", flags.precision]
        command += ["--size", str(flags.size)] if flags.size else []
        for _ in range(1 + flags.starts):
            start = time.perf_counter()
            environment = {**os.environ, "SURGJAX_CACHE_DIR": cache}
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
            spent.append(time.perf_counter() - start)
    return {"first_mask_cold_s": spent[0], "first_mask_warm_s": sorted(spent[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="other than nano: random weights")
    parser.add_argument("--size", type=int, default=None, help="pixels; default: the model's own")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--warm", type=int, default=5, help="clicks that are not counted")
    parser.add_argument("--starts", type=int, default=3, help="processes with a warm cache")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.child:
        first_mask(flags)
        return
    found = {"model": flags.model, "precision": flags.precision, "clicks": flags.clicks}
    found |= start_times(flags) | clicks(flags)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
