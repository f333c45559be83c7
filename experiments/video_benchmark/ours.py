"""Our side of the benchmark: `VideoPredictor` as a user calls it, with its parts timed apart.

Path:    options, frames, boxes -> [ours] -> rounds, report
Axes:    masks [O, H, W] bool at the size of the video.
Units:   milliseconds; MiB of 2^20 bytes.
Errors:  those of loading weights and of a memory policy's options.
Source:  ours.
Differs: the parts are programs of their own, compiled apart, run on what the tracker remembers and
         sees at that moment, one object after the other. What XLA merges across parts in the step
         is lost in them, and each pays for a call: their sum is not the step.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.video_benchmark import flops
from experiments.video_benchmark.options import BenchmarkOptions
from experiments.video_benchmark.timing import Frame
from surgjax.inference.frames import FrameSource, resize_for_model
from surgjax.inference.session import VideoState
from surgjax.inference.stream import Stream, TrackState, no_prompts
from surgjax.inference.video import VideoPredictor
from surgjax.inference.weights import load_weights
from surgjax.memory.policies import Clock
from surgjax.models.variants import Sam2Config, get_config
from surgjax.ops.resize import resize_bilinear
from surgjax.structs import ImageFeatures
from surgjax.testing import lively_params


def weights(options: BenchmarkOptions) -> tuple[dict, Sam2Config, str]:
    """Parameters, configuration, and where they come from.

    Models that are not bundled get random weights unless there is a checkpoint: speed does not
    depend on them. They are drawn so that masks differ from frame to frame and can be compared.
    """
    name = options.model or "nano"
    if options.checkpoint or name == "nano":
        path = options.checkpoint or name
        params, config, _ = load_weights(path, options.image_size, False)
        if options.checkpoint and options.model not in (None, config.name):
            raise ValueError(
                f"--model={options.model}, but {options.checkpoint} holds {config.name}; leave "
                "--model out, it is inferred."
            )
        return params, config, options.checkpoint or "bundled weights"
    config = get_config(name, image_size=options.image_size)
    return lively_params(config), config, "random weights: masks mean nothing, speed is real"


def predictor(params: dict, config: Sam2Config, options: BenchmarkOptions) -> VideoPredictor:
    """As `experiments.track` has it."""
    return VideoPredictor(
        params,
        config,
        options.precision,
        memory=options.memory,
        memory_options=options.memory_options,
        keep_records=False,  # nothing is corrected afterwards
        encode_ahead=False,  # a step is one frame's work, and none of the next one's
        chunk=options.chunk,
    )


def prompted(tracker: VideoPredictor, source: FrameSource, boxes: list[list[float]]) -> VideoState:
    """The video with a box for each object on its first frame."""
    state = tracker.init_state(source, max_objects=len(boxes))
    for k, box in enumerate(boxes):
        tracker.add_new_points_or_box(state, 0, k + 1, box=box)
    return state


class Ours:
    """The predictor on its way through the video; objects are prompted by boxes on frame 0."""

    name = "surgjax"

    def __init__(
        self,
        params: dict,
        config: Sam2Config,
        options: BenchmarkOptions,
        source: FrameSource,
        boxes: list[list[float]],
    ):
        self.predictor = predictor(params, config, options)
        self.objects, self.chunk = len(boxes), options.chunk
        self.programs = self.predictor.programs
        self._state = prompted(self.predictor, source, boxes)
        self._frames = self.predictor.propagate_in_video(self._state)
        self._sample = resize_for_model(source[0], config.image_size)
        self._parts: Parts | None = None

    @property
    def compile_seconds(self) -> float:
        return self.programs.compile_seconds

    def advance(self) -> Frame:
        """The next frame, or chunk; the prompted frame is alone and has no step (nan)."""
        before = len(self.programs.step_ms)
        start = time.perf_counter()
        _, _, logits = next(self._frames)
        masks = logits[:, 0] > 0
        tracked = len(self.programs.step_ms) - before
        for _ in range(tracked - 1):
            _, _, logits = next(self._frames)
            masks = logits[:, 0] > 0
        total = 1000 * (time.perf_counter() - start) / max(tracked, 1)
        return Frame(self.programs.step_ms[-1] if tracked else float("nan"), total, masks)

    def _now(self) -> tuple[TrackState, ImageFeatures]:
        """What the tracker remembers, and the features of the frame that it saw by itself last."""
        assert self._state.features is not None
        return self._state.running.tracks.track, self._state.features[1]

    def flops_per_frame(self) -> float | None:
        """Of a frame with what is remembered now."""
        return flops.flops_per_frame(self.programs, *self._now(), self.objects)

    def part_times(self) -> dict[str, float]:
        """Each part timed now, summed over the objects; the first call compiles them."""
        state, features = self._now()
        if self._parts is None:
            self._parts = Parts(self.programs.stream, self.programs.params)
        return self._parts.time(self._sample, features, state, self.objects)


class Parts:
    """The encoder, and for one object memory attention, decoder and memory encoder."""

    def __init__(self, stream: Stream, params: dict):
        self.stream, self.params = stream, params
        self._compiled: dict[str, Any] = {}
        self._blank = no_prompts(stream.config, 1).points

    def time(self, frame: np.ndarray, features: Any, state: Any, objects: int) -> dict[str, float]:
        """Milliseconds of one frame."""
        clock = Clock(state.frame_index, state.direction, state.num_frames)
        spent: dict[str, float] = dict.fromkeys(PART_NAMES, 0.0)
        self._call(spent, "image_encoder", self.stream.encode, frame)
        for slot in range(objects):
            row = jax.tree.map(lambda x, slot=slot: x[slot], state.bank)
            jax.block_until_ready(row)
            conditioned = self._call(
                spent, "memory_attention", self._condition, features.s16, row, clock
            )
            score, high = self._call(
                spent, "mask_decoder", self._decode, features, conditioned, self._blank
            )
            self._call(spent, "memory_encoder", self._remember, features.s16, high, score)
        return spent

    def _call(self, spent: dict[str, float], name: str, function: Callable, *args: Any) -> Any:
        program = self._compiled.get(name)
        if program is None:
            fp32 = self.stream.dtype == jnp.float32
            with jax.default_matmul_precision("highest" if fp32 else "default"):
                program = jax.jit(function).lower(self.params, *args).compile()
            self._compiled[name] = program
            jax.block_until_ready(program(self.params, *args))
        start = time.perf_counter()
        result = jax.block_until_ready(program(self.params, *args))
        spent[name] += 1000 * (time.perf_counter() - start)
        return result

    def _apply(self, params: dict) -> Callable:
        return functools.partial(self.stream.model.apply, {"params": params})

    def _condition(self, params: dict, s16: jax.Array, row: Any, clock: Clock) -> Any:
        read = self.stream.policy.read(row, clock)
        return self._apply(params)(s16, read, tiled=True, method="condition")

    def _decode(self, params: dict, features: Any, conditioned: Any, points: Any) -> Any:
        config, apply = self.stream.config, self._apply(params)
        side = config.image_size
        low, one = jnp.zeros((1, config.mask_size, config.mask_size)), jnp.ones(1, bool)
        decoded = apply(features, conditioned, points, low, ~one, method="decode")
        output = apply(decoded, one, method="select")
        return output.object_score, resize_bilinear(output.low_res, (side, side))

    def _remember(self, params: dict, s16: jax.Array, high: jax.Array, score: jax.Array) -> Any:
        tracked = jnp.zeros(1, bool)
        return self._apply(params)(s16, high, score, tracked, method="encode_memory")


PART_NAMES = ("image_encoder", "memory_attention", "mask_decoder", "memory_encoder")
