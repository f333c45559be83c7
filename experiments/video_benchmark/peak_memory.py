"""Peak memory of one side, in a process of its own where two sides share the run.

Path:    options -> a child process -> [peak_memory] -> report
Units:   MiB of 2^20 bytes.
Errors:  RuntimeError with the end of its messages where a child process fails.
Source:  Linux: VmHWM, the most that lay in memory at once. (`getrusage` will not do in a child:
         there it starts from what the parent held.) Elsewhere: `getrusage`.
Differs: on a CPU it is all that the process held, with interpreter, libraries, weights and, on our
         side, compilation. On an accelerator it is the device's own figure, without the host. In
         its own process a peer gets noise for frames and its library's weights: what it holds
         depends on neither.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MIB = 2**20


def process_peak_mib() -> float:
    """The most that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / MIB if sys.platform == "darwin" else held / 1024


def device_peak_mib() -> float | None:
    """Of JAX's first device; None where it does not say, as a CPU."""
    import jax

    stats = jax.devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] / MIB if stats and "peak_bytes_in_use" in stats else None


def our_peak_mib() -> float:
    """The device's figure where there is one, else this process's."""
    on_device = device_peak_mib()
    return process_peak_mib() if on_device is None else on_device


def peer_peak_mib(where: str) -> float:
    """What torch had on the GPU, else this process's."""
    if where == "cpu":
        return process_peak_mib()
    import torch

    return torch.cuda.max_memory_allocated() / MIB


def measure_apart(side: str, options: Any, peer: dict[str, Any] | None = None) -> float:
    """Peak of one side ("ours", "torch", "official") over the whole video, in a child process."""
    job = json.dumps({"side": side, "options": dataclasses.asdict(options), "peer": peer})
    done = subprocess.run(
        [sys.executable, "-m", "experiments.video_benchmark.peak_memory", job],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"peak memory of {side}: {done.stderr.strip()[-800:]}")
    return float(done.stdout.splitlines()[-1])


def _run_ours(options: Any) -> None:
    from experiments.video_benchmark.frames import grid_boxes, open_frames
    from experiments.video_benchmark.ours import Ours, weights

    params, config, _ = weights(options)
    source = open_frames(options.video, options.frames, config.image_size)
    boxes = grid_boxes(options.objects, source.height, source.width)
    side = Ours(params, config, options, source, boxes)
    for _ in range(options.frames):
        side.advance()


def _run_peer(options: Any, peer: dict[str, Any]) -> None:
    import torch

    from experiments.video_benchmark.run import make_peer
    from surgjax.models.variants import get_config

    config = get_config(peer["model"], peer["version"], peer["image_size"])
    side = make_peer(options, config, None, peer["threads"], peer["where"])
    torch.manual_seed(0)
    frames = torch.randn(options.frames, 3, config.image_size, config.image_size)
    side.begin(frames, [0.0] * options.frames, tuple(peer["size"]), peer["boxes"])
    for _ in range(options.frames):
        side.advance()


def main(job: dict[str, Any]) -> None:
    """The child: runs one side and prints its peak."""
    from experiments.video_benchmark.options import BenchmarkOptions, use_threads

    options = BenchmarkOptions(**job["options"])
    use_threads(options.threads)
    if job["side"] == "ours":
        _run_ours(options)
        print(our_peak_mib())
    else:
        _run_peer(options, job["peer"])
        print(peer_peak_mib(job["peer"]["where"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
