"""A peer as a Segmenter: transformers' Sam2VideoModel, with its own session and propagation.

Path:    Sam2VideoModel -> [TransformersSegmenter] -> the protocols of surgjax.evaluation
Axes:    frames uint8 [T, H, W, 3]; masks bool [H, W].
Units:   prompts in pixels of the video.
Errors:  none of its own.
Source:  transformers 5.23, models/sam2_video; clicks and boxes are scaled to the model's input, and
         masks resized, as its processor does.
Differs: frames are resized as our predictor does, so that the two see the same pixels.
"""

import numpy as np
import torch
import torch.nn.functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from surgjax.evaluation.segmenter import Prompt
from tests.parity import clip, reference


def to_video(logits, size):
    """Low-resolution logits (1, 1, h, w) of one object -> bool (H, W)."""
    return (F.interpolate(logits, size, mode="bilinear", align_corners=False)[0, 0] > 0).numpy()


class TransformersSegmenter:
    """Opens videos in transformers' inference session."""

    name = "transformers"

    def __init__(self, model):
        self.model = model

    def open(self, frames):
        return TransformersTracking(self.model, frames)


class TransformersTracking:
    def __init__(self, model, frames):
        self.model, self.size = model, frames.shape[1:3]
        self.side = model.config.image_size
        self.session = Sam2VideoInferenceSession(
            clip.tensors(frames, self.side), *self.size, dtype=torch.float32
        )

    @torch.inference_mode()
    def prompt(self, frame, object_id, prompt: Prompt):
        session, index = self.session, self.session.obj_id_to_idx(object_id)
        if prompt.mask is not None:
            grid = torch.from_numpy(prompt.mask.astype(np.float32))[None, None]
            grid = F.interpolate(grid, (self.side,) * 2, mode="bilinear", antialias=True)
            session.add_mask_inputs(index, frame, (grid >= 0.5).float())
            session.remove_point_inputs(index, frame)
        else:
            xy, labels = points_of(prompt)
            scale = np.array([self.side / self.size[1], self.side / self.size[0]])
            coords = torch.tensor(xy * scale, dtype=torch.float32)[None, None]
            marks = torch.tensor(labels, dtype=torch.int32)[None, None]
            session.add_point_inputs(index, frame, dict(point_coords=coords, point_labels=marks))
            session.remove_mask_inputs(index, frame)
        session.obj_with_new_inputs = [object_id]
        return self._masks(self.model(session, frame_idx=frame))[object_id]

    @torch.inference_mode()
    def propagate(self, start, reverse=False):
        for output in self.model.propagate_in_video_iterator(self.session, start, reverse=reverse):
            yield output.frame_idx, self._masks(output)

    def _masks(self, output):
        ids = zip(output.object_ids, output.pred_masks, strict=True)
        return {k: to_video(logits[None], self.size) for k, logits in ids}

    def close(self):
        self.session.reset_inference_session()


class OriginalFlow:
    """The same modules driven as SAM 2's own predictor drives them: see `reference.Tracker`.

    transformers' session does not hand the answer so far to a correction click; the original does.
    """

    name = "original flow"

    def __init__(self, model):
        self.model = model

    def open(self, frames):
        tensors = clip.tensors(frames, self.model.config.image_size)
        return OriginalTracking(reference.Tracker(self.model, tensors, frames.shape[1:3]))


class OriginalTracking:
    def __init__(self, tracker):
        self.tracker, self.frames = tracker, tracker.session.num_frames

    def prompt(self, frame, object_id, prompt: Prompt):
        if prompt.mask is not None:
            output = self.tracker.add_mask(frame, object_id, prompt.mask)
        else:
            xy, labels = (() if a is None else a for a in (prompt.points_xy, prompt.labels))
            output = self.tracker.add_points_or_box(frame, object_id, xy, labels, prompt.box_xyxy)
        return to_video(output["pred_masks"], self.tracker.video_size)

    def propagate(self, start, reverse=False):
        end = 0 if reverse else self.frames - 1
        found = self.tracker.propagate(start, end, reverse)
        for t in range(start, end - 1, -1) if reverse else range(start, end + 1):
            masks = {k: found[k][t]["pred_masks"] for k in found}
            yield t, {k: to_video(m, self.tracker.video_size) for k, m in masks.items()}

    def close(self):
        del self.tracker


def points_of(prompt: Prompt):
    """Clicks and a box as points; the corners of a box come first, labelled 2 and 3."""
    xy, labels = [], []
    if prompt.box_xyxy is not None:
        xy, labels = [prompt.box_xyxy[:2], prompt.box_xyxy[2:]], [2, 3]
    if prompt.points_xy is not None and prompt.labels is not None:
        xy, labels = [*xy, *prompt.points_xy], [*labels, *prompt.labels.tolist()]
    return np.array(xy, np.float64), labels
