r"""Time and memory of every memory policy beside SAM 2's, in one run.

  python -m tests.benchmarks.memory_policies --variant nano --frames 60

Path:    generated clip, weights -> one compiled tracker per policy, in turns -> a table
Units:   milliseconds of the clock; MB of 10^6 bytes; memories per frame; operations of a whole
         frame, encoder included, as `experiments.benchmark_video` counts them.
Source:  ours.
Differs: policies take turns frame by frame on the same features, so that what else runs on the
         machine hits all of them alike; their order turns round from frame to frame. The image
         encoder is timed apart: it is the same for all, and "frame" is the ratio with it. Every
         frame may be a candidate, and long slots are full before the times count. Bank bytes are
         those of one object. Temporary bytes are what XLA says of the compiled step. Growth is
         what a tracker that keeps every frame in a dict, as the reference does, gains per frame and
         object; it is computed from the shapes, not measured.
"""

import argparse
import json
import time
from typing import Any

import jax
import numpy as np

from experiments.video_benchmark import flops
from surgjax.inference.frames import resize_for_model
from surgjax.inference.programs import PRECISIONS, Programs
from surgjax.inference.stream import FramePrompts, Stream, no_prompts
from surgjax.inference.weights import load_weights
from surgjax.memory.memory_bank import MemoryEntry
from surgjax.memory.policies import Clock
from surgjax.memory.registry import NAMES
from surgjax.testing import moving_squares

MB = 1e6
# Any frame is a candidate, whatever the weights think of their masks.
RUNS = {
    "recent": ("recent", ""),
    "divemem": ("divemem", "gamma=-1000,presence=false"),
    "divemem delta=30": ("divemem", "delta=30,gamma=-1000,presence=false"),
    "divemem long=6": ("divemem", "long=6,gamma=-1000,presence=false"),
    "divemem pointers": ("divemem", "pointers=true,gamma=-1000,presence=false"),
    "dlm flatten": ("dlm", "gamma=-1000"),
    "dlm width": ("dlm", "similarity=width,gamma=-1000"),
    "random_long": ("random_long", "gamma=-1000,presence=false"),
    "frame_pruning": ("frame_pruning", ""),
    "frame_pruning prune=4": ("frame_pruning", "prune=4"),
    "pooled": ("pooled", ""),
    "pooled pool=4": ("pooled", "pool=4"),
    "pooled near=0": ("pooled", "near=0"),
    "pooled far_layers=1": ("pooled", "far_layers=1"),
    "pooled pool=1 far_layers=1": ("pooled", "pool=1,far_layers=1"),
}
assert {name for name, _ in RUNS.values()} == set(NAMES)


def box_prompt(stream: Stream, objects: int) -> FramePrompts:
    """Every object is prompted by a box in another place."""
    prompts = no_prompts(stream.config, objects)
    side = stream.config.image_size
    points = prompts.points
    for k in range(objects):
        low, high = side * (k + 1) / (objects + 3), side * (k + 2.5) / (objects + 3)
        points.points_xy[k, :2] = [[low, low], [high, high]]
        points.labels[k, :2], points.valid[k, :2] = (2, 3), True
    return prompts


class Run:
    """One policy's tracker on its way through the clip."""

    def __init__(self, params, config, memory: str, options: str, objects: int, precision: str):
        stream = Stream.create(config, PRECISIONS[precision], memory=memory, memory_options=options)
        self.programs = Programs(stream, params)
        self.state = stream.init_state(objects)
        self.objects, self.ms = objects, []

    def step(self, features, prompts) -> None:
        start = time.perf_counter()
        self.state, output = self.programs.track(self.state, features, prompts)
        jax.block_until_ready(output.low_res)
        self.ms.append(1000 * (time.perf_counter() - start))

    def figures(self, warm: int, features: Any) -> dict[str, Any]:
        policy = self.programs.stream.policy
        bank = jax.eval_shape(policy.init)
        bank_bytes = sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(bank))
        (program,) = (p for k, p in self.programs.compiled.items() if k[0] == "tracker")
        row = jax.tree.map(lambda x: x[0], self.state.bank)
        clock = Clock(self.state.frame_index, self.state.direction, self.state.num_frames)
        analysis = program.memory_analysis()
        read = policy.read(row, clock)
        return {
            "ms": float(np.median(self.ms[warm:])),
            "memories": int(read.count[0]),
            "far": 0 if read.far is None else int(read.far.count[0]),
            "flops": flops.flops_per_frame(self.programs, self.state, features, self.objects),
            "bank_mb": bank_bytes / MB,
            "temporary_mb": analysis.temp_size_in_bytes / MB,
            "compile_s": self.programs.compile_seconds,
        }


