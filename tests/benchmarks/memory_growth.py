r"""Peak memory after many frames beside that after few, ours and a peer's.

  python -m tests.benchmarks.memory_growth --model nano --frames 5000
  python -m tests.benchmarks.memory_growth --model tiny --size 512 --frames 1000 --peer official \
    --official_repo parity_output/sam2

Path:    options -> a process for each side and length -> a table
Units:   MiB of 2^20 bytes; frames.
Source:  ours.
Differs: every figure is the peak of a process of its own, libraries, weights and compilation
         included (`experiments.video_benchmark.peak_memory`). Ours reads frames as it goes, from a
         short clip back and forth. The peer gets its frames as the tensor that its own loader makes
         of a video, and keeps what it keeps; its growth is a frame's share of the difference
         between its two lengths.
"""

import argparse
import json

from experiments.video_benchmark.frames import grid_boxes
from experiments.video_benchmark.options import BenchmarkOptions, available_threads
from experiments.video_benchmark.peak_memory import measure_apart
from surgjax.models.variants import get_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="other than nano: random weights")
    parser.add_argument("--size", type=int, default=None, help="pixels; default: the model's own")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--memory", default="recent")
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--peer", choices=("torch", "official"), default=None)
    parser.add_argument("--official_repo", default=None)
    parser.add_argument("--peer_few", type=int, default=20)
    parser.add_argument("--peer_frames", type=int, default=200)
    flags = parser.parse_args()

    def options(frames: int) -> BenchmarkOptions:
        return BenchmarkOptions(
            model=flags.model,
            image_size=flags.size,
            objects=flags.objects,
            memory=flags.memory,
            frames=frames,
            compare=flags.peer,
            official_repo=flags.official_repo,
        )

    ours = {n: measure_apart("ours", options(n)) for n in (flags.few, flags.frames)}
    print(f"ours: {ours}", flush=True)
    found: dict = {
        "model": flags.model,
        "image_size": flags.size,
        "objects": flags.objects,
        "ours_mib": ours,
        "ratio": ours[flags.frames] / ours[flags.few],
    }
    if flags.peer:
        config = get_config(flags.model, image_size=flags.size)
        side = config.image_size
        job = {
            "model": config.name,
            "version": config.version,
            "image_size": side,
            "threads": available_threads(),
            "where": "cpu",
            "size": [side, side],
            "boxes": grid_boxes(flags.objects, side, side),
        }
        lengths = (flags.peer_few, flags.peer_frames)
        peer = {n: measure_apart(flags.peer, options(n), job) for n in lengths}
        first, last = lengths
        found |= {"peer": flags.peer, "peer_mib": peer}
        found["peer_mib_per_frame"] = (peer[last] - peer[first]) / (last - first)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
