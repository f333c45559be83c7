"""Prompts and objects of a video: given, taken back, answered.

Path:    user -> [prompting] -> video predictor
Axes:    points (n, 2), box (4,), mask (H, W); mask_logits [objects, 1, H, W] float32.
Units:   points and boxes in pixels of the video, column first; frame indices count decoded frames.
Errors:  ValueError naming frame and object, what was expected and what was found.
Source:  SAM 2 `sam2/sam2_video_predictor.py` (add_new_points_or_box, add_new_mask, remove_object).
Differs: a prompt may also be a correction that waits for a propagation, see `add_correction`.
"""

from typing import Any

import numpy as np

from surgjax.inference.programs import OBJECT_BUCKETS, POINT_BUCKETS, bucket
from surgjax.inference.propagation import Propagation
from surgjax.inference.session import (
    ObjectTrack,
    Points,
    Prompt,
    VideoState,
    check_frame,
    check_object,
    make_points,
)
from surgjax.inference.video_engine import Frame
from surgjax.ops.masks import fit_mask


class Prompting(Propagation):
    """What a user says about objects."""

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
        known = state.objects.get(obj_id)
        old = None if known is None else known.points.get(frame_idx)
        if old is not None and not clear_old_points:
            xy = np.concatenate([old.points_xy, new.points_xy])
            new = Points(xy, np.concatenate([old.labels, new.labels]))
        bucket(len(new.labels), POINT_BUCKETS, "points on one frame")
        self._check_can_answer(state, frame_idx, obj_id)
        track = self.open_object(state, obj_id)
        for other in (track.masks, track.corrections):
            other.pop(frame_idx, None)
        track.points[frame_idx] = new
        return self._answer(state, frame_idx, obj_id)

    def add_new_mask(self, state: VideoState, frame_idx: int, obj_id: int, mask: Any) -> Frame:
        """A mask (H, W) of any size, bool or 0/1, taken as the object on that frame."""
        frame_idx = check_frame(state, frame_idx)
        fitted = self._fit(f"object {obj_id}, frame {frame_idx}", mask)
        self._check_can_answer(state, frame_idx, obj_id)
        track = self.open_object(state, obj_id)
        for other in (track.points, track.corrections):
            other.pop(frame_idx, None)
        track.masks[frame_idx] = fitted
        return self._answer(state, frame_idx, obj_id)

    def add_correction(
        self,
        state: VideoState,
        frame_idx: int,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask: Any = None,
    ) -> None:
        """Prompts of an object that a propagation answers when it comes to their frame.

        They correct the mask that it has tracked there, with the memory of the frames before, and
        count for the frames beyond as seen from the object's first prompt: what such a propagation
        yields is what a user gets who sees a mask go wrong, corrects it and tracks on. Prompts of
        the other methods are answered at once and known to every frame. Pixels as in
        `add_new_points_or_box`; a mask stands alone. Ours; SAM 2 has no such prompt.
        """
        frame_idx = check_frame(state, frame_idx)
        where = f"object {obj_id}, frame {frame_idx}"
        track = check_object(state, obj_id)
        if state.live:
            raise ValueError(f"{where}: a live stream is corrected by prompting its next frame")
        if frame_idx in track.points or frame_idx in track.masks:
            raise ValueError(f"{where}: the object is prompted on this frame already")
        track.corrections[frame_idx] = self.read_prompt(
            state, where, points=points, labels=labels, box=box, mask=mask
        )

    def read_prompt(
        self,
        state: VideoState,
        where: str,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask: Any = None,
    ) -> Prompt:
        """Checked prompts in pixels of the video as the model takes them; `where` begins errors."""
        side = self.config.image_size
        if mask is None:
            new = make_points(state, side, where, points, labels, box, True)
            bucket(len(new.labels), POINT_BUCKETS, "points on one frame")
            return new
        if points is not None or box is not None:
            raise ValueError(f"{where}: a mask stands alone")
        return self._fit(where, mask)

    def _fit(self, where: str, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.ndim != 2 or not mask.size:
            raise ValueError(f"{where}: mask: expected (H, W), found {mask.shape}")
        return fit_mask(mask.astype(bool), self.config.image_size)

    def open_object(self, state: VideoState, obj_id: int) -> ObjectTrack:
        """The object's track; a new one, without a prompt, where the id is new."""
        if obj_id not in state.objects:
            bucket(len(state.objects) + 1, OBJECT_BUCKETS, "objects")
            length = 0 if state.live else len(state.source)
            state.objects[obj_id] = ObjectTrack(tracked=np.zeros(length, np.int8))
            state.capacity = bucket(
                max(state.capacity, len(state.objects)), OBJECT_BUCKETS, "objects"
            )
        return state.objects[obj_id]

    def clear_all_prompts_in_frame(
        self, state: VideoState, frame_idx: int, obj_id: int, need_output: bool = True
    ) -> Frame | None:
        """Takes back the prompts of one object on one frame; its result there becomes an ordinary
        tracked one."""
        frame_idx = check_frame(state, frame_idx)
        track = check_object(state, obj_id)
        for kept in (track.points, track.masks, track.pending, track.corrections, track.found):
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
        state.semantics.pop(obj_id, None)  # the id may be given again
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
