"""How a video predictor propagates: prompts become memories, then frame by frame all objects.

Path:    session -> [propagation] -> stream -> masks at the size of the video
Axes:    mask_logits [objects, 1, H, W] float32 at the size of the video, in the order of obj_ids.
Units:   frame indices count decoded frames; direction is +1 forward, -1 backward.
Errors:  ValueError naming the object that has no prompt left.
Source:  SAM 2 `sam2/sam2_video_predictor.py` (propagate_in_video_preflight, propagate_in_video).
Differs: prompts and objects may come and go between two frames of a running propagation.
"""

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from surgjax.inference.device_tracks import DeviceTracks
from surgjax.inference.frame_source import FrameReadError
from surgjax.inference.running import Running
from surgjax.inference.session import ObjectTrack, VideoState
from surgjax.inference.video_engine import Frame, VideoEngine
from surgjax.ops.masks import fill_holes


class Part(NamedTuple):
    """An object whose way does not start at its first prompt in the direction of travel."""

    track: ObjectTrack
    start: int  # the first frame that is tracked
    origin: int  # frames before this one, in the direction of travel, are not its past


Parts = dict[int, Part]  # by object id
Tracked = tuple[dict[int, np.ndarray], dict[int, np.ndarray]]  # id -> logits, id -> semantic vector


