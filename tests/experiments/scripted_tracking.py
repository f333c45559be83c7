"""A scripted predictor, a small video and the options of a track job, for tests of the command.

The predictor moves one rectangle per object and reads every frame it visits, as the real one does.
The real one runs in `test_track_command.py`.
"""

from types import SimpleNamespace

import numpy as np

from experiments import tracking
from surgjax.inference import mask_writer
from surgjax.inference.snapshot import Snapshot
from surgjax.viz import video_writer

WIDTH, HEIGHT, FRAMES = 64, 48, 10


class ScriptedPredictor:
    """Object i covers columns 4i..4i+8 (+ frame) and wins overlaps by its id."""

    def __init__(self, fail=None):
        self.config = SimpleNamespace(name="nano", image_size=256)
        self.checkpoint_sha256 = "ab" * 32
        self.timings = {"compile_seconds": 0.0, "step_ms": []}
        self.calls, self.first, self.last = [], {}, {}
        self.fail = fail or {}

    def init_state(self, video, max_objects=4):
        self.max_objects = max_objects
        return video

    def frames_ahead(self, state):
        return 0

    def _prompted(self, frame_idx, obj_id):
        self.timings["compile_seconds"] = 1.5
        self.first[obj_id] = min(self.first.get(obj_id, frame_idx), frame_idx)
        self.last[obj_id] = max(self.last.get(obj_id, frame_idx), frame_idx)

    def add_new_points_or_box(self, state, frame_idx, obj_id, points=None, labels=None, box=None):
        self.calls.append(("points", frame_idx, obj_id, points, labels, box))
        self._prompted(frame_idx, obj_id)

    def add_new_mask(self, state, frame_idx, obj_id, mask):
        self.calls.append(("mask", frame_idx, obj_id, int(mask.sum())))
        self._prompted(frame_idx, obj_id)

    def add_correction(self, state, frame_idx, obj_id, points, labels, box, mask):
        self.calls.append(("correction", frame_idx, obj_id, points, labels, box, mask is None))

    def _yield(self, state, frame_idx, live):
        if frame_idx in self.fail:
            raise self.fail[frame_idx]
        state[frame_idx]
        self.at = frame_idx
        self.timings["step_ms"].append(10.0 + frame_idx)
        ids = list(self.first)
        logits = np.full((len(ids), 1, HEIGHT, WIDTH), -1024, np.float32)
        for place, obj_id in enumerate(ids):
            if obj_id in live:
                left = 4 * obj_id + frame_idx
                logits[place] = -3
                logits[place, 0, 10:30, left : left + 8] = obj_id
        return frame_idx, ids, logits

    def propagate_in_video(
        self, state, start_frame_idx=None, max_frame_num_to_track=None, reverse=False
    ):
        self.calls.append(("propagate", start_frame_idx, max_frame_num_to_track, reverse))
        start = min(self.first.values()) if start_frame_idx is None else start_frame_idx
        more = FRAMES if max_frame_num_to_track is None else max_frame_num_to_track
        if reverse:
            for t in range(start, max(start - more, 0) - 1, -1):
                yield self._yield(state, t, {o for o, f in self.last.items() if f >= t})
        else:
            for t in range(start, min(start + more, FRAMES - 1) + 1):
                yield self._yield(state, t, {o for o, f in self.first.items() if f <= t})

    def snapshot(self, state):
        return Snapshot({"at": self.at, "first": list(self.first.items())}, {})

    def restore(self, state, snapshot):
        self.at, self.first = snapshot.facts["at"], dict(snapshot.facts["first"])

    def continue_propagation(self, state):
        """Of a forward pass alone; the real predictor goes on in `test_track_resume.py`."""
        for t in range(self.at + 1, FRAMES):
            yield self._yield(state, t, {o for o, f in self.first.items() if f <= t})

    def propagate_both(self, state):
        yield from self.propagate_in_video(state)
        for t in range(max(self.first.values()) - 1, -1, -1):
            yield self._yield(state, t, {o for o, f in self.first.items() if f > t})


def write_video(path, num_frames=FRAMES):
    writer = video_writer.VideoWriter(path, 5, HEIGHT, WIDTH)
    rng = np.random.default_rng(0)
    for _ in range(num_frames):
        writer.write(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    writer.close()


def run(options, predictor=None):
    said = []
    predictor = predictor or ScriptedPredictor()
    summary = tracking.run(options, lambda _: predictor, said.append)
    return summary, predictor, "\n".join(said)


def read_masks(tmp_path, folder="masks"):
    return {
        int(path.stem): mask_writer.read_palette_png(path)
        for path in sorted((tmp_path / "out" / folder).iterdir())
    }


def present(masks, object_id):
    return [t for t, label_map in masks.items() if (label_map == object_id).any()]
