"""Compiled programs of a tracker: one per bucket of object and prompt slots, timed.

Path:    stream -> [programs] -> video and image predictors
Axes:    O object slots, P point slots.
Units:   seconds for compilation, milliseconds for steps.
Source:  ours.
Differs: programs are compiled ahead of their first use, so compile time is a number of its own and
         a program that would be compiled twice is a bug that a counter shows.
"""

import array
import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.inference import chunks
from surgjax.inference.stream import FramePrompts, Stream, TrackOutput, TrackState, no_prompts
from surgjax.memory.memory_bank import MemoryEntry
from surgjax.structs import ImageFeatures

OBJECT_BUCKETS = (1, 4, 8, 16, 32, 64, 128, 254)
POINT_BUCKETS = (4, 16, 64, 256)
PRECISIONS = {"fp32": jnp.float32, "bf16": jnp.bfloat16}


def bucket(count: int, buckets: tuple[int, ...], what: str) -> int:
    """The smallest bucket that holds `count`."""
    for size in buckets:
        if count <= size:
            return size
    raise ValueError(f"{count} {what}: at most {buckets[-1]} are supported")


class Programs:
    """Lowered, compiled and cached functions of one `Stream` with its parameters on the device."""

    def __init__(self, stream: Stream, params: dict):
        self.stream = stream
        self.params = jax.device_put(params)
        self.compile_seconds = 0.0
        self.compiled: dict[tuple, Any] = {}
        self.step_ms = array.array("d")  # compact: one entry for every frame of a long stream
        self.on_compile: Callable[[str], None] = lambda what: logging.info("compiling %s", what)
        self._blank: dict[tuple[int, int], FramePrompts] = {}

    def _run(self, key: tuple, function: Callable, *args, donate: tuple[int, ...] = ()):
        """Runs a program, compiling it for these shapes first if it never ran."""
        program = self.compiled.get(key)
        if program is None:
            self.on_compile(" ".join(str(k) for k in key))
            start = time.perf_counter()
            # float32 must mean float32 on hardware whose default is a reduced precision.
            fp32 = self.stream.dtype == jnp.float32
            with jax.default_matmul_precision("highest" if fp32 else "default"):
                program = jax.jit(function, donate_argnums=donate).lower(*args).compile()
            self.compile_seconds += time.perf_counter() - start
            self.compiled[key] = program
        return program(*args)

    def encode(self, frame: np.ndarray) -> ImageFeatures:
        """One normalised frame [S, S, 3]."""
        return self._run(("image encoder",), self.stream.encode, self.params, frame)

    def encode_batch(self, frames: np.ndarray) -> ImageFeatures:
        """Normalised frames [B, S, S, 3]."""
        encode = functools.partial(self.stream.model.apply, method="encode_image")
        key = ("image encoder, batch", frames.shape[0])
        return self._run(key, lambda p, x: encode({"params": p}, x), self.params, frames)

    def track(
        self, state: TrackState, features: ImageFeatures, prompts: FramePrompts
    ) -> tuple[TrackState, TrackOutput]:
        """One step over all objects. The state is donated: use the one that comes back."""
        key = ("tracker", prompts.track.shape[0], prompts.points.valid.shape[1])
        args = (self.params, state, features, prompts)
        return self._run(key, self.stream.track, *args, donate=(1,))

    def track_chunk(
        self,
        state: TrackState,
        frames: np.ndarray,
        real: np.ndarray,
        prompts: FramePrompts,
        keep_memory: bool,
    ) -> tuple[TrackState, TrackOutput]:
        """Normalised frames [T, S, S, 3] in one program, see `chunks`. The state is donated."""
        key = ("chunk", frames.shape[0], *prompts.points.valid.shape, keep_memory)
        one = functools.partial(chunks.track_chunk, self.stream, keep_memory)
        return self._run(key, one, self.params, state, frames, real, prompts, donate=(1,))

    def track_streams(
        self,
        states: TrackState,
        frames: np.ndarray,
        real: np.ndarray,
        prompts: FramePrompts,
        keep_memory: bool,
    ) -> tuple[TrackState, TrackOutput]:
        """Normalised frames [V, T, S, S, 3] of V videos, see `chunks`. The states are donated."""
        key = ("streams", *frames.shape[:2], *prompts.points.valid.shape[1:], keep_memory)
        one = functools.partial(chunks.track_streams, self.stream, keep_memory)
        return self._run(key, one, self.params, states, frames, real, prompts, donate=(1,))

    def blank_prompts(self, objects: int, points: int = POINT_BUCKETS[0]) -> FramePrompts:
        """Empty prompts that already lie on the device; `replace` fields of them."""
        key = (objects, points)
        if key not in self._blank:
            blank = no_prompts(self.stream.config, objects, points)
            self._blank[key] = jax.device_put(blank)
        return self._blank[key]

    def write(self, state: TrackState, slot: int, entry: MemoryEntry) -> TrackState:
        """Writes a remembered frame into the bank of one object."""

        def put(state: TrackState, slot: jax.Array, entry: MemoryEntry) -> TrackState:
            row = jax.tree.map(lambda x: x[slot], state.bank)
            row = self.stream.policy.write(row, entry)
            bank = jax.tree.map(lambda all_, x: all_.at[slot].set(x), state.bank, row)
            return state.replace(bank=bank)

        key = ("memory write", jax.tree.leaves(state.bank)[0].shape[0])
        return self._run(key, put, state, np.int32(slot), entry, donate=(0,))

    def drop_prompt(self, state: TrackState, slot: int, frame_idx: int) -> TrackState:
        """Takes a conditioning frame out of the bank of one object."""

        def drop(state: TrackState, slot: jax.Array, frame_idx: jax.Array) -> TrackState:
            row = jax.tree.map(lambda x: x[slot], state.bank)
            row = self.stream.policy.drop_prompt(row, frame_idx)
            bank = jax.tree.map(lambda all_, x: all_.at[slot].set(x), state.bank, row)
            return state.replace(bank=bank)

        key = ("memory drop", jax.tree.leaves(state.bank)[0].shape[0])
        return self._run(key, drop, state, np.int32(slot), np.int32(frame_idx), donate=(0,))

    def reset(self, state: TrackState, slot: int) -> TrackState:
        """Empties the bank of one object."""

        def put(state: TrackState, slot: jax.Array) -> TrackState:
            row = self.stream.policy.init()
            return state.replace(
                bank=jax.tree.map(lambda all_, x: all_.at[slot].set(x), state.bank, row)
            )

        key = ("memory reset", jax.tree.leaves(state.bank)[0].shape[0])
        return self._run(key, put, state, np.int32(slot), donate=(0,))

    def encode_memory(
        self, features: ImageFeatures, low_res: np.ndarray, object_score: float
    ) -> np.ndarray:
        """Memory [N, D] of a prompted frame whose mask [S/4, S/4] was changed on the host."""
        stream = self.stream
        size = (stream.config.image_size,) * 2
        dtype = stream.policy.memory.dtype

        def encode(params, features, low_res, score):
            high = jax.image.resize(low_res, size, "linear", antialias=False)
            one = jnp.ones(1, bool)
            args = (features.s16, high[None], score[None], one)
            apply = stream.model.apply
            return apply({"params": params}, *args, method="encode_memory")[0].astype(dtype)

        args = (self.params, features, low_res, np.float32(object_score))
        return np.asarray(self._run(("memory encoder",), encode, *args))

    def decode_image(self, features: ImageFeatures, points, mask_logits, use_mask) -> tuple:
        """Image prediction for prompts [B, P] on rows of features [B, ...].

        Returns mask logits [B, 4, S/4, S/4], IoUs [B, 4] and the index [B] of the single mask.
        """
        model = self.stream.model

        def decode(params, features, points, mask_logits, use_mask):
            apply = functools.partial(model.apply, {"params": params})
            rows = points.valid.shape[0]
            features = jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *x.shape[1:])), features)
            s16 = apply(features.s16, method="add_no_memory")
            args = (features, s16, points, mask_logits, use_mask)
            out: Any = apply(*args, blank_tokens=False, method="decode")
            return out.mask_logits, out.ious, apply(out, method="single_choice")

        key = ("mask decoder", *points.valid.shape, features.s16.shape[0])
        return self._run(key, decode, self.params, features, points, mask_logits, use_mask)
