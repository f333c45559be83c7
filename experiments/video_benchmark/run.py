"""The benchmark from options to report.

Path:    options -> [run] -> ours, peers, rounds -> report
Units:   see report.
Errors:  ValueError naming a flag, before anything is compiled.
Source:  ours.
Differs: every figure is of frames after `warm_frames`, after `block_until_ready`; compiling, the
         prompts and the frames on which the memory fills up are apart.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from experiments.video_benchmark.options import BenchmarkOptions, check_options
from surgjax.models.variants import OFFICIAL, Sam2Config

PEER_NAMES = {"torch": "transformers", "official": "official"}
MEMORY_DIM = 64  # the only one that transformers' memory attention takes
DIFFERENT = 0.5  # mean IoU below which the sides cannot have done the same


def make_peer(
    options: BenchmarkOptions,
    config: Sam2Config,
    state: Mapping[str, Any] | None,
    threads: int,
    where: str = "cpu",
) -> Any:
    """The peer that the options name, with weights by its own names, on "cpu" or "cuda"."""
    further = (options.peer_autocast, where, options.peer_compile)
    if options.compare == "torch":
        from experiments.video_benchmark.transformers_peer import TransformersPeer

        return TransformersPeer(config, state, threads, *further)
    from experiments.video_benchmark.official_peer import OfficialPeer

    assert options.official_repo is not None  # checked with the flags
    return OfficialPeer(options.official_repo, config, state, threads, *further)


def peer_weights(options: BenchmarkOptions, params: dict, config: Sam2Config) -> dict[str, Any]:
    """Our weights by the peer's names; ValueError where the peer has no such model."""
    from surgjax.checkpoints import export_hugging_face, export_official

    for part in ("semantic_token", "long_memory_embedding"):
        if getattr(config, part):
            raise ValueError(
                f"--compare={options.compare}: the weights have a {part}; no peer has."
            )
    if options.compare == "torch":
        if config.memory_dim != MEMORY_DIM:
            raise ValueError(
                f"--compare=torch: {config.name} has memories of width {config.memory_dim}; "
                f"transformers' attention is written for {MEMORY_DIM}."
            )
        return export_hugging_face(params, config)
    if config.name not in OFFICIAL:
        raise ValueError(f"--compare=official: {config.name} is none of {', '.join(OFFICIAL)}.")
    return export_official(params, config)


