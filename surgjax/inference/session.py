"""What a video predictor remembers of a video on the host: objects, prompts, finished frames.

Path:    user -> [session] -> video predictor
Axes:    points [n, 2], box [4], masks [H, W].
Units:   points and boxes in pixels of the video, column first (or in [0, 1] if the caller says so).
Errors:  ValueError naming the frame, the object, what was expected and what was found.
Source:  SAM 2 `sam2_video_predictor.py` (inference_state).
"""

import dataclasses
from typing import Any

import numpy as np

from surgjax.inference.frames import FrameSource
from surgjax.inference.records import Record, Records
from surgjax.structs import ImageFeatures


@dataclasses.dataclass
class Points:
    """Clicks and box corners on one frame of one object, in model pixels."""

    points_xy: np.ndarray  # [n, 2] float32
    labels: np.ndarray  # [n] int32: 0, 1, and 2, 3 for the corners of a box


Prompt = Points | np.ndarray  # the latter a mask [S, S] bool


@dataclasses.dataclass
class ObjectTrack:
    """One object's prompts and results, by frame."""

    points: dict[int, Points] = dataclasses.field(default_factory=dict)
    masks: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)  # [S, S] bool
    pending: dict[int, tuple[Record, bool]] = dataclasses.field(default_factory=dict)
    conditioning: dict[int, Record] = dataclasses.field(default_factory=dict)
    # Prompts that a propagation answers when it comes by, and what it found there before it did.
    corrections: dict[int, Prompt] = dataclasses.field(default_factory=dict)
    found: dict[int, Record] = dataclasses.field(default_factory=dict)
    # One byte a frame: 0 not tracked yet, else the direction of the pass that reached it last.
    # Empty for a live stream, whose past frames cannot be prompted.
    tracked: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int8))

    @property
    def anchors(self) -> list[int]:
        """Conditioning frames that are no corrections: the object's way starts from them."""
        return [f for f in self.conditioning if f not in self.corrections]

    def prompt(self, frame_idx: int) -> Prompt | None:
        """Points or a mask given on a frame; not of a correction."""
        mask = self.masks.get(frame_idx)
        return self.points.get(frame_idx) if mask is None else mask

    def mark_tracked(self, frame_idx: int, direction: int) -> None:
        if self.tracked.size:
            self.tracked[frame_idx] = direction

    def tracked_direction(self, frame_idx: int) -> int:
        """+1 or -1 for a tracked frame, else 0."""
        return int(self.tracked[frame_idx]) if self.tracked.size else 0


@dataclasses.dataclass
class VideoState:
    """One video being worked on. Made by `VideoPredictor.init_state`."""

    source: FrameSource
    num_frames: int | None  # None: a live stream
    height: int
    width: int
    store: Records | None  # None: tracked frames are not kept
    capacity: int  # object slots to compile for
    objects: dict[int, ObjectTrack] = dataclasses.field(default_factory=dict)
    next_live_frame: int = 0
    features: tuple[int, ImageFeatures] | None = None  # of the frame seen last
    upcoming: tuple[int, ImageFeatures] | None = None  # of the next one, perhaps still being made
    semantics: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)  # last frame's [512]
    live_tracks: Any = None  # a live stream's `DeviceTracks`: it has no records to start again from
    running: Any = None  # `running.Running`: the propagation under way, for a snapshot

    @property
    def live(self) -> bool:
        return not self.source.seekable

    @property
    def obj_ids(self) -> list[int]:
        return list(self.objects)

    def close(self) -> None:
        """Frees the temporary file and the video."""
        if self.store is not None:
            self.store.close()
        self.source.close()
        # What lies on the device.
        self.features = self.upcoming = self.live_tracks = self.running = None


def check_frame(state: VideoState, frame_idx: Any) -> int:
    """The frame index as an int; ValueError where the video has no such frame."""
    if isinstance(frame_idx, bool) or int(frame_idx) != frame_idx:
        raise ValueError(f"frame {frame_idx!r}: expected an integer")
    frame_idx = int(frame_idx)
    if state.num_frames is not None and not 0 <= frame_idx < state.num_frames:
        raise ValueError(
            f"frame {frame_idx}: the video has {state.num_frames} frames "
            f"(0 to {state.num_frames - 1})"
        )
    if state.live and frame_idx != state.next_live_frame:
        raise ValueError(
            f"frame {frame_idx}: a live stream takes prompts on its next frame only, which is "
            f"{state.next_live_frame}"
        )
    return frame_idx


def check_object(state: VideoState, obj_id: int) -> ObjectTrack:
    """The object's track; ValueError where there is none."""
    if obj_id not in state.objects:
        known = ", ".join(map(str, state.objects)) or "none"
        raise ValueError(f"object {obj_id}: unknown object id; known ids: {known}")
    return state.objects[obj_id]


def make_points(
    state: VideoState,
    image_size: int,
    where: str,
    points: Any,
    labels: Any,
    box: Any,
    normalize_coords: bool,
) -> Points:
    """Validated clicks and box as points in model pixels; a box is two points put first."""
    if points is None and box is None:
        raise ValueError(f"{where}: at least one of points and box is needed")
    width, height = (state.width, state.height) if normalize_coords else (1, 1)
    all_xy, all_labels = [], []
    if box is not None:
        box = np.asarray(box, np.float32)
        if box.shape != (4,):
            raise ValueError(f"{where}: box: expected 4 numbers x0, y0, x1, y1, found {box.shape}")
        x0, y0, x1, y1 = box.tolist()
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"{where}: box {box.tolist()}: expected x0 < x1 and y0 < y1")
        all_xy.append(box.reshape(2, 2))
        all_labels.append(np.array([2, 3], np.int32))
    if points is not None:
        xy = np.asarray(points, np.float32)
        if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
            raise ValueError(f"{where}: points: expected (n, 2) pixels x, y, found {xy.shape}")
        values = np.ones(len(xy), np.int32) if labels is None else np.asarray(labels)
        if values.shape != (len(xy),):
            raise ValueError(
                f"{where}: labels: expected one for each of {len(xy)} points, found {values.shape}"
            )
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"{where}: labels {values.tolist()}: expected 1 (object) or 0 (not)")
        _refuse_contradiction(where, xy, values)
        all_xy.append(xy)
        all_labels.append(values.astype(np.int32))
    elif labels is not None:
        raise ValueError(f"{where}: labels without points")
    xy = np.concatenate(all_xy)
    if not np.isfinite(xy).all():
        raise ValueError(f"{where}: coordinates {xy.tolist()}: expected finite numbers")
    inside = (xy >= 0).all(-1) & (xy[:, 0] <= width) & (xy[:, 1] <= height)
    if not inside.all():
        bad = xy[~inside][0].tolist()
        raise ValueError(
            f"{where}: ({bad[0]:g}, {bad[1]:g}) lies outside the frame: "
            f"expected x in [0, {width}] and y in [0, {height}]"
        )
    scale = np.array([image_size / width, image_size / height], np.float32)
    return Points(xy * scale, np.concatenate(all_labels))


def _refuse_contradiction(where: str, xy: np.ndarray, labels: np.ndarray) -> None:
    seen: dict[tuple[float, float], int] = {}
    for (x, y), label in zip(xy.tolist(), labels.tolist(), strict=True):
        if seen.setdefault((x, y), label) != label:
            raise ValueError(f"{where}: point ({x:g}, {y:g}) is labelled both 0 and 1")