def replay_ms(run: Run, frames: int = 50) -> float:
    """Median time of writing one past frame into a bank."""
    stream, spent = run.programs.stream, []
    memory, d = stream.policy.memory, stream.config.hidden_dim
    for k in range(frames):
        entry = MemoryEntry(
            features=np.ones(memory.shape, memory.dtype),
            pointer=np.zeros(d, np.float32),
            frame_index=np.int32(10_000 + k),
            is_conditioning=np.bool_(False),
            object_score=np.float32(1),
            iou=np.float32(1),
        )
        start = time.perf_counter()
        run.state = run.programs.write(run.state, 0, entry)
        jax.block_until_ready(run.state.bank)
        spent.append(1000 * (time.perf_counter() - start))
    return float(np.median(spent[1:]))


def measure(flags: argparse.Namespace) -> dict[str, Any]:
    params, config, _ = load_weights(flags.variant, flags.size or None, flags.variant != "nano")
    config = config.replace(long_memory_embedding=False)
    side = config.image_size
    clip = moving_squares(flags.frames, side, side)
    chosen = [n for n in RUNS if not flags.only or n in flags.only]
    runs = {
        name: Run(params, config, *RUNS[name], flags.objects, flags.precision) for name in chosen
    }
    encoder = Programs(next(iter(runs.values())).programs.stream, params)
    encode_ms = []
    for t in range(flags.frames):
        start = time.perf_counter()
        features = jax.block_until_ready(encoder.encode(resize_for_model(clip[t], side)))
        encode_ms.append(1000 * (time.perf_counter() - start))
        names = list(runs)
        for name in names[t % len(names) :] + names[: t % len(names)]:
            run = runs[name]
            blank = no_prompts(config, flags.objects)
            run.step(features, box_prompt(run.programs.stream, flags.objects) if t == 0 else blank)
    for run in runs.values():
        run.programs.compiled |= encoder.compiled
    found = {name: run.figures(flags.warm, features) for name, run in runs.items()}
    base = found[chosen[0]]["ms"]
    pairs = {n: np.array(r.ms[flags.warm :]) for n, r in runs.items()}
    for name, values in found.items():
        values["ratio"] = float(np.median(pairs[name] / pairs[chosen[0]]))
        values["ratio_of_medians"] = values["ms"] / base
        encoder_ms = np.array(encode_ms[flags.warm :])
        frames = (pairs[name] + encoder_ms) / (pairs[chosen[0]] + encoder_ms)
        values["frame_ratio"] = float(np.median(frames))
        values["write_ms"] = replay_ms(runs[name])
    memory = next(iter(runs.values())).programs.stream.policy.memory
    kept = int(np.prod(memory.shape)) * 2 + config.hidden_dim * 4 + config.mask_size**2 * 4
    return {
        "variant": config.name,
        "image_size": side,
        "precision": flags.precision,
        "objects": flags.objects,
        "frames": flags.frames,
        "device": str(jax.devices()[0].device_kind),
        "encoder_ms": float(np.median(encode_ms[flags.warm :])),
        "dict_growth_mb_per_frame": kept / MB,
        "policies": found,
    }


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    head = (
        f"{result['variant']}, {result['image_size']} px, {result['precision']}, "
        f"{result['objects']} object(s), {result['frames']} frames, {result['device']}; image "
        f"encoder {result['encoder_ms']:.1f} ms; a dict of all frames would grow by "
        f"{result['dict_growth_mb_per_frame']:.3f} MB per frame and object"
    )
    lines = [head, f"{'policy':26} ms/frame  ratio frame   read  GFLOP  bank MB  temp MB  write ms"]
    for name, v in result["policies"].items():
        lines.append(
            f"{name:26} {v['ms']:8.2f} {v['ratio']:6.3f} {v['frame_ratio']:5.2f} "
            f"{v['memories']:3d}+{v['far']:d} {v['flops'] / 1e9:8.2f} {v['bank_mb']:8.3f} "
            f"{v['temporary_mb']:8.2f} {v['write_ms']:9.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="nano", help="other than nano: random weights")
    parser.add_argument("--size", type=int, default=0, help="pixels; default: the variant's own")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--warm", type=int, default=35, help="frames that are not counted")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--only", nargs="*", help="policies; the first is the base of the ratios")
    parser.add_argument("--json", default="", help="also write the figures to this file")
    flags = parser.parse_args()
    if not 0 < flags.warm < flags.frames:
        parser.error("--warm: fewer than --frames expected.")
    result = measure(flags)
    print(table(result))
    if flags.json:
        with open(flags.json, "w") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
