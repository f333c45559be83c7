"""A propagation between two frames as plain arrays, so that a later process can go on with it.

Path:    state of a propagation -> [snapshot] -> arrays and facts -> a file -> the same again
Axes:    bank leaves [O, ...]; of each object its prompted frames' memories, see `records.Record`.
Units:   frame indices count decoded frames from 0.
Errors:  ValueError where there is nothing to take or where arrays do not fit the model; it names
         the array, what was expected and what was found.
Source:  ours.
Differs: SAM 2's state cannot be saved but by pickling a dict of all frames. Here it has a fixed
         size: the bank, and what prompts left. Facts are JSON, arrays have NumPy's own types, so
         nothing has to be executed to read them back. Prompts themselves are not kept but for
         corrections, their memories are: as without records, a frame that was tracked cannot be
         corrected afterwards.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import keystr

from surgjax.inference.device_tracks import DeviceTracks
from surgjax.inference.records import Record
from surgjax.inference.running import Running
from surgjax.inference.session import ObjectTrack, Points, Prompt, VideoState
from surgjax.inference.stream import Stream
from surgjax.memory.policies import Bank

_PARTS = ("memory", "pointer", "low_res", "semantic")


class Snapshot(NamedTuple):
    """`facts` can be written as JSON; `arrays` by any format of named arrays."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]


def take_snapshot(state: VideoState) -> Snapshot:
    """Copies to the host what the propagation under way needs to go on."""
    running = state.running
    if running is None or running.last is None:
        raise ValueError("snapshot: no frame of this video has been tracked yet")
    if running.ahead:
        raise ValueError(
            f"snapshot: {running.ahead} frames of the chunk under way have not been taken yet"
        )
    if state.store is not None:
        raise ValueError("snapshot: records of tracked frames are kept; keep_records=False needed")
    waiting = [obj_id for obj_id, track in state.objects.items() if track.pending]
    if waiting:
        raise ValueError(f"snapshot: object {waiting[0]} has a prompt that no frame has used yet")
    leaves, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(running.tracks.track.bank))
    arrays = {f"bank{keystr(path)}": _plain(leaf) for path, leaf in leaves}
    placed, objects = running.tracks.placed(), []
    for obj_id, track in state.objects.items():
        arrays[f"{obj_id}.tracked"] = track.tracked
        for frame, record in track.conditioning.items():
            parts = {name: getattr(record, name) for name in _PARTS}
            parts["scores"] = np.array([record.object_score, record.iou], np.float64)
            for name, value in parts.items():
                if value is not None:
                    arrays[f"{obj_id}.{frame}.{name}"] = _plain(value)
        for frame, prompt in track.corrections.items():
            given = f"{obj_id}.{frame}.given_"
            if isinstance(prompt, Points):
                arrays[f"{given}xy"], arrays[f"{given}labels"] = prompt.points_xy, prompt.labels
            else:
                arrays[f"{given}mask"] = prompt
        slot, written = placed.get(obj_id, (None, []))
        frames = {"prompted": list(track.conditioning), "corrected": list(track.corrections)}
        objects.append({"id": obj_id, "slot": slot, "written": written, **frames})
    frames = running.frames
    facts = {
        "objects": objects,
        "slots": running.tracks.capacity,
        "frames": [frames.start, frames.stop, frames.step],
        "last": running.last,
        "is_way_back": running.is_way_back,
        "then_back": running.then_back,
    }
    return Snapshot(facts, arrays)


def restore_snapshot(
    stream: Stream,
    state: VideoState,
    snapshot: Snapshot,
    make_tracks: Callable[[VideoState, int, Any], DeviceTracks],
    way_back: Callable[[VideoState], Any] | None,
) -> None:
    """Fills a new state of the same video, and leaves the propagation in `state.running`."""
    if state.objects:
        raise ValueError("restore: the state has objects already; a new one is needed")
    if state.live or state.store is not None:
        raise ValueError("restore: a video that can be read again, and keep_records=False, needed")
    facts, arrays = snapshot
    state.capacity = facts["slots"]
    for item in facts["objects"]:
        state.objects[item["id"]] = _object(stream, len(state.source), item, arrays)
    tracks = make_tracks(state, facts["frames"][2], {} if way_back is None else way_back(state))
    bank = _bank(stream, facts["slots"], arrays)
    placed = {o["id"]: (o["slot"], o["written"]) for o in facts["objects"] if o["slot"] is not None}
    tracks.put_back(bank, placed)
    frames = range(*facts["frames"])
    state.running = Running(tracks, frames, facts["is_way_back"], facts["then_back"], facts["last"])


def _object(stream: Stream, frames: int, item: dict, arrays: dict[str, np.ndarray]) -> ObjectTrack:
    memory, c, obj_id = stream.policy.memory, stream.config, item["id"]
    track = ObjectTrack(tracked=_take(arrays, f"{obj_id}.tracked", (frames,), np.dtype(np.int8)))
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    for frame in item["prompted"]:
        where = f"{obj_id}.{frame}."
        scores = _take(arrays, where + "scores", (2,), double)
        semantic = arrays.get(where + "semantic")
        track.conditioning[frame] = Record(
            memory=_take(arrays, where + "memory", memory.shape, np.dtype(memory.dtype)),
            pointer=_take(arrays, where + "pointer", (c.hidden_dim,), single),
            low_res=_take(arrays, where + "low_res", (c.mask_size,) * 2, single),
            object_score=float(scores[0]),
            iou=float(scores[1]),
            semantic=None if semantic is None else np.array(semantic),
        )
    for frame in item["corrected"]:
        track.corrections[frame] = _correction(stream, f"{obj_id}.{frame}.given_", arrays)
    return track


def _correction(stream: Stream, where: str, arrays: dict[str, np.ndarray]) -> Prompt:
    if f"{where}mask" in arrays:
        return _take(arrays, f"{where}mask", (stream.config.image_size,) * 2, np.dtype(bool))
    labels = arrays.get(f"{where}labels", np.zeros(0))  # as many as there are
    xy = _take(arrays, f"{where}xy", (len(labels), 2), np.dtype(np.float32))
    return Points(xy, _take(arrays, f"{where}labels", labels.shape, np.dtype(np.int32)))


def _bank(stream: Stream, slots: int, arrays: dict[str, np.ndarray]) -> Bank:
    template = jax.eval_shape(lambda: stream.init_state(slots)).bank
    leaves, tree = jax.tree_util.tree_flatten_with_path(template)
    found = [
        _take(arrays, f"bank{keystr(path)}", leaf.shape, np.dtype(leaf.dtype))
        for path, leaf in leaves
    ]
    return jax.tree_util.tree_unflatten(tree, found)


def _plain(value: Any) -> np.ndarray:
    """bfloat16 as its bits: few formats know it."""
    value = np.asarray(value)
    return value.view(np.uint16) if value.dtype.name == "bfloat16" else value


def _take(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    bits = np.dtype(np.uint16) if dtype.name == "bfloat16" else dtype
    if name not in arrays:
        raise ValueError(f"snapshot: array {name} is missing")
    found = arrays[name]
    if (found.shape, found.dtype) != (tuple(shape), bits):
        raise ValueError(
            f"snapshot: {name}: {bits} {tuple(shape)} expected, {found.dtype} {found.shape} found"
        )
    return np.array(found).view(dtype)  # a copy of its own: the file may be closed
