"""How a video predictor answers one prompt on one frame, and how masks get their size.

Path:    session -> [video_engine] -> stream -> masks at the size of the video
Axes:    mask_logits [objects, 1, H, W] float32 at the size of the video, in the order of obj_ids.
Units:   frame indices count decoded frames; direction is +1 forward, -1 backward.
Errors:  ValueError naming object and frame.
Source:  SAM 2 `sam2/sam2_video_predictor.py` (add_new_points_or_box, add_new_mask).
"""

import math
from typing import Any

import jax
import numpy as np

from surgjax.inference.device_tracks import DeviceTracks
from surgjax.inference.frames import resize_for_model
from surgjax.inference.object_classes import ObjectClassifier
from surgjax.inference.programs import POINT_BUCKETS, PRECISIONS, Programs, bucket
from surgjax.inference.records import Record
from surgjax.inference.session import ObjectTrack, Points, Prompt, VideoState
from surgjax.inference.stream import FramePrompts, Stream, TrackState
from surgjax.models.sam2 import NO_OBJECT_LOGIT
from surgjax.models.variants import Sam2Config
from surgjax.ops.masks import fill_holes, resize_logits, separate_objects
from surgjax.structs import ImageFeatures
from surgjax.text.text_bank import TextBank

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
        memory: str | None = None,
        memory_options: Any = "",
        stream: Stream | None = None,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
        corrections_as_conditioning: bool = True,
        track_before_first_prompt: bool = False,
        causal: bool = False,
        clear_non_cond_mem_around_input: bool = False,
        keep_records: bool = True,
        chunk: int = 1,
        encode_ahead: bool = True,
        records_folder: str | None = None,
        text_bank: TextBank | None = None,
    ):
        """See `VideoPredictor`."""
        for name, value in (("precision", precision), ("memory_precision", memory_precision)):
            if value not in PRECISIONS:
                raise ValueError(f"{name} {value!r}: expected one of {tuple(PRECISIONS)}")
        if chunk < 1:
            raise ValueError(f"chunk {chunk}: one frame or more expected")
        if stream is None:
            stream = Stream.create(
                config,
                PRECISIONS[precision],
                PRECISIONS[memory_precision],
                memory=memory or "recent",
                memory_options=memory_options,
            )
        elif memory or memory_options:
            raise ValueError("stream and memory: a stream has its own policy; give one of them")
        self.config = config
        self.programs = Programs(stream, params)
        self.fill_hole_area = fill_hole_area
        self.non_overlap_masks = non_overlap_masks
        self.corrections_as_conditioning = corrections_as_conditioning
        self.track_before_first_prompt = track_before_first_prompt
        self.causal = causal
        self.clear_non_cond_mem_around_input = clear_non_cond_mem_around_input
        self.keep_records = keep_records
        self.chunk = chunk
        self.encode_ahead = encode_ahead
        self.records_folder = records_folder
        self.checkpoint_sha256: str | None = None
        has_bank = text_bank is not None
        self.classifier = ObjectClassifier(text_bank, params, config) if has_bank else None

    # ---- one prompt ----------------------------------------------------------------------------

    def _check_can_answer(self, state: VideoState, frame_idx: int, obj_id: int) -> None:
        """Before a prompt is stored, so that a refused one leaves nothing behind.

        A tracked frame can be corrected only from records, and the frame must be readable.
        """
        track = state.objects.get(obj_id)
        where = f"object {obj_id}, frame {frame_idx}"
        if track is not None and state.store is None and track.tracked_direction(frame_idx):
            raise ValueError(
                f"{where}: this frame has been tracked already, and correcting it needs the "
                "records of earlier frames (keep_records=True)"
            )
        try:
            self.features(state, frame_idx)
        except IndexError:
            raise ValueError(f"{where}: the live stream ended before this frame") from None

    def _answer(self, state: VideoState, frame_idx: int, obj_id: int) -> Frame:
        """Runs one prompted object on one frame and keeps the result until a propagation."""
        track = state.objects[obj_id]
        direction = track.tracked_direction(frame_idx)
        known = self.known_frames(
            state, track, frame_idx, direction or 1, -math.inf * (direction or 1)
        )
        correction = direction != 0 and bool(known)  # else there is no memory to correct from
        conditioning = self.corrections_as_conditioning or not correction
        previous = self._record(state, obj_id, frame_idx)
        scratch = DeviceTracks(self.programs, state, direction or 1)
        scratch.place(obj_id)
        if correction:
            scratch.replay(obj_id, frame_idx)
            scratch.remember_prompts(obj_id, frame_idx, known)
        scratch.at(frame_idx)
        prompt = track.prompt(frame_idx)
        assert prompt is not None  # it brought us here
        args = (scratch.track, scratch.slot_of[obj_id], prompt, previous, correction)
        track.pending[frame_idx] = (self._run_prompt(state, frame_idx, *args), conditioning)
        return frame_idx, state.obj_ids, self._frame_masks(state, frame_idx)

    def answer_afresh(
        self, state: VideoState, frame_idx: int, obj_id: int, prompt: Prompt
    ) -> Record:
        """What an object's prompt on a frame means without any memory or earlier mask. Nothing is
        kept of it."""
        scratch = DeviceTracks(self.programs, state, 1)
        slot = scratch.place(obj_id)
        scratch.at(frame_idx)
        return self._run_prompt(state, frame_idx, scratch.track, slot, prompt, None, False)

    def _run_prompt(
        self,
        state: VideoState,
        frame_idx: int,
        bank: TrackState,
        slot: int,
        prompt: Prompt,
        previous: Record | None,
        use_memory: bool,
    ) -> Record:
        """One prompted object on the frame that `bank` stands at; `bank` is used up."""
        objects = jax.tree.leaves(bank.bank)[0].shape[0]
        prompts = self._prompts(prompt, slot, objects, previous, use_memory)
        features = self.features(state, frame_idx)
        _, output = self.programs.track(bank, features, prompts)
        record = self._to_record(output, slot)
        filled = fill_holes(record.low_res, self.fill_hole_area)
        if filled is not record.low_res:
            memory = self.programs.encode_memory(features, filled, record.object_score)
            record = record._replace(low_res=filled, memory=memory)
        return record

    def correct(
        self,
        state: VideoState,
        tracks: DeviceTracks,
        frame_idx: int,
        obj_id: int,
        found: Record | None = None,
    ) -> Record:
        """Answers the correction of an object on a frame from what its bank remembers.

        The mask that is corrected is the one tracked there (`found`, or made here). The bank itself
        stays as it was; the answer becomes a conditioning frame.
        """
        track, slot = state.objects[obj_id], tracks.slot_of[obj_id]
        tracks.at(frame_idx)
        if found is None:
            only = np.arange(tracks.capacity) == slot
            blank = self.programs.blank_prompts(tracks.capacity).replace(track=only)
            features = self.features(state, frame_idx)
            _, output = self.programs.track(tracks.copied(), features, blank)
            found = self._to_record(output, slot)
            found = found._replace(low_res=fill_holes(found.low_res, self.fill_hole_area))
        prompt = track.corrections[frame_idx]
        record = self._run_prompt(state, frame_idx, tracks.copied(), slot, prompt, found, True)
        track.conditioning[frame_idx], track.found[frame_idx] = record, found
        return record

    def _prompts(
        self,
        prompt: Prompt,
        slot: int,
        objects: int,
        previous: Record | None,
        use_memory: bool,
    ) -> FramePrompts:
        """Padded prompts of one object in its slot; the other slots do not run."""
        count = len(prompt.labels) if isinstance(prompt, Points) else 0
        size = bucket(max(count, 1), POINT_BUCKETS, "points on one frame")
        blank = self.programs.blank_prompts(objects, size)
        only = np.arange(objects) == slot
        prompts = blank.replace(track=only, use_memory=only & use_memory)
        if not isinstance(prompt, Points):
            masks = np.zeros((objects, *prompt.shape), bool)
            masks[slot] = prompt
            return prompts.replace(masks=masks, has_mask=only)
        xy, labels = (
            np.zeros((objects, size, 2), np.float32),
            np.full((objects, size), -1, np.int32),
        )
        valid = np.zeros((objects, size), bool)
        xy[slot, :count], labels[slot, :count] = prompt.points_xy, prompt.labels
        valid[slot, :count] = True
        prompts = prompts.replace(
            points=prompts.points.replace(points_xy=xy, labels=labels, valid=valid)
        )
        if previous is None:
            return prompts
        logits = np.zeros((objects, *previous.low_res.shape), np.float32)
        logits[slot] = np.clip(previous.low_res, -_PROMPT_LOGIT_LIMIT, _PROMPT_LOGIT_LIMIT)
        return prompts.replace(previous_logits=logits, has_previous=only)

    def known_frames(
        self, state: VideoState, track: ObjectTrack, t: int, direction: int, origin: float
    ) -> list[int]:
        """Conditioning frames that frame t may read. A correction is known to the frames beyond it
        as seen from `origin`, where the object's way in this direction starts."""

        def is_known(f: int) -> bool:
            if f in track.corrections:
                return (f - origin) * direction >= 0 and (t - f) * direction > 0
            return (t - f) * direction >= 0 or not (self.causal or state.live)

        return [f for f in track.conditioning if is_known(f)]

    # ---- frames and masks ----------------------------------------------------------------------

    def _read(self, state: VideoState, frame_idx: int) -> np.ndarray:
        return resize_for_model(state.source[frame_idx], self.config.image_size)

    def _cached(self, state: VideoState, frame_idx: int) -> bool:
        return any(
            found is not None and found[0] == frame_idx
            for found in (state.features, state.upcoming)
        )

    def features(
        self, state: VideoState, frame_idx: int, frame: np.ndarray | None = None
    ) -> ImageFeatures:
        """Features of a frame; those of the last one are kept, for prompt after prompt."""
        if state.upcoming is not None and state.upcoming[0] == frame_idx:
            state.features, state.upcoming = state.upcoming, None
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
            semantic=None if output.semantic is None else np.asarray(output.semantic[slot]),
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
