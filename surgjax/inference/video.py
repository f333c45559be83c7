"""Video predictor: SAM 2's vocabulary over the streaming core.

Path:    video, prompts -> [video] -> masks, frame by frame
Axes:    mask_logits [objects, 1, H, W] float32 at the size of the video, in the order of obj_ids.
Units:   points and boxes in pixels of the video, column first; frame indices count decoded frames.
Errors:  ValueError naming frame and object; FrameReadError where a frame cannot be decoded.
Source:  SAM 2 `sam2/sam2_video_predictor.py`.
Differs: frames are decoded when they are reached; tracked frames leave a compact record in a
         temporary file, so memory is flat; objects may be added and removed at any time, also
         between two frames of a running propagation. An object has no mask (logits -1024) before
         its first prompted frame in the direction of travel (`track_before_first_prompt=True` is
         the reference's way). A corrected frame stays a conditioning frame
         (`corrections_as_conditioning=False` is the reference's way).
"""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from surgjax.inference.device_tracks import DeviceTracks
from surgjax.inference.frames import open_video, resize_for_model
from surgjax.inference.programs import (
    OBJECT_BUCKETS,
    POINT_BUCKETS,
    PRECISIONS,
    Programs,
    bucket,
)
from surgjax.inference.records import Record, RecordStore
from surgjax.inference.session import (
    ObjectTrack,
    Points,
    VideoState,
    check_frame,
    check_object,
    make_points,
)
from surgjax.inference.stream import FramePrompts, Stream
from surgjax.models.sam2 import NO_OBJECT_LOGIT, init_params
from surgjax.models.variants import Sam2Config, get_config
from surgjax.ops.masks import fill_holes, fit_mask, resize_logits, separate_objects
from surgjax.structs import ImageFeatures

Frame = tuple[int, list[int], np.ndarray]  # frame_idx, obj_ids, mask_logits
_PROMPT_LOGIT_LIMIT = 32.0  # of a mask that is being corrected, as in the reference