class Propagation(VideoEngine):
    """The loop over frames."""

    def _prepare(self, state: VideoState) -> None:
        """Before a propagation: settles, and refuses objects that have nothing to start from."""
        if not state.objects:
            raise ValueError("no object: add a prompt before propagating")
        self._settle(state)
        for obj_id, track in state.objects.items():
            if not track.anchors:
                raise ValueError(
                    f"object {obj_id}: no prompt is left; add one or remove the object"
                )

    def _settle(self, state: VideoState) -> list[int]:
        """Turns prompted results into memories (the reference's preflight); whose they are."""
        changed = [obj_id for obj_id, track in state.objects.items() if track.pending]
        for obj_id in changed:
            track = state.objects[obj_id]
            for frame_idx, (record, conditioning) in track.pending.items():
                if conditioning:
                    track.conditioning[frame_idx] = record
                    if state.store is not None:
                        state.store.remove(obj_id, frame_idx)
                elif state.store is not None and frame_idx not in track.conditioning:
                    state.store.put(obj_id, frame_idx, record)
                self._clear_around(state, obj_id, frame_idx)
            track.pending.clear()
            if state.live:
                self._keep_nearest_prompts(state, obj_id, track)
        return changed

    def _clear_around(self, state: VideoState, obj_id: int, frame_idx: int) -> None:
        """Removes the records of tracked frames near a prompted one, where that is asked for."""
        if self.clear_non_cond_mem_around_input and state.store is not None:
            window = self.config.num_maskmem
            for near in range(frame_idx - window, frame_idx + window + 1):
                state.store.remove(obj_id, near)

    def _keep_nearest_prompts(self, state: VideoState, obj_id: int, track: ObjectTrack) -> None:
        """A live stream has no end, so it keeps no more prompted frames than its bank has slots."""
        limit = self.programs.stream.cond_slots
        far = sorted(track.conditioning, key=lambda f: abs(f - state.next_live_frame))[limit:]
        if far:
            logging.warning(
                "object %d: a live stream keeps the %d prompted frames closest in time and forgets "
                "frame %s",
                obj_id,
                limit,
                ", ".join(map(str, sorted(far))),
            )
        for frame_idx in far:
            del track.conditioning[frame_idx]
            track.points.pop(frame_idx, None)
            track.masks.pop(frame_idx, None)

    def _propagate(self, state: VideoState, *how: Any, **more: Any) -> Iterator[Frame]:
        """`track_through` with masks at the size of the video."""
        for f, ids, shown in self.track_through(state, *how, **more):
            yield f, ids, self._to_video(state, [shown.get(o) for o in ids])

    def track_through(
        self,
        state: VideoState,
        frames: Iterator[int] | range,
        direction: int,
        parts: Parts | None = None,
        then_back: bool = False,
        tracks: DeviceTracks | None = None,
    ) -> Iterator[tuple[int, list[int], dict[int, np.ndarray]]]:
        """Tracks frame after frame: its index, the objects, and the logits [S/4, S/4] of those that
        have a mask. An object's masks start at its first prompt in that direction.

        `parts` say otherwise, as for the second half of `propagate_both`; objects without a mask
        are not yielded then. `then_back` says that this half will follow. `tracks` are banks to go
        on with.
        """
        if tracks is None:
            tracks = self._tracks(state, direction, parts or {})
        running = None
        if isinstance(frames, range):
            running = Running(tracks, frames, parts is not None, then_back)
        state.running = running
        upcoming = iter(frames)
        while state.objects:  # looked at before a live frame is taken
            t = next(upcoming, None)
            if t is None:
                return
            changed = self._settle(state)
            tracks.drop_missing()
            run, masks = self._at_frame(state, tracks, t, direction, parts, changed)
            together = [t]
            if running is not None and run and not masks:
                together += self._ahead(state, running, t, direction, parts, run)
            owners = {obj_id: state.objects[obj_id] for obj_id in [*run, *masks]}
            semantics = state.semantics
            follows = None
            if running is not None and self.encode_ahead and self.chunk == 1:
                follows = running.after(t)
            found = self._track_frames(state, tracks, together, run, follows) if run else [({}, {})]
            for obj_id in run:
                for f in together[: len(found)]:
                    state.objects[obj_id].mark_tracked(f, direction)
            for k, (tracked, meant) in enumerate(found):
                f = t if k == 0 else next(upcoming)
                if not state.objects:
                    return
                # An object may have gone since, and its id have been given to another.
                here = [o for o, owner in owners.items() if state.objects.get(o) is owner]
                shown = {o: (masks | tracked)[o] for o in here}
                state.semantics = {o: v for o, v in (semantics | meant).items() if o in here}
                ids = state.obj_ids if parts is None else [o for o in state.objects if o in here]
                if running is not None:
                    running.last, running.ahead = f, len(found) - 1 - k
                yield f, ids, shown

    def _at_frame(
        self,
        state: VideoState,
        tracks: DeviceTracks,
        t: int,
        direction: int,
        parts: Parts | None,
        changed: list[int],
    ) -> tuple[dict[int, int], dict[int, np.ndarray]]:
        """Brings the banks to frame t: the objects to track there (id -> slot), and the masks of
        those that were prompted there."""
        run: dict[int, int] = {}
        masks: dict[int, np.ndarray] = {}
        state.semantics = {}
        for obj_id, track in state.objects.items():
            if not track.anchors:
                continue
            begin, origin = self._begin(obj_id, track, direction, parts)
            if (t - begin) * direction < 0:
                continue
            if obj_id not in tracks.slot_of:
                tracks.replay(obj_id, t)
            elif obj_id in changed and self.clear_non_cond_mem_around_input:
                tracks.forget(obj_id, t)
            known = self.known_frames(state, track, t, direction, origin)
            tracks.remember_prompts(obj_id, t, known)
            if t in track.corrections and tracks.has_prompts(obj_id):
                self.correct(state, tracks, t, obj_id)
            if t in track.conditioning:
                masks[obj_id] = track.conditioning[t].low_res
                semantic = track.conditioning[t].semantic
                if semantic is not None:
                    state.semantics[obj_id] = semantic
                track.mark_tracked(t, direction)
                if self.clear_non_cond_mem_around_input:
                    self._clear_around(state, obj_id, t)
                    tracks.forget(obj_id, t + direction)
            elif tracks.has_prompts(obj_id):
                run[obj_id] = tracks.slot_of[obj_id]
        return run, masks

    def _ahead(
        self,
        state: VideoState,
        running: Running,
        t: int,
        direction: int,
        parts: Parts | None,
        run: dict[int, int],
    ) -> list[int]:
        """The frames after t, in the direction of travel, that may share a program with it: no
        object starts there or is prompted, and the same prompts are read."""
        slots = self.programs.stream.cond_slots
        if any(len(track.conditioning) > slots for track in state.objects.values()):
            return []  # which of them are read changes on the way
        place = running.frames.index(t)
        upcoming = running.frames[place + 1 : place + self.chunk]
        for count, f in enumerate(upcoming):
            for obj_id, track in state.objects.items():
                if f in track.conditioning or f in track.corrections:
                    return list(upcoming[:count])
                if obj_id in run or not track.anchors:
                    continue
                begin, _ = self._begin(obj_id, track, direction, parts)
                if (f - begin) * direction >= 0:
                    return list(upcoming[:count])
        return list(upcoming)

    def _tracks(self, state: VideoState, direction: int, parts: Parts) -> DeviceTracks:
        """The banks of one propagation. Those of a live stream last as long as the stream."""
        if not state.live:
            begins = {obj_id: part.origin for obj_id, part in parts.items()}
            return DeviceTracks(self.programs, state, direction, begins)
        if state.live_tracks is None:
            state.live_tracks = DeviceTracks(self.programs, state, direction)
        return state.live_tracks

    def _begin(
        self, obj_id: int, track: ObjectTrack, direction: int, parts: Parts | None
    ) -> tuple[float, float]:
        """Where the object's masks start, and where its past does; prompts may have come or gone
        since the last frame."""
        if parts is not None and obj_id in parts and parts[obj_id].track is track:
            return parts[obj_id].start, parts[obj_id].origin
        begin = min(track.anchors) if direction > 0 else max(track.anchors)
        if parts is None and self.track_before_first_prompt:
            begin = -direction * math.inf
        return begin, begin

    def _track_frames(
        self,
        state: VideoState,
        tracks: DeviceTracks,
        frames: list[int],
        run: dict[int, int],
        follows: int | None,
    ) -> list[Tracked]:
        """Tracks objects (id -> slot) on frames in a row: of one frame or more, what was found.

        follows: the frame that will be asked for next. The device gets it to encode right behind
        this one, so that it works on while masks go to the host, and to whoever wants them.
        """
        known = len(frames) == 1 and self._cached(state, frames[0])
        pixels = [] if known else self._read_chunk(state, frames)
        compiling = self.programs.compile_seconds
        start = time.perf_counter()
        tracks.at(frames[0])
        only = np.isin(np.arange(tracks.capacity), list(run.values()))
        prompts = self.programs.blank_prompts(tracks.capacity).replace(track=only)
        if len(pixels) > 1:
            real = np.arange(self.chunk) < len(pixels)
            pad = [np.zeros_like(pixels[0])] * (self.chunk - len(pixels))
            args = (np.stack(pixels + pad), real, prompts, state.store is not None)
            tracks.track, output = self.programs.track_chunk(tracks.track, *args)
        else:
            features = self.features(state, frames[0], None if known else pixels[0])
            tracks.track, output = self.programs.track(tracks.track, features, prompts)
        reading = self._begin_next(state, follows)

        def rows(x: jax.Array) -> np.ndarray:
            """On the host, one row a frame: on the device it would be a program for every leaf."""
            return np.asarray(x) if len(pixels) > 1 else np.asarray(x)[None]

        low_res = rows(jax.block_until_ready(output.low_res))
        spent = time.perf_counter() - start - (self.programs.compile_seconds - compiling) - reading
        frames = frames[: max(len(pixels), 1)]
        self.programs.step_ms.extend([1000 * spent / len(frames)] * len(frames))
        semantic = None if output.semantic is None else rows(output.semantic)
        host = jax.tree.map(rows, output) if state.store is not None else None
        found: list[Tracked] = []
        for k, t in enumerate(frames):
            # As in the reference, the mask is kept filled; its memory is of the mask as it was.
            filled = {o: fill_holes(low_res[k, s], self.fill_hole_area) for o, s in run.items()}
            meant = {} if semantic is None else {o: semantic[k, s] for o, s in run.items()}
            found.append((filled, meant))
            if state.store is not None:
                at = jax.tree.map(lambda x, k=k: x[k], host)
                for obj_id, slot in run.items():
                    record = self._to_record(at, slot)._replace(low_res=filled[obj_id])
                    state.store.put(obj_id, t, record)
        return found

    def _begin_next(self, state: VideoState, follows: int | None) -> float:
        """Has the next frame encoded without waiting for it. Returns the seconds of reading it."""
        if follows is None or self._cached(state, follows):
            return 0.0
        start = time.perf_counter()
        try:
            frame = self._read(state, follows)
        except FrameReadError:  # its turn comes, after the masks of those before it
            return time.perf_counter() - start
        seconds = time.perf_counter() - start
        state.upcoming = (follows, self.programs.encode(frame))
        return seconds

    def _read_chunk(self, state: VideoState, frames: list[int]) -> list[np.ndarray]:
        """Pixels of these frames, up to the first one that cannot be read."""
        pixels = [self._read(state, frames[0])]
        for t in frames[1:]:
            try:
                pixels.append(self._read(state, t))
            except FrameReadError:  # its turn comes, after the masks of those before it
                break
        return pixels
