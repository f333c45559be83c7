"""Several videos in one program, as several cameras or a folder of videos would be tracked.

Path:    options, boxes -> [streams] -> run
Axes:    V streams, T frames of a chunk (1 without --chunk), O objects; masks [V, O, H, W] bool.
Units:   milliseconds for a frame of every stream.
Errors:  ValueError where the video has fewer frames than asked for.
Source:  ours.
Differs: each video is prompted by itself, as a user would; from then on all are tracked together.
         With --video every stream reads that video; of the bundled clip each starts elsewhere.
"""

import time

import jax
import numpy as np

from experiments.video_benchmark import flops
from experiments.video_benchmark.frames import open_frames
from experiments.video_benchmark.options import BenchmarkOptions
from experiments.video_benchmark.ours import predictor, prompted
from experiments.video_benchmark.timing import Frame
from surgjax.inference.chunks import stack_states
from surgjax.inference.frames import resize_for_model
from surgjax.models.variants import Sam2Config
from surgjax.ops.masks import resize_logits

STARTS_APART = 5  # frames of the bundled clip


class Streams:
    """V videos on their way; `advance` takes the next frame, or chunk, of each."""

    name = "surgjax"

    def __init__(
        self,
        params: dict,
        config: Sam2Config,
        options: BenchmarkOptions,
        boxes: list[list[float]],
    ):
        tracker = predictor(params, config, options)
        self.programs, self.objects, self.chunk = tracker.programs, len(boxes), options.chunk
        self._sources = [
            open_frames(options.video, options.frames, config.image_size, STARTS_APART * v)
            for v in range(options.streams)
        ]
        self._side = config.image_size
        states, masks = [], []
        for source in self._sources:
            video = prompted(tracker, source, boxes)
            masks.append(next(tracker.propagate_in_video(video))[2][:, 0] > 0)
            states.append(video.running.tracks.track)
            assert video.features is not None
            self._features = video.features[1]
        self._masks = np.stack(masks)
        self._states, self._at = stack_states(states), 0
        slots = jax.tree.leaves(states[0].bank)[0].shape[0]
        blank = self.programs.blank_prompts(slots).replace(track=np.arange(slots) < self.objects)
        self._prompts = jax.tree.map(lambda x: np.stack([x] * options.streams), blank)

    @property
    def compile_seconds(self) -> float:
        return self.programs.compile_seconds

    def advance(self) -> Frame:
        """The next frame, or chunk, of every stream; the prompted one has no step (nan)."""
        if self._at == 0:
            self._at = 1
            return Frame(float("nan"), float("nan"), self._masks)
        start = time.perf_counter()
        upcoming = range(self._at, self._at + self.chunk)
        frames = np.stack(
            [[resize_for_model(each[t], self._side) for t in upcoming] for each in self._sources]
        )
        compiling, begun = self.programs.compile_seconds, time.perf_counter()
        videos = len(self._sources)
        states = self._states.replace(frame_index=np.full(videos, self._at, np.int32))
        real = np.ones((videos, self.chunk), bool)
        self._states, output = self.programs.track_streams(
            states, frames, real, self._prompts, False
        )
        low_res = np.asarray(output.low_res)[:, :, : self.objects]
        step = time.perf_counter() - begun - (self.programs.compile_seconds - compiling)
        for t in range(self.chunk):
            masks = [
                [resize_logits(one, (source.height, source.width)) > 0 for one in low_res[v, t]]
                for v, source in enumerate(self._sources)
            ]
        total = time.perf_counter() - start
        self._at += self.chunk
        each = 1000 / self.chunk
        return Frame(each * step, each * total, np.array(masks))

    def flops_per_frame(self) -> float | None:
        """Of one frame of one stream with what is remembered now."""
        first = jax.tree.map(lambda x: x[0], self._states)
        return flops.flops_per_frame(self.programs, first, self._features, self.objects)
