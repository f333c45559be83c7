"""Several frames in one program, and several streams at once.

Path:    frames -> encode together -> [scan over frames] -> masks of all of them
Axes:    T frames of a chunk, V streams, O object slots, S side of the model input.
Units:   frames normalised RGB; frame indices as in `stream`.
Source:  ours, over `stream`. On an accelerator a frame at a time is bound by the way to the host
         and back: nothing can be queued while the host waits for a mask.
Differs: `Stream.step` hands out a frame's masks before the next frame is looked at, as a live
         stream must. Here the host hears of T frames at once, and the encoder gets T (times V)
         frames in a batch. Masks are the same but for rounding.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from surgjax.inference.stream import FramePrompts, Stream, TrackOutput, TrackState
from surgjax.structs import ImageFeatures


def encode_frames(stream: Stream, params: dict, frames: jax.Array) -> ImageFeatures:
    """Frames [..., S, S, 3] in one batch; every leaf of the features gets leading axes [..., 1]."""
    leading = frames.shape[:-3]
    flat = frames.reshape(-1, *frames.shape[-3:])
    features: Any = stream.model.apply({"params": params}, flat, method="encode_image")
    return jax.tree.map(lambda x: x.reshape(*leading, 1, *x.shape[1:]), features)


def _scan(
    stream: Stream,
    keep_memory: bool,
    params: dict,
    state: TrackState,
    features: ImageFeatures,
    real: jax.Array,
    prompts: FramePrompts,
) -> tuple[TrackState, TrackOutput]:
    def body(state: TrackState, now: tuple[ImageFeatures, jax.Array]):
        features, real = now
        asked = prompts.replace(track=prompts.track & real)
        state, output = stream.track(params, state, features, asked)
        if not keep_memory:  # most of a chunk's bytes, and only records need them
            output = output.replace(memory=output.memory[:, :0], pointer=output.pointer[:, :0])
        return state, output

    return lax.scan(body, state, (features, real))


def track_chunk(
    stream: Stream,
    keep_memory: bool,
    params: dict,
    state: TrackState,
    frames: jax.Array,
    real: jax.Array,
    prompts: FramePrompts,
) -> tuple[TrackState, TrackOutput]:
    """Frames [T, S, S, 3] one after the other; outputs have a leading axis T.

    real [T] bool: frames that pad a chunk to its length leave the banks as they are. prompts hold
    for every frame of the chunk: `no_prompts`, with `track` as it should be, in nearly all uses.
    keep_memory=False returns `memory` and `pointer` empty.
    """
    features = encode_frames(stream, params, frames)
    return _scan(stream, keep_memory, params, state, features, real, prompts)


def track_streams(
    stream: Stream,
    keep_memory: bool,
    params: dict,
    states: TrackState,
    frames: jax.Array,
    real: jax.Array,
    prompts: FramePrompts,
) -> tuple[TrackState, TrackOutput]:
    """`track_chunk` for V videos or cameras: every argument but params has a leading axis V.

    Streams may have different numbers of objects and lengths (`real` [V, T]). The loop over
    objects runs as often as the stream with the most objects needs.
    """
    features = encode_frames(stream, params, frames)
    one = jax.vmap(lambda *args: _scan(stream, keep_memory, params, *args))
    return one(states, features, real, prompts)


def stack_states(states: list[TrackState]) -> TrackState:
    """States of the same shapes on a leading axis V."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