def run(
    options: BenchmarkOptions, threads: int, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measures, prints a table and writes the file that --output names. Returns its content."""
    check_options(options)
    from experiments.video_benchmark.frames import grid_boxes, open_frames
    from experiments.video_benchmark.ours import Ours, weights
    from experiments.video_benchmark.streams import Streams
    from surgjax.inference.devices import describe_devices, has_accelerator
    from surgjax.memory.registry import options_for, stated

    policy = stated(options.memory, options_for(options.memory, options.memory_options))
    if options.compare and has_accelerator():
        from experiments.video_benchmark.torch_peer import torch_has_cuda

        if not torch_has_cuda():
            raise ValueError(
                f"--compare={options.compare}: JAX is on {describe_devices()}, and this torch has "
                "no CUDA; install one that has, or set JAX_PLATFORMS=cpu for both sides."
            )
    params, config, origin = weights(options)
    state = peer_weights(options, params, config) if options.compare else None
    source = open_frames(options.video, options.frames, config.image_size)
    boxes = grid_boxes(options.objects, source.height, source.width)
    say(f"device: {describe_devices()}, {threads} thread(s)")
    say(f"model: {config.name} ({origin}), {config.image_size} px, {options.precision}")
    say(f"memory: {policy}")
    say(f"video: {source.path}, {options.frames} frames, {source.width}x{source.height}")
    about = {
        "model": config.name,
        "image_size": config.image_size,
        "precision": options.precision,
        "memory": policy,
        "objects": options.objects,
        "streams": options.streams,
        "chunk": options.chunk,
        "frames": options.frames,
        "device": describe_devices(),
        "threads": threads,
    }
    say("compiling and warming up ...")
    if options.streams == 1:
        ours = Ours(params, config, options, source, boxes)
    else:
        ours = Streams(params, config, options, boxes)
    for _ in range(options.warm_steps):
        ours.advance()
    say(f"  compiled in {ours.compile_seconds:.1f} s")
    bench = Bench(options, threads, config, ours, say)
    result = bench.alone(about) if state is None else bench.beside(about, state, source, boxes)
    if options.output is not None:
        from experiments.video_benchmark.report import write

        write(options.output, result)
        say(f"results: {options.output}")
    return result


class Bench:
    """Our side warmed up; what is measured from here on."""

    def __init__(
        self,
        options: BenchmarkOptions,
        threads: int,
        config: Sam2Config,
        ours: Any,
        say: Callable[[str], None],
    ):
        from surgjax.inference.devices import has_accelerator

        self.options, self.threads, self.config = options, threads, config
        self.ours, self.say = ours, say
        self.where = "cuda" if has_accelerator() else "cpu"

    def alone(self, about: dict[str, Any]) -> dict[str, Any]:
        """Our side by itself; its memory is this process's."""
        from experiments.video_benchmark.peak_memory import our_peak_mib
        from experiments.video_benchmark.report import side_figures, table
        from experiments.video_benchmark.roofline import matmul_peak
        from experiments.video_benchmark.rounds import Timed
        from surgjax.inference.progress import Progress

        timed, frames = Timed(), []
        progress = Progress("tracking", self.options.steps_per_round, sys.stderr)
        for _ in range(self.options.steps_per_round):
            frames.append(self.ours.advance()._replace(masks=None))
            progress.step()
        progress.finish()
        timed.add(frames)
        peak = our_peak_mib() if self.options.memory_runs else None
        rate = matmul_peak(self.options.precision)
        flops = self.ours.flops_per_frame()
        found = side_figures(about, timed, self.ours.compile_seconds, peak, flops, rate)
        self.say(f"matmul peak: {rate / 1e9:.0f} GFLOP/s")
        self.say(table(found, ["surgjax"], [self.options.streams * _step_fps(timed)]))
        return found

    def beside(
        self, about: dict[str, Any], state: dict[str, Any], source: Any, boxes: list[list[float]]
    ) -> dict[str, Any]:
        """Our side and the peer in turns."""
        from experiments.video_benchmark.report import comparison, side_figures, table
        from experiments.video_benchmark.roofline import matmul_peak
        from experiments.video_benchmark.rounds import take_turns
        from experiments.video_benchmark.torch_peer import load_frames
        from surgjax.inference.frames import resize_for_model

        options = self.options
        name = PEER_NAMES[options.compare or ""]
        self.say(f"peer: {name}, warming up ...")
        peer = make_peer(options, self.config, state, self.threads, self.where)
        frames, load_ms = load_frames(source, self.config.image_size, resize_for_model)
        peer.begin(frames, load_ms, (source.height, source.width), boxes)
        for _ in range(options.warm_steps - 1):
            peer.advance()
        _, peer_flops = peer.advance_counted()  # with a full memory, as the frames to come
        rates = [(matmul_peak(options.precision), peer.matmul_peak())]
        self.ours.part_times()  # compiles them
        flops = self.ours.flops_per_frame()
        mine, theirs, agreement = take_turns(
            self.ours,
            peer,
            options.round_count,
            options.steps_per_round,
            RoundReport(options.round_count, self.say),
        )
        rates.append((matmul_peak(options.precision), peer.matmul_peak()))
        our_rate, peer_rate = (max(each) for each in zip(*rates, strict=True))
        self.say(f"matmul peak: {our_rate / 1e9:.0f} GFLOP/s, peer {peer_rate / 1e9:.0f} GFLOP/s")
        our_peak, peer_peak = self._memory(source, boxes)
        peer_about = about | {
            "precision": "bf16 autocast" if options.peer_autocast else "fp32",
            "memory": "its own",
            "device": peer.device,
        }
        found = side_figures(about, mine, self.ours.compile_seconds, our_peak, flops, our_rate)
        peer_found = side_figures(peer_about, theirs, 0.0, peer_peak, peer_flops, peer_rate)
        result = found | comparison(mine, theirs, peer_found)
        self.say(table(result, ["surgjax", name], [_step_fps(mine), _step_fps(theirs)]))
        self.say(str(agreement))
        if agreement.mean < DIFFERENT:
            self.say(
                "WARNING: the masks of the two sides differ: they have not done the same work."
            )
        return result

    def _memory(self, source: Any, boxes: list[list[float]]) -> tuple[float | None, float | None]:
        """Of both sides, each over the whole video in a process of its own."""
        from experiments.video_benchmark.peak_memory import measure_apart

        options, config = self.options, self.config
        if not options.memory_runs:
            return None, None
        peer = {
            "model": config.name,
            "version": config.version,
            "image_size": config.image_size,
            "threads": self.threads,
            "where": self.where,
            "size": [source.height, source.width],
            "boxes": boxes,
        }
        self.say("peak memory: each side once more in a process of its own ...")
        return (
            measure_apart("ours", options),
            measure_apart(options.compare or "", options, peer),
        )


class RoundReport:
    """A line after every round, with the time that is left."""

    def __init__(self, rounds: int, say: Callable[[str], None]):
        self.rounds, self.say, self._start = rounds, say, time.perf_counter()

    def __call__(self, number: int, ours: Any, peer: Any) -> None:
        from experiments.video_benchmark.timing import percentile, round_ratios

        mine, theirs = ours.step_ms[-1], peer.step_ms[-1]
        (ratio,) = round_ratios([mine], [theirs])
        done = number + 1
        left = (time.perf_counter() - self._start) / done * (self.rounds - done)
        self.say(
            f"round {done}/{self.rounds}: ours {percentile(mine, 50):.1f} ms, peer "
            f"{percentile(theirs, 50):.1f} ms, ratio {ratio:.3f}; {left:.0f} s left"
        )


def _step_fps(timed: Any) -> float:
    from experiments.video_benchmark.timing import per_second

    return per_second([ms for one in timed.step_ms for ms in one])