class VideoPredictor:
    """Prompts and tracks objects through videos. One predictor serves any number of videos."""

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
        """fill_hole_area in pixels of the low-resolution mask, 0 = off. causal hides prompts on
        frames that lie ahead. keep_records=False leaves no temporary file; then a tracked frame
        cannot be corrected and a propagation that starts mid-video begins with the prompts alone.
        `stream` replaces the memory policy."""
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

    @classmethod
    def from_checkpoint(
        cls,
        path_or_name: str = "nano",
        image_size: int | None = None,
        precision: str = "fp32",
        random_weights: bool = False,
        **options: Any,
    ) -> "VideoPredictor":
        """Weights from a file, a folder or the bundled "nano". image_size None = the variant's own.

        random_weights takes path_or_name as the name of a variant and draws seeded weights: masks
        mean nothing then, shapes and speed are real.
        """
        params, config, sha256 = load_weights(path_or_name, image_size, random_weights)
        predictor = cls(params, config, precision, **options)
        predictor.checkpoint_sha256 = sha256
        return predictor

    @property
    def timings(self) -> dict[str, Any]:
        """compile_seconds so far, and step_ms: one entry per tracked frame, model only."""
        return {
            "compile_seconds": self.programs.compile_seconds,
            "step_ms": self.programs.step_ms,
        }

    # ---- prompts -------------------------------------------------------------------------------

    def init_state(
        self, video: Any, num_frames: int | None = None, max_objects: int = 4
    ) -> VideoState:
        """Opens a video: a path, a folder, an array, any iterator of frames, or a FrameSource.

        num_frames gives a live stream's length where it is known (below 16 it changes SAM 2's
        pointer horizon). max_objects is what programs are compiled for; more may be added.
        """
        source = open_video(video)
        store = None
        if self.keep_records and source.seekable:
            store = RecordStore(len(source), self.records_folder)
        return VideoState(
            source=source,
            num_frames=source.num_frames if num_frames is None else num_frames,
            height=source.height,
            width=source.width,
            store=store,
            capacity=bucket(max_objects, OBJECT_BUCKETS, "objects"),
        )

    def add_new_points_or_box(
        self,
        state: VideoState,
        frame_idx: int,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> Frame:
        """Clicks (n, 2) with labels 1 or 0 and / or a box x0, y0, x1, y1 of an object on a frame.

        clear_old_points=False adds to earlier clicks there (a box then cannot be given).
        normalize_coords=False means that coordinates are in [0, 1] already.
        Returns the frame's masks over all objects.
        """
        frame_idx = check_frame(state, frame_idx)
        where = f"object {obj_id}, frame {frame_idx}"
        if box is not None and not clear_old_points:
            raise ValueError(f"{where}: a box starts afresh, so clear_old_points must be True")
        side = self.config.image_size
        new = make_points(state, side, where, points, labels, box, normalize_coords)
        track = self._object(state, obj_id)
        old = track.points.get(frame_idx)
        if old is not None and not clear_old_points:
            xy = np.concatenate([old.points_xy, new.points_xy])
            new = Points(xy, np.concatenate([old.labels, new.labels]))
        bucket(len(new.labels), POINT_BUCKETS, "points on one frame")
        track.masks.pop(frame_idx, None)
        track.points[frame_idx] = new
        return self._answer(state, frame_idx, obj_id)

    def add_new_mask(self, state: VideoState, frame_idx: int, obj_id: int, mask: Any) -> Frame:
        """A mask (H, W) of any size, bool or 0/1, taken as the object on that frame."""
        frame_idx = check_frame(state, frame_idx)
        mask = np.asarray(mask)
        if mask.ndim != 2 or not mask.size:
            raise ValueError(
                f"object {obj_id}, frame {frame_idx}: mask: expected (H, W), found {mask.shape}"
            )
        track = self._object(state, obj_id)
        track.points.pop(frame_idx, None)
        track.masks[frame_idx] = fit_mask(mask.astype(bool), self.config.image_size)
        return self._answer(state, frame_idx, obj_id)

    def _object(self, state: VideoState, obj_id: int) -> ObjectTrack:
        if obj_id not in state.objects:
            bucket(len(state.objects) + 1, OBJECT_BUCKETS, "objects")
            length = 0 if state.live else len(state.source)
            state.objects[obj_id] = ObjectTrack(tracked=np.zeros(length, np.int8))
            state.capacity = bucket(
                max(state.capacity, len(state.objects)), OBJECT_BUCKETS, "objects"
            )
        return state.objects[obj_id]

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
            if state.store is None:
                raise ValueError(
                    f"object {obj_id}, frame {frame_idx}: this frame has been tracked already, and "
                    "correcting it needs the records of earlier frames (keep_records=True)"
                )
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

    def clear_all_prompts_in_frame(
        self, state: VideoState, frame_idx: int, obj_id: int, need_output: bool = True
    ) -> Frame | None:
        """Takes back the prompts of one object on one frame; its result there becomes an ordinary
        tracked one."""
        frame_idx = check_frame(state, frame_idx)
        track = check_object(state, obj_id)
        for kept in (track.points, track.masks, track.pending):
            kept.pop(frame_idx, None)
        record = track.conditioning.pop(frame_idx, None)
        if record is not None:
            if state.store is not None:
                state.store.put(obj_id, frame_idx, record)
            track.mark_tracked(frame_idx, 0)
        if need_output:
            return frame_idx, state.obj_ids, self._frame_masks(state, frame_idx)
        return None

    def remove_object(
        self, state: VideoState, obj_id: int, strict: bool = False, need_output: bool = True
    ) -> tuple[list[int], list[tuple[int, np.ndarray]]]:
        """Forgets an object. Returns the ids left, and the masks of frames it was prompted on."""
        if strict:
            check_object(state, obj_id)
        track = state.objects.pop(obj_id, None)
        if track is None:
            return state.obj_ids, []
        if state.store is not None:
            state.store.remove_object(obj_id)
        frames = sorted(set(track.points) | set(track.masks)) if need_output else []
        if not state.objects:
            return [], []
        return state.obj_ids, [(f, self._frame_masks(state, f)) for f in frames]

    def reset_state(self, state: VideoState) -> None:
        """Forgets all objects, prompts and results; the video stays open."""
        for obj_id in state.obj_ids:
            self.remove_object(state, obj_id, need_output=False)

    # ---- propagation ---------------------------------------------------------------------------

    def propagate_in_video(
        self,
        state: VideoState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Frame]:
        """Yields (frame_idx, obj_ids, mask_logits) for every frame in the direction of travel.

        start_frame_idx defaults to the earliest prompted frame; max_frame_num_to_track counts
        frames after the first one. Backward from frame 0 yields nothing. All prompts given so far
        are known to every frame, future ones included, unless the predictor is causal.
        """
        self._settle(state)
        first = {o: min(t.conditioning) for o, t in state.objects.items()}
        last = {o: max(t.conditioning) for o, t in state.objects.items()}
        if state.live:
            frames = self._live_frames(state, start_frame_idx, max_frame_num_to_track, reverse)
            return self._propagate(state, frames, 1, first)
        start = min(first.values()) if start_frame_idx is None else start_frame_idx
        start = check_frame(state, start)
        assert state.num_frames is not None  # seekable sources know their length
        more = state.num_frames if max_frame_num_to_track is None else max_frame_num_to_track
        if reverse:
            stop = max(start - more, 0)
            frames = iter(range(start, stop - 1, -1)) if start > 0 else iter(())
            return self._propagate(state, frames, -1, last)
        frames = iter(range(start, min(start + more, state.num_frames - 1) + 1))
        return self._propagate(state, frames, 1, first)

    def propagate_both(self, state: VideoState) -> Iterator[Frame]:
        """Each object forward from its first prompt, then backward from it.

        The backward pass starts from conditioning memories alone. It yields frames again, with
        the objects that were not tracked there before, and only those, in obj_ids.
        """
        if state.live:
            raise ValueError("a live stream cannot go back: only forward is possible")
        self._settle(state)
        yield from self.propagate_in_video(state)
        first = {o: min(t.conditioning) - 1 for o, t in state.objects.items() if t.conditioning}
        start = max(first.values(), default=-1)
        frames = iter(range(start, -1, -1))
        yield from self._propagate(state, frames, -1, first, afresh=True)

    def _live_frames(
        self, state: VideoState, start: int | None, more: int | None, reverse: bool
    ) -> Iterator[int]:
        if reverse:
            raise ValueError("reverse: a live stream cannot go back")
        if start is not None and start != state.next_live_frame:
            raise ValueError(
                f"start_frame_idx {start}: a live stream goes on at frame {state.next_live_frame}"
            )
        end = None if more is None else state.next_live_frame + more + 1

        def frames() -> Iterator[int]:
            while end is None or state.next_live_frame < end:
                try:
                    state.source[state.next_live_frame]
                except IndexError:
                    return
                state.next_live_frame += 1
                yield state.next_live_frame - 1

        return frames()

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
            if not track.conditioning:
                raise ValueError(
                    f"object {obj_id}: no prompt is left; add one or remove the object"
                )

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
                elif tracks._written[obj_id]:
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


def load_weights(
    path_or_name: str, image_size: int | None, random_weights: bool
) -> tuple[dict, Sam2Config, str | None]:
    """Parameters, configuration and sha256 (None for random weights)."""
    if random_weights:
        config = get_config(path_or_name, image_size=image_size)
        return init_params(config), config, None
    from surgjax.checkpoints import load  # reading files is not needed for what is in memory

    loaded = load(path_or_name)
    config = loaded.config if image_size is None else loaded.config.replace(image_size=image_size)
    return loaded.params, config, loaded.sha256
