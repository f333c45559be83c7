"""How a video predictor computes: one prompt on one frame, one frame of all objects, the loop.

Path:    session -> [video_engine] -> stream -> masks at the size of the video
Axes:    mask_logits [objects, 1, H, W] float32 at the size of the video, in the order of obj_ids.
Units:   frame indices count decoded frames; direction is +1 forward, -1 backward.
Errors:  ValueError naming object and frame.
Source:  SAM 2 `sam2/sam2_video_predictor.py` (propagate_in_video_preflight, propagate_in_video).
"""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging

from surgjax.inference.device_tracks import DeviceTracks
from surgjax.inference.frames import resize_for_model
from surgjax.inference.programs import POINT_BUCKETS, PRECISIONS, Programs, bucket
from surgjax.inference.records import Record
from surgjax.inference.session import ObjectTrack, VideoState
from surgjax.inference.stream import FramePrompts, Stream
from surgjax.models.sam2 import NO_OBJECT_LOGIT
from surgjax.models.variants import Sam2Config
from surgjax.ops.masks import fill_holes, resize_logits, separate_objects
from surgjax.structs import ImageFeatures

Frame = tuple[int, list[int], np.ndarray]  # frame_idx, obj_ids, mask_logits
_PROMPT_LOGIT_LIMIT = 32.0  # of a mask that is being corrected, as in the reference


class VideoEngine:
    """What `VideoPredictor` stands on: its options, its programs, and the work they do."""

    def __init__(
        self,
        params: dict,
        config: Sam2Config,
        precision: str = "fp32",
        *,
        memory_precision: str = "bf16",
        stream: Stream | None = None,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
        corrections_as_conditioning: bool = True,
        track_before_first_prompt: bool = False,
        causal: bool = False,
        clear_non_cond_mem_around_input: bool = False,
        keep_records: bool = True,
        records_folder: str | None = None,
    ):
        """See `VideoPredictor`."""
        for name, value in (("precision", precision), ("memory_precision", memory_precision)):
            if value not in PRECISIONS:
                raise ValueError(f"{name} {value!r}: expected one of {tuple(PRECISIONS)}")
        if stream is None:
            stream = Stream.create(config, PRECISIONS[precision], PRECISIONS[memory_precision])
        self.config = config
        self.programs = Programs(stream, params)
        self.fill_hole_area = fill_hole_area
        self.non_overlap_masks = non_overlap_masks
        self.corrections_as_conditioning = corrections_as_conditioning
        self.track_before_first_prompt = track_before_first_prompt
        self.causal = causal
        self.clear_non_cond_mem_around_input = clear_non_cond_mem_around_input
        self.keep_records = keep_records
        self.records_folder = records_folder
        self.checkpoint_sha256: str | None = None

    # ---- one prompt ----------------------------------------------------------------------------

    def _check_can_answer(self, state: VideoState, frame_idx: int, obj_id: int) -> None:
        """Before a prompt is stored: a tracked frame can be corrected only from records."""
        track = state.objects.get(obj_id)
        if track is None or state.store is not None or not track.tracked_direction(frame_idx):
            return
        raise ValueError(
            f"object {obj_id}, frame {frame_idx}: this frame has been tracked already, and "
            "correcting it needs the records of earlier frames (keep_records=True)"
        )

    def _answer(self, state: VideoState, frame_idx: int, obj_id: int) -> Frame:
        """Runs one prompted object on one frame and keeps the result until a propagation."""
        track = state.objects[obj_id]
        direction = track.tracked_direction(frame_idx)
        correction = direction != 0
        conditioning = self.corrections_as_conditioning or not correction
        previous = self._record(state, obj_id, frame_idx)
        scratch = DeviceTracks(self.programs, state, direction or 1)
        slot = scratch.place(obj_id)
        if correction:
            scratch.replay(obj_id, frame_idx)
            scratch.remember_prompts(obj_id, frame_idx, track.conditioning)
        scratch.at(frame_idx)
        prompts = self._prompts(track, frame_idx, slot, scratch.capacity, previous, correction)
        features = self._features(state, frame_idx)
        _, output = self.programs.track(scratch.track, features, prompts)
        record = self._to_record(output, slot)
        filled = fill_holes(record.low_res, self.fill_hole_area)
        if filled is not record.low_res:
            memory = self.programs.encode_memory(features, filled, record.object_score)
            record = record._replace(low_res=filled, memory=memory)
        track.pending[frame_idx] = (record, conditioning)
        return frame_idx, state.obj_ids, self._frame_masks(state, frame_idx)

    def _prompts(
        self,
        track: ObjectTrack,
        frame_idx: int,
        slot: int,
        objects: int,
        previous: Record | None,
        correction: bool,
    ) -> FramePrompts:
        """Padded prompts of one object in its slot; the other slots do not run."""
        points, mask = track.points.get(frame_idx), track.masks.get(frame_idx)
        count = 0 if points is None else len(points.labels)
        size = bucket(max(count, 1), POINT_BUCKETS, "points on one frame")
        blank = self.programs.blank_prompts(objects, size)
        only = np.arange(objects) == slot
        prompts = blank.replace(track=only, use_memory=only & correction)
        if mask is not None:
            masks = np.zeros((objects, *mask.shape), bool)
            masks[slot] = mask
            return prompts.replace(masks=masks, has_mask=only)
        assert points is not None  # one of the two brought us here
        xy, labels = (
            np.zeros((objects, size, 2), np.float32),
            np.full((objects, size), -1, np.int32),
        )
        valid = np.zeros((objects, size), bool)
        xy[slot, :count], labels[slot, :count] = points.points_xy, points.labels
        valid[slot, :count] = True
        prompts = prompts.replace(
            points=prompts.points.replace(points_xy=xy, labels=labels, valid=valid)
        )
        if previous is None:
            return prompts
        logits = np.zeros((objects, *previous.low_res.shape), np.float32)
        logits[slot] = np.clip(previous.low_res, -_PROMPT_LOGIT_LIMIT, _PROMPT_LOGIT_LIMIT)
        return prompts.replace(previous_logits=logits, has_previous=only)

    # ---- propagation ---------------------------------------------------------------------------

    def _settle(self, state: VideoState) -> None:
        """Turns prompted results into memories (the reference's preflight)."""
        if not state.objects:
            raise ValueError("no object: add a prompt before propagating")
        window = self.config.num_maskmem
        for obj_id, track in state.objects.items():
            for frame_idx, (record, conditioning) in track.pending.items():
                if conditioning:
                    track.conditioning[frame_idx] = record
                    if state.store is not None:
                        state.store.remove(obj_id, frame_idx)
                elif state.store is not None and frame_idx not in track.conditioning:
                    state.store.put(obj_id, frame_idx, record)
                if self.clear_non_cond_mem_around_input and state.store is not None:
                    for near in range(frame_idx - window, frame_idx + window + 1):
                        state.store.remove(obj_id, near)
            track.pending.clear()
            if state.live:
                self._keep_nearest_prompts(state, obj_id, track)
            if not track.conditioning:
                raise ValueError(
                    f"object {obj_id}: no prompt is left; add one or remove the object"
                )

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

    def _propagate(
        self,
        state: VideoState,
        frames: Iterator[int],
        direction: int,
        begins: dict[int, int],
        afresh: bool = False,
    ) -> Iterator[Frame]:
        """The loop over frames. `begins` says where each object's masks start."""
        tracks = DeviceTracks(self.programs, state, direction)
        travel_start = None
        for t in frames:
            if any(track.pending for track in state.objects.values()):
                self._settle(state)
            if not state.objects:
                return
            tracks.drop_missing()
            travel_start = t if travel_start is None else travel_start
            run: dict[int, int] = {}
            masks: dict[int, np.ndarray] = {}
            for obj_id, track in state.objects.items():
                if not track.conditioning:
                    continue
                begin = begins.setdefault(obj_id, self._begin(track, direction))
                if (t - begin) * direction < 0 and not self.track_before_first_prompt:
                    continue
                if obj_id not in tracks.slot_of and t == travel_start and not afresh:
                    tracks.replay(obj_id, t)
                tracks.remember_prompts(obj_id, t, self._known(state, track, t, direction))
                if t in track.conditioning:
                    masks[obj_id] = track.conditioning[t].low_res
                    track.mark_tracked(t, direction)
                elif tracks.has_prompts(obj_id):
                    run[obj_id] = tracks.slot_of[obj_id]
            if run:
                masks |= self._track_frame(state, tracks, t, run)
            for obj_id in run:
                state.objects[obj_id].mark_tracked(t, direction)
            ids = [o for o in state.objects if o in masks] if afresh else state.obj_ids
            yield t, ids, self._to_video(state, [masks.get(o) for o in ids])

    def _begin(self, track: ObjectTrack, direction: int) -> int:
        return min(track.conditioning) if direction > 0 else max(track.conditioning)

    def _known(self, state: VideoState, track: ObjectTrack, t: int, direction: int) -> list[int]:
        """Conditioning frames that frame t may read."""
        if not (self.causal or state.live):
            return list(track.conditioning)
        return [f for f in track.conditioning if (t - f) * direction >= 0]

    def _track_frame(
        self, state: VideoState, tracks: DeviceTracks, t: int, run: dict[int, int]
    ) -> dict[int, np.ndarray]:
        """Tracks objects (id -> slot) on frame t; returns their low-resolution logits."""
        frame = None if self._cached(state, t) else self._read(state, t)
        compiling = self.programs.compile_seconds
        start = time.perf_counter()
        features = self._features(state, t, frame)
        tracks.at(t)
        only = np.isin(np.arange(tracks.capacity), list(run.values()))
        prompts = self.programs.blank_prompts(tracks.capacity).replace(track=only)
        tracks.track, output = self.programs.track(tracks.track, features, prompts)
        low_res = np.asarray(jax.block_until_ready(output.low_res))
        spent = time.perf_counter() - start - (self.programs.compile_seconds - compiling)
        self.programs.step_ms.append(1000 * spent)
        if state.store is not None:
            host = jax.device_get(output)
            for obj_id, slot in run.items():
                state.store.put(obj_id, t, self._to_record(host, slot))
        return {o: fill_holes(low_res[slot], self.fill_hole_area) for o, slot in run.items()}

    # ---- frames and masks ----------------------------------------------------------------------

    def _read(self, state: VideoState, frame_idx: int) -> np.ndarray:
        return resize_for_model(state.source[frame_idx], self.config.image_size)

    def _cached(self, state: VideoState, frame_idx: int) -> bool:
        return state.features is not None and state.features[0] == frame_idx

    def _features(
        self, state: VideoState, frame_idx: int, frame: np.ndarray | None = None
    ) -> ImageFeatures:
        """Features of a frame; those of the last one are kept, for prompt after prompt."""
        if state.features is None or state.features[0] != frame_idx:
            frame = self._read(state, frame_idx) if frame is None else frame
            state.features = (frame_idx, self.programs.encode(frame))
        return state.features[1]

    def _to_record(self, output: Any, slot: int) -> Record:
        return Record(
            memory=np.asarray(output.memory[slot]),
            pointer=np.asarray(output.pointer[slot]),
            low_res=np.asarray(output.low_res[slot]),
            object_score=float(output.object_score[slot]),
            iou=float(output.iou[slot]),
        )

    def _record(self, state: VideoState, obj_id: int, frame_idx: int) -> Record | None:
        """The result on a frame: not yet settled, conditioning, or tracked."""
        track = state.objects[obj_id]
        if frame_idx in track.pending:
            return track.pending[frame_idx][0]
        if frame_idx in track.conditioning:
            return track.conditioning[frame_idx]
        return None if state.store is None else state.store.get(obj_id, frame_idx)

    def _frame_masks(self, state: VideoState, frame_idx: int) -> np.ndarray:
        records = [self._record(state, o, frame_idx) for o in state.objects]
        return self._to_video(state, [None if r is None else r.low_res for r in records])

    def _to_video(self, state: VideoState, low_res: list[np.ndarray | None]) -> np.ndarray:
        """Low-resolution logits, None = no mask -> (objects, 1, H, W) float32."""
        size = (state.height, state.width)
        masks = np.full((len(low_res), *size), NO_OBJECT_LOGIT, np.float32)
        for i, logits in enumerate(low_res):
            if logits is not None:
                masks[i] = resize_logits(logits, size)
        if self.non_overlap_masks:
            masks = separate_objects(masks)
        return masks[:, None]
